"""Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence.

The public face. Everything is imported on use: ``import zfuse`` costs a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zfuse.errors import ZfuseError
    from zfuse.pipeline import Fold, RunConfig, fuse, run
    from zfuse.pipeline.core import Fused, Stack
    from zfuse.pipeline.sources import from_array, open_stack as open

__version__ = "0.1.0"

__all__ = [
    "Fold",
    "Fused",
    "RunConfig",
    "Stack",
    "ZfuseError",
    "from_array",
    "fuse",
    "live",
    "open",
    "run",
]

_HOMES = {
    "Fold": ("zfuse.pipeline", "Fold"),
    "Fused": ("zfuse.pipeline.core", "Fused"),
    "RunConfig": ("zfuse.pipeline", "RunConfig"),
    "Stack": ("zfuse.pipeline.core", "Stack"),
    "ZfuseError": ("zfuse.errors", "ZfuseError"),
    "from_array": ("zfuse.pipeline.sources", "from_array"),
    "fuse": ("zfuse.pipeline", "fuse"),
    "open": ("zfuse.pipeline.sources", "open_stack"),
    "run": ("zfuse.pipeline", "run"),
}


def __getattr__(name: str) -> Any:
    if name == "live":  # not under TYPE_CHECKING: the version, which runs ask for, imports nothing
        return import_module("zfuse.live")
    if name not in _HOMES:
        raise AttributeError(f"module 'zfuse' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
