"""Are two results the same to the last bit? One answer for arrays, tensors and what holds them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["assert_same"]


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Fail at the first difference in type, dtype, shape or value; NaN is the same as NaN."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif is_dataclass(one):
        for field in fields(one):
            name = field.name
            assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif hasattr(one, "dtype"):  # NumPy, torch
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=where)
    else:
        assert one == other, where
