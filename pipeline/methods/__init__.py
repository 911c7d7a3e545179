"""Fusion methods: one file each, one line each in `METHODS`."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from zfuse.pipeline._errors import ZfuseError
from zfuse.pipeline.methods._method import Method

__all__ = ["METHODS", "Method", "MethodEntry", "make_method", "warm_up"]


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

METHODS: dict[str, MethodEntry] = {
    "laplacian": MethodEntry(
        _HERE + "_laplacian", "Laplacian", "Laplacian pyramid, strongest band wins"
    ),
    "select": MethodEntry(
        _HERE + "_select", "Select", "focus measure, sharpest plane's pixel copied bit for bit"
    ),
}


def make_method(settings: str | dict[str, Any] | Method) -> Method:
    """Return a method from its name, or from its settings with a ``name``.

    Raises
    ------
    ZfuseError
        The name is unknown; the nearest known one is named.
    pydantic.ValidationError
        A setting is unknown or out of range.
    """
    if isinstance(settings, Method):
        return settings
    values = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = values.get("name")
    if name not in METHODS:
        near = get_close_matches(str(name), METHODS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(METHODS))}"
        raise ZfuseError(f"unknown method {name!r}: {hint} (`zfuse methods` lists all)")
    return METHODS[name].load().model_validate(values)


def warm_up(method: Method) -> None:
    """Compile or load the kernels of a method for 8- and 16-bit stacks, in this thread.

    Threads that meet an uncompiled kernel wait for each other anyway, and processes that compile the
    same kernel at the same time can damage numba's cache (numba issue 4807).
    """
    import numpy as np

    from zfuse.pipeline._region import Region
    from zfuse.pipeline._sample import Sample
    from zfuse.pipeline.sources import from_array

    for dtype in (np.uint8, np.uint16):
        planes = np.zeros((3, 1, 16, 16), dtype)
        calibration = method.calibrate(Sample(from_array(planes[:, 0])))
        state = method.start(Region.whole(16, 16), 1, planes.dtype, calibration)
        method.add(state, planes, 0)
        method.finish(state)
