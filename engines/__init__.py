"""Networks: definitions and training (torch), weights (ONNX), and what runs them.

Knows nothing of Dask, of stacks and their files, or of the pipeline. Importing this loads neither
torch nor a runtime.
"""

from zfuse.engines._axes import shape_of
from zfuse.engines._errors import EngineError
from zfuse.engines._models import MODELS, Card, Model, card, card_path
from zfuse.engines.runners import RUNNERS
from zfuse.engines.runners._runner import Precision, Runner
from zfuse.engines.runners._session import Recipe, load, session

__all__ = [
    "MODELS",
    "RUNNERS",
    "Card",
    "EngineError",
    "Model",
    "Precision",
    "Recipe",
    "Runner",
    "card",
    "card_path",
    "load",
    "session",
    "shape_of",
]
