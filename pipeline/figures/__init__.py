"""Pictures that show a result: planes beside their fusion, the relief."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.figures._overview import overview as overview
    from zfuse.pipeline.figures._relief import render_relief as render_relief

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_overview": ["overview"],
        "_relief": ["render_relief"],
    },
)
