"""Where fused tiles go: OME-Zarr, TIFF or PNG, published whole or not at all."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.sinks._check import check_output as check_output
    from zfuse.pipeline.sinks._growing import KEPT as KEPT, GrowingImages as GrowingImages
    from zfuse.pipeline.sinks._ome_metadata import display_window as display_window
    from zfuse.pipeline.sinks._output import Output as Output, open_output as open_output
    from zfuse.pipeline.sinks._place import Place as Place
    from zfuse.pipeline.sinks._sink import Files as Files, Sink as Sink

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_check": ["check_output"],
        "_growing": ["KEPT", "GrowingImages"],
        "_ome_metadata": ["display_window"],
        "_output": ["Output", "open_output"],
        "_place": ["Place"],
        "_sink": ["Files", "Sink"],
    },
)
