"""Training: recipes of the five networks, and the loop that follows them.

Needs torch (``pip install zfuse[train]``), but for `_scenes`. Must not know: files of images or
configs, the command line; `zfuse.pipeline` brings those.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines.training._batches import BatchSource as BatchSource
    from zfuse.engines.training._config import TrainConfig as TrainConfig
    from zfuse.engines.training._run import train as train
    from zfuse.engines.training._scenes import Scene as Scene, SceneSource as SceneSource

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_batches": ["BatchSource"],
        "_config": ["TrainConfig"],
        "_run": ["train"],
        "_scenes": ["Scene", "SceneSource"],
    },
)
