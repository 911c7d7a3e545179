"""From a stack on disk to a fused one: sources, tile plan, methods, fold, sinks, command line."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline._config import RunConfig as RunConfig
    from zfuse.pipeline._fuse import fuse as fuse, fuse_tiles as fuse_tiles
    from zfuse.pipeline._job import make_job as make_job
    from zfuse.pipeline._run import RunSummary as RunSummary, run as run
    from zfuse.pipeline._stream import Fold as Fold

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_config": ["RunConfig"],
        "_fuse": ["fuse", "fuse_tiles"],
        "_job": ["make_job"],
        "_run": ["RunSummary", "run"],
        "_stream": ["Fold"],
    },
)
