"""Names of free axes: `batch`, `channels`, `height`, `width`, and parts of them.

An axis of a graph's tensor is a fixed length, or a name such as ``"height"``, ``"height/2"`` or
``"3*channels"``: all lengths follow from a few. Must not know: ONNX, torch, runners.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Axis: TypeAlias = int | str

__all__ = ["Axis", "measure", "shape_of"]

_NAME = re.compile(r"(?:(\d+)\*)?([a-z_]+)(?:/(\d+))?")


def shape_of(axes: Sequence[Axis], known: Mapping[str, int]) -> tuple[int, ...]:
    """Return lengths of axes, e.g. (3, 32) for (3, "height/2") with a height of 64."""
    return tuple(axis if isinstance(axis, int) else _length(axis, known) for axis in axes)


def measure(
    axes: Mapping[str, Sequence[Axis]], shapes: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Return the length behind each name, having checked that all tensors agree.

    Parameters
    ----------
    axes
        Axes of each tensor, by the tensor's name.
    shapes
        Lengths of the same tensors.

    Raises
    ------
    ZfuseError
        A number of axes, a fixed length, or two tensors differ.
    """
    known: dict[str, int] = {}
    for name, wanted in axes.items():
        if len(wanted) == len(shapes[name]):
            for axis, length in zip(wanted, shapes[name], strict=True):
                if isinstance(axis, str):
                    times, base, parts = _parsed(axis)
                    known.setdefault(base, length * parts // times)
    for name, wanted in axes.items():
        if len(wanted) != len(shapes[name]) or shape_of(wanted, known) != tuple(shapes[name]):
            lengths = ", ".join(f"{key} = {n}" for key, n in known.items())
            raise ZfuseError(
                f"{name} is {_text(shapes[name])}, the graph needs {_text(wanted)}"
                + (f" with {lengths}" if lengths else "")
            )
    return known


def _length(axis: str, known: Mapping[str, int]) -> int:
    times, base, parts = _parsed(axis)
    return known[base] * times // parts


def _parsed(axis: str) -> tuple[int, str, int]:
    """Return (n, name, m) of "n*name/m"."""
    match = _NAME.fullmatch(axis)
    if match is None:
        raise ZfuseError(f"axis {axis!r} has no name: write it like height, height/2, 3*channels")
    return int(match[1] or 1), match[2], int(match[3] or 1)


def _text(axes: Sequence[Axis]) -> str:
    return f"({', '.join(str(axis) for axis in axes)})"
