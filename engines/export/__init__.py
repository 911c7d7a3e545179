"""Trained networks to ONNX files and model cards. Needs ``pip install zfuse[train]``."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines.export._export import export as export
    from zfuse.engines.export._parity import (
        LARGEST_DIFFERENCE as LARGEST_DIFFERENCE,
        difference as difference,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_export": ["export"],
        "_parity": ["LARGEST_DIFFERENCE", "difference"],
    },
)
