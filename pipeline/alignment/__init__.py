"""Alignment: how the planes of a stack lie on each other, and reading them so."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.alignment._align import Aligned as Aligned, align_stack as align_stack
    from zfuse.pipeline.alignment._settle import settle_drift as settle_drift
    from zfuse.pipeline.alignment._similarity import AlignMode as AlignMode

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_align": ["Aligned", "align_stack"],
        "_settle": ["settle_drift"],
        "_similarity": ["AlignMode"],
    },
)
