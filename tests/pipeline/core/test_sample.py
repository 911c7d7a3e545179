"""The sample that a stack is judged by: the same places from whichever side it is seen."""

from __future__ import annotations

import numpy as np
import pytest

from zfuse.pipeline.core import Sample
from zfuse.pipeline.sources import from_array


@pytest.mark.parametrize("shape", [(40, 97), (97, 130), (150, 191), (192, 400)])
def test_columns_lie_mirrored_in_a_mirrored_stack(shape: tuple[int, int]) -> None:
    planes = np.arange(2 * shape[0] * shape[1], dtype=np.uint32).reshape(2, *shape)
    plain, mirrored = (
        Sample(from_array(p)).columns for p in (planes, planes[:, ::-1, ::-1].copy())
    )
    assert len(plain) == len(mirrored)
    for column, other in zip(plain, reversed(mirrored), strict=True):
        np.testing.assert_array_equal(column, other[..., ::-1, ::-1])
