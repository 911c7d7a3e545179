"""Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence.

The public face. Everything is imported on use: ``import zfuse`` costs a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig
    from zfuse.pipeline._errors import ZfuseError
    from zfuse.pipeline._fold import OrderedFold
    from zfuse.pipeline._fused import Fused
    from zfuse.pipeline._run import fuse, run
    from zfuse.pipeline._stack import Stack
    from zfuse.pipeline.sources import open_stack as open

__version__ = "0.1.0"

__all__ = ["Fused", "OrderedFold", "RunConfig", "Stack", "ZfuseError", "fuse", "open", "run"]

_HOMES = {
    "Fused": ("zfuse.pipeline._fused", "Fused"),
    "OrderedFold": ("zfuse.pipeline._fold", "OrderedFold"),
    "RunConfig": ("zfuse.pipeline._config", "RunConfig"),
    "Stack": ("zfuse.pipeline._stack", "Stack"),
    "ZfuseError": ("zfuse.pipeline._errors", "ZfuseError"),
    "fuse": ("zfuse.pipeline._run", "fuse"),
    "open": ("zfuse.pipeline.sources", "open_stack"),
    "run": ("zfuse.pipeline._run", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zfuse' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
