"""What networks are trained on, and the file that `zfuse train` follows."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.scenes._train_file import (
        describe_data as describe_data,
        load_train_file as load_train_file,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_train_file": ["describe_data", "load_train_file"],
    },
)
