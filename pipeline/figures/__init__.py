"""Pictures that show a result, by matplotlib: planes beside their fusion, the relief."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.figures._contrast import (
        coloured as coloured,
        contrast as contrast,
        robust_range as robust_range,
    )
    from zfuse.pipeline.figures._overview import overview as overview
    from zfuse.pipeline.figures._picture import check_picture as check_picture
    from zfuse.pipeline.figures._reliability import draw_reliability as draw_reliability
    from zfuse.pipeline.figures._relief import render_relief as render_relief
    from zfuse.pipeline.figures._sheet import Sheet as Sheet
    from zfuse.pipeline.figures._stacks_sheet import stacks_sheet as stacks_sheet

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_contrast": ["coloured", "contrast", "robust_range"],
        "_overview": ["overview"],
        "_picture": ["check_picture"],
        "_reliability": ["draw_reliability"],
        "_relief": ["render_relief"],
        "_sheet": ["Sheet"],
        "_stacks_sheet": ["stacks_sheet"],
    },
)
