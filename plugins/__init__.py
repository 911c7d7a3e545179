"""Plugins for image viewers: napari's widgets, thin, over logic that knows no Qt.

`napari.yaml` beside this file tells napari what there is. Imports napari and Qt on use only.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.plugins._fuse_widget import FuseWidget as FuseWidget
    from zfuse.plugins._live_widget import LiveWidget as LiveWidget
    from zfuse.plugins._picker_widget import PickerWidget as PickerWidget
    from zfuse.plugins._reader import get_reader as get_reader
    from zfuse.plugins._relief_widget import ReliefWidget as ReliefWidget
    from zfuse.plugins._samples import (
        demo_stack as demo_stack,
        two_channel_stack as two_channel_stack,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_fuse_widget": ["FuseWidget"],
        "_live_widget": ["LiveWidget"],
        "_picker_widget": ["PickerWidget"],
        "_reader": ["get_reader"],
        "_relief_widget": ["ReliefWidget"],
        "_samples": ["demo_stack", "two_channel_stack"],
    },
)
