"""From a stack on disk to a fused one: sources, tile plan, methods, fold, sinks, command line."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig as RunConfig
    from zfuse.pipeline._fold import OrderedFold as OrderedFold
    from zfuse.pipeline._run import fuse as fuse, run as run

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_config": ["RunConfig"],
        "_fold": ["OrderedFold"],
        "_run": ["fuse", "run"],
    },
)
