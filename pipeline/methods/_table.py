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
    """What the table says of a method without importing it."""

    module: str
    class_name: str
    summary: str
    runs_on: str = "CPU"
    needs: str = ""

    def load(self) -> type[Method]:
        """Import the method's class."""
        loaded: type[Method] = getattr(import_module(self.module), self.class_name)
        return loaded


_HERE = "zfuse.pipeline.methods."

_NETWORKS = "CPU, GPU"

DEFAULT_METHOD = "adaptive"

METHODS: dict[str, MethodEntry] = {
    "adaptive": MethodEntry(
        _HERE + "_adaptive", "Adaptive", "averages in every band what is in focus, shrinks noise"
    ),
    "complex-wavelet": MethodEntry(
        _HERE + "_complex_wavelet",
        "ComplexWavelet",
        "dual-tree complex wavelets, strongest coefficients win",
    ),
    "fusion2void": MethodEntry(
        _HERE + "_pairwise",
        "Fusion2Void",
        "network of two images, learned by inpainting; for pairs, stacks by a tree",
        _NETWORKS,
    ),
    "fusionnet": MethodEntry(
        _HERE + "_pairwise",
        "FusionNet",
        "encoder-decoder network of two images; for pairs, stacks by a tree",
        _NETWORKS,
    ),
    "gaussian": MethodEntry(
        _HERE + "_gaussian", "Gaussian", "soft mean of the planes in focus, scale by scale"
    ),
    "guided": MethodEntry(
        _HERE + "_guided", "Guided", "soft mean of the planes in focus, weights follow edges"
    ),
    "laplacian": MethodEntry(
        _HERE + "_laplacian", "Laplacian", "Laplacian pyramid, strongest band wins"
    ),
    "pdmnet": MethodEntry(
        _HERE + "_pdmnet",
        "PdmNet",
        "wavelet network: bands of all planes weighed, noise removed",
        _NETWORKS,
    ),
    "rpsnn": MethodEntry(
        _HERE + "_pairwise",
        "Rpsnn",
        "R-PSNN, network of two images; for pairs, stacks by a tree",
        _NETWORKS,
    ),
    "select": MethodEntry(
        _HERE + "_select", "Select", "focus measure, sharpest plane's pixel copied bit for bit"
    ),
    "umis": MethodEntry(
        _HERE + "_umis",
        "Umis",
        "network learned without truth says what is sharp; its pixels, soft borders",
        _NETWORKS,
    ),
    "wavelet": MethodEntry(
        _HERE + "_wavelet", "Wavelet", "wavelet transform (DWT), strongest coefficients win"
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
