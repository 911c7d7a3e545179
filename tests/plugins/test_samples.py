"""Sample data: quick, calibrated, and stacks indeed."""

from __future__ import annotations

import numpy as np
import pytest

from zfuse.plugins._samples import demo_stack, two_channel_stack

layers = pytest.importorskip("napari.layers", reason="napari is not installed")


@pytest.mark.parametrize(("sample", "count"), [(demo_stack, 1), (two_channel_stack, 2)])
def test_samples_are_calibrated_stacks(sample, count: int) -> None:
    data = sample()
    made = [layers.Layer.create(*one) for one in data]
    assert len(made) == count
    for layer in made:
        assert layer.data.ndim == 3
        assert layer.data.dtype == np.uint16
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        assert layer.scale[0] > layer.scale[1] == layer.scale[2]


def test_channels_of_the_sample_are_in_focus_at_depths_of_their_own() -> None:
    beads, filaments = (data for data, _, _ in two_channel_stack())
    assert beads.shape == filaments.shape
    assert not np.array_equal(beads, filaments)
