"""Plugins for image viewers: napari's widgets, thin, over logic that knows no Qt.

`napari.yaml` beside this file tells napari what there is. Imports napari and Qt on use only.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.plugins._fuse_widget import FuseWidget as FuseWidget

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_fuse_widget": ["FuseWidget"],
    },
)
