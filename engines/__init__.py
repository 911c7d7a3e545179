"""Networks: definitions and training (torch), weights (ONNX), and what runs them.

Knows nothing of Dask, of stacks and their files, or of the pipeline. Importing this loads neither
torch nor a runtime.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.engines._axes import shape_of as shape_of
    from zfuse.engines._cards import (
        PACKAGED as PACKAGED,
        Card as Card,
        card as card,
        card_path as card_path,
        read_graph as read_graph,
    )
    from zfuse.engines._models import (
        MODELS as MODELS,
        Model as Model,
        model_named as model_named,
    )
    from zfuse.engines.export import verify as verify
    from zfuse.engines.runners import (
        RUNNERS as RUNNERS,
        Loader as Loader,
        Precision as Precision,
        Runner as Runner,
        load as load,
        session as session,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_axes": ["shape_of"],
        "_cards": ["Card", "PACKAGED", "card", "card_path", "read_graph"],
        "_models": ["MODELS", "Model", "model_named"],
        "export": ["verify"],
        "runners": ["RUNNERS", "Loader", "Precision", "Runner", "load", "session"],
    },
)
