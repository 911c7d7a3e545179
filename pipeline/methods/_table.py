"""Fusion methods: one file each, one line each in `METHODS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import nearest, one_line
from zfuse.pipeline.methods._method import Method

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "MethodEntry", "make_method", "warm_up"]


@dataclass(frozen=True)
class MethodEntry:
    """What the table says of a method without importing it, in words of those who use it."""

    module: str
    class_name: str
    summary: str
    runs_on: str = "CPU"
    tiles: str = "the same, bit for bit"
    """What becomes of the result when the image is cut into tiles."""

    def load(self) -> type[Method]:
        """Import the method's class."""
        loaded: type[Method] = getattr(import_module(self.module), self.class_name)
        return loaded


_HERE = "zfuse.pipeline.methods."

DEFAULT_METHOD = "adaptive"


def _network(module: str, class_name: str, summary: str, tiles: str = "") -> MethodEntry:
    tiles = tiles or "the same to about one of 255 grey levels"
    return MethodEntry(_HERE + module, class_name, summary, "CPU, GPU", tiles)


METHODS: dict[str, MethodEntry] = {
    "adaptive": MethodEntry(
        _HERE + "_adaptive",
        "Adaptive",
        "finds the depth, then averages all planes in focus there; removes noise",
    ),
    "complex-wavelet": MethodEntry(
        _HERE + "_complex_wavelet",
        "ComplexWavelet",
        "keeps the strongest detail of every size, with few ripples",
    ),
    "fusion2void": _network(
        "_pairwise", "Fusion2Void", "neural network for two images; stacks pair by pair"
    ),
    "fusionnet": _network(
        "_pairwise", "FusionNet", "neural network for two images; stacks pair by pair; softer"
    ),
    "gaussian": MethodEntry(
        _HERE + "_gaussian", "Gaussian", "soft average of sharp planes, each size of detail apart"
    ),
    "guided": MethodEntry(
        _HERE + "_guided", "Guided", "soft average of sharp planes that stops at outlines"
    ),
    "laplacian": MethodEntry(
        _HERE + "_laplacian", "Laplacian", "keeps the strongest detail of every size"
    ),
    "pdmnet": _network(
        "_pdmnet",
        "PdmNet",
        "neural network for noisy stacks of surfaces; blocks in thick fluorescence and cell rims",
        "the same to 0.01 of 255 grey levels (a count of 16 bits here and there)",
    ),
    "rpsnn": _network(
        "_pairwise", "Rpsnn", "neural network for two images; stacks pair by pair; may tint colours"
    ),
    "select": MethodEntry(
        _HERE + "_select",
        "Select",
        "copies each pixel from the plane where it is sharpest",
    ),
    "umis": _network(
        "_umis",
        "Umis",
        "neural network finds the sharpest plane, whose pixels are taken",
        "the same to about one of 255 grey levels; another plane may win where all is noise",
    ),
    "wavelet": MethodEntry(
        _HERE + "_wavelet", "Wavelet", "keeps the strongest detail of every size; may leave ripples"
    ),
}


def make_method(settings: str | dict[str, Any] | Method) -> Method:
    """Return a method from its name, or from its settings with a ``name``.

    Raises
    ------
    ZfuseError
        The name or a setting is unknown, and the nearest known one is named; or a setting is out
        of range.
    """
    if isinstance(settings, Method):
        return settings
    values = dict(settings) if isinstance(settings, dict) else {"name": settings}
    name = values.get("name")
    if not isinstance(name, str) or name not in METHODS:
        hint = nearest(str(name), METHODS)
        raise ZfuseError(f"unknown method {name!r}: {hint} (`zfuse methods` lists all)")
    chosen = METHODS[name].load()
    try:
        return chosen.model_validate(values)
    except ValidationError as error:
        raise ZfuseError(f"method {name}: {one_line(error, chosen)}") from error


def warm_up(method: Method, stack: Stack | None = None) -> None:
    """Compile or load the kernels of a method for stacks like this one, in this thread.

    Threads that meet an uncompiled kernel wait for each other anyway, and processes that compile
    the same kernel at the same time can damage numba's cache (numba issue 4807).

    Parameters
    ----------
    method
        The method.
    stack
        Its dtype and number of channels decide what is compiled; by default one 16-bit channel.
    """
    import numpy as np

    from zfuse.pipeline.core import Region, Sample
    from zfuse.pipeline.sources import from_array

    dtype, channels = (stack.dtype, stack.shape[1]) if stack else (np.dtype(np.uint16), 1)
    channels = min(channels, 2)  # one, or several
    planes = np.zeros((3, channels, 16, 16), dtype)
    calibration = method.calibrate(Sample(from_array(planes, axes="ZCYX")))
    state = method.start(Region.whole(16, 16), channels, dtype, calibration)
    for turn in range(method.passes):
        if turn:
            state = method.next_pass(state)
        method.add(state, planes, 0)
    method.finish(state)
