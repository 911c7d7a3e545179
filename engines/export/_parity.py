"""Do two runners agree, or a graph and its torch module? Inputs of two sizes, one number.

Must not know: ONNX, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.engines._axes import measure, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    Arrays = Mapping[str, NDArray[Any]]

__all__ = ["LARGEST_DIFFERENCE", "difference", "probes", "torch_outputs"]

LARGEST_DIFFERENCE = 1e-3
"""Allowed between two runners in float32, as a part of an output's largest value."""


def probes(module: nn.Module, multiple: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield a module's example inputs, and the same values in another size.

    Parameters
    ----------
    module
        Offers ``example_inputs()`` and ``dynamic_axes``, as every graph of a network does.
    multiple
        Of height and width, px.
    """
    examples: dict[str, Tensor] = module.example_inputs()  # type: ignore[operator]
    first = {name: value.numpy() for name, value in examples.items()}
    yield first
    free: dict[str, dict[int, str]] = module.dynamic_axes  # type: ignore[assignment]
    axes = {
        name: tuple(free.get(name, {}).get(i, n) for i, n in enumerate(value.shape))
        for name, value in first.items()
    }
    known = measure(axes, {name: value.shape for name, value in first.items()})
    steps = {"height": 2 * multiple, "width": 5 * multiple}
    other = {axis: length + steps.get(axis, 1) for axis, length in known.items()}
    yield {name: _repeated(value, shape_of(axes[name], other)) for name, value in first.items()}


def torch_outputs(module: nn.Module, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run a module, and return its outputs by name."""
    import torch

    with torch.inference_mode():
        outputs = module(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    values = outputs if isinstance(outputs, tuple | list) else (outputs,)
    names: tuple[str, ...] = module.output_names  # type: ignore[assignment]
    return {name: value.cpu().numpy() for name, value in zip(names, values, strict=True)}


def difference(found: Arrays, wanted: Arrays) -> float:
    """Return the largest difference of any output, as a part of that output's largest value.

    Infinite if shapes differ or a value is no number.
    """
    largest = 0.0
    for name, values in wanted.items():
        if found[name].shape != values.shape:
            return float("inf")
        if values.size:
            scale = max(float(np.abs(values).max()), 1e-12)
            part = float(np.abs(found[name].astype(np.float64) - values).max()) / scale
            largest = max(largest, part if np.isfinite(part) else float("inf"))
    return largest


def _repeated(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    pad = [(0, new - old) for new, old in zip(shape, values.shape, strict=True)]
    return np.pad(values, pad, mode="wrap") if pad else values
