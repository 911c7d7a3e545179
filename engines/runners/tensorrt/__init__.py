"""TensorRT: engines built, kept on disk and run. Importing this loads no TensorRT."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines.runners.tensorrt._build import engine as engine, key as key
    from zfuse.engines.runners.tensorrt._engine_cache import (
        cached as cached,
        entries as entries,
        folder as folder,
    )
    from zfuse.engines.runners.tensorrt._runner import TensorRtRunner as TensorRtRunner
    from zfuse.engines.runners.tensorrt._tile_sizes import TileSizes as TileSizes

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_build": ["engine", "key"],
        "_engine_cache": ["cached", "entries", "folder"],
        "_runner": ["TensorRtRunner"],
        "_tile_sizes": ["TileSizes"],
    },
)
