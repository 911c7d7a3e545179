"""Trained networks to ONNX files and model cards, and the proof that the files hold.

`export` needs ``pip install zfuse[train]``, `verify` does not. Must not know: training.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines.export._export import export as export
    from zfuse.engines.export._verify import verify as verify

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_export": ["export"],
        "_verify": ["verify"],
    },
)
