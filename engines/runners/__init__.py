"""Runners: what runs a graph. Importing this loads no runtime."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines.runners._onnxruntime import OnnxRuntimeRunner as OnnxRuntimeRunner
    from zfuse.engines.runners._runner import (
        Opened as Opened,
        Precision as Precision,
        Runner as Runner,
    )
    from zfuse.engines.runners._session import Loader as Loader, load as load, session as session
    from zfuse.engines.runners._table import (
        RUNNERS as RUNNERS,
        RunnerEntry as RunnerEntry,
        fastest as fastest,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_onnxruntime": ["OnnxRuntimeRunner"],
        "_runner": ["Opened", "Precision", "Runner"],
        "_session": ["Loader", "load", "session"],
        "_table": ["RUNNERS", "RunnerEntry", "fastest"],
    },
)
