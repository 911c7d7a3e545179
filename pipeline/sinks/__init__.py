"""Where fused tiles go: OME-Zarr, TIFF or PNG, published whole or not at all."""

from __future__ import annotations

from zfuse.pipeline.sinks._check import check_output
from zfuse.pipeline.sinks._output import Output, open_output
from zfuse.pipeline.sinks._sink import Sink

__all__ = ["Output", "Sink", "check_output", "open_output"]
