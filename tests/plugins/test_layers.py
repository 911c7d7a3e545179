"""Layers as stacks: axes, sizes, channels that lie apart, and what is no stack."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array
import numpy as np
import pytest

import zfuse
from zfuse.errors import ZfuseError
from zfuse.plugins._layers import LayerChoice, layer_choices

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("napari", reason="no napari here: pip install 'zfuse[napari]'")
    from napari.layers import Image, Labels


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 4096, shape, np.uint16)


def only(layer: Image) -> LayerChoice:
    (choice,) = layer_choices([layer])
    return choice


def opened(layer: Image, axes: str | None = None) -> Any:
    choice = only(layer)
    return choice.open(axes or choice.axes_choices()[0], None, None)


@pytest.mark.parametrize(
    ("shape", "more", "axes"),
    [
        ((5, 8, 9), {}, ("zyx",)),
        ((3, 5, 8, 9), {}, ("czyx", "tzyx")),
        ((40, 5, 8, 9), {}, ("tzyx", "czyx")),
        ((2, 3, 5, 8, 9), {}, ("tczyx",)),
        ((5, 3, 8, 9), {"axis_labels": ("z", "c", "y", "x")}, ("zcyx",)),
        ((5, 3, 8, 9), {"axis_labels": ("T", "Z", "Y", "X")}, ("tzyx",)),
        ((5, 8, 9, 3), {"rgb": True}, ("zyx",)),
        ((2, 5, 8, 9, 3), {"rgb": True}, ("tzyx",)),
        ((8, 9), {}, ()),
        ((8, 9, 3), {"rgb": True}, ()),
        ((5, 8, 9), {"axis_labels": ("t", "y", "x")}, ()),
        ((1, 1, 2, 2, 8, 9), {}, ()),
    ],
)
def test_axes(shape: tuple[int, ...], more: dict[str, Any], axes: tuple[str, ...]) -> None:
    data = noise(*shape).astype(np.uint8) if more.get("rgb") else noise(*shape)
    choice = only(Image(data, **more))
    assert choice.axes_choices() == axes
    assert (choice.refusal() is None) == bool(axes)


def test_every_axis_goes_where_it_belongs() -> None:
    pixels = noise(2, 3, 4, 10, 11)
    np.testing.assert_array_equal(opened(Image(pixels)), pixels)
    np.testing.assert_array_equal(opened(Image(pixels[0]), "tzyx"), pixels[0])
    assert opened(Image(pixels[0]), "tzyx").shape == (3, 1, 4, 10, 11)
    swapped = Image(pixels[0].swapaxes(0, 1), axis_labels=("z", "c", "y", "x"))
    np.testing.assert_array_equal(opened(swapped), pixels[0])


def test_colours_stay_together_and_opacity_is_left_out() -> None:
    pixels = noise(4, 10, 11, 4).astype(np.uint8)
    stack = opened(Image(pixels, rgb=True))
    assert stack.rgb
    np.testing.assert_array_equal(np.asarray(stack), np.moveaxis(pixels[..., :3], -1, 0))


def test_the_finest_level_is_fused_and_lazy_data_stays_lazy() -> None:
    read: list[Any] = []

    def block(block_info: Any = None) -> Any:
        read.append(block_info)
        return np.zeros((1, 64, 64), np.uint16)

    lazy = dask.array.map_blocks(block, chunks=((1,) * 4, (64,) * 2, (64,) * 2), dtype=np.uint16,
                                 meta=np.empty((0, 0, 0), np.uint16))  # fmt: skip
    small = lazy[:, ::2, ::2]
    choice = only(Image([lazy, small], multiscale=True, contrast_limits=(0, 1)))
    read.clear()
    stack = choice.open("zyx", None, None)
    assert stack.shape == (1, 1, 4, 128, 128)
    assert read == []
    stack.reader.read(0, slice(0, 1), slice(0, 64), slice(0, 64))
    assert len(read) == 1


def test_channels_in_layers_of_their_own_are_one_stack() -> None:
    pixels = noise(3, 4, 10, 11)
    names = ["cells", "cells [1]", "cells [2]"]  # as add_image(channel_axis=) has them
    layers = [Image(p, name=n) for p, n in zip(pixels, names, strict=True)]
    joined, *apart = layer_choices(layers)
    assert joined.name == "cells (3 channels)"
    assert [one.name for one in apart] == names[::-1]  # as the list of layers shows them
    stack = joined.open("zyx", 2.0, 0.5)
    np.testing.assert_array_equal(np.asarray(stack), pixels)
    assert [channel.name for channel in stack.channels] == names
    assert (stack.name, stack.z_step, stack.pixel_size) == ("cells", 2.0, (0.5, 0.5))
    fused, expected = zfuse.fuse(stack, "select"), zfuse.fuse(pixels, "select")
    np.testing.assert_array_equal(fused.image, expected.image)
    np.testing.assert_array_equal(fused.depth, expected.depth)


def test_layers_that_differ_are_no_channels() -> None:
    layers = [Image(noise(4, 10, 11), name="a"), Image(noise(5, 10, 11), name="a [1]")]
    assert [one.name for one in layer_choices(layers)] == ["a [1]", "a"]
    strangers = [Image(noise(4, 10, 11), name="a"), Image(noise(4, 10, 11), name="b")]
    assert len(layer_choices(strangers)) == 2


def test_labels_and_results_are_not_offered() -> None:
    labels = Labels(np.zeros((4, 10, 11), int))
    result = Image(noise(10, 11), metadata={"zfuse": {"quantity": "image"}})
    assert layer_choices([labels, result]) == []


def test_a_plane_is_refused_with_a_cure() -> None:
    choice = only(Image(noise(10, 11), name="flat"))
    with pytest.raises(ZfuseError, match=r"flat.*one plane.*choose a layer with a z axis"):
        choice.open("zyx", None, None)


@pytest.mark.parametrize(
    ("scale", "units", "sizes"),
    [
        ((2, 0.5, 0.5), ("um",) * 3, (2, 0.5)),
        ((2000, 500, 500), ("nm",) * 3, (2, 0.5)),
        ((0.002, 0.5, 0.5), ("mm", "um", "um"), (2, 0.5)),
        ((2, 0.5, 0.5), None, (2, 0.5)),  # a scale without a unit is meant in µm
        ((1, 1, 1), None, (None, None)),
        ((1, 1, 1), ("um",) * 3, (1, 1)),
        ((-2, 0.5, 0.5), ("um",) * 3, (2, 0.5)),
    ],
)
def test_sizes(scale: Any, units: Any, sizes: Any) -> None:
    choice = only(Image(noise(4, 10, 11), scale=scale, units=units))
    assert choice.calibration("zyx") == pytest.approx(sizes)


def test_sizes_that_were_given_are_written_to_the_layer() -> None:
    layer = Image(noise(4, 10, 11), translate=(0, 10, 20))
    only(layer).calibrate("zyx", 2.0, 0.5)
    assert tuple(layer.scale) == (2, 0.5, 0.5)
    assert tuple(layer.translate) == (0, 5, 10)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    only(layer).calibrate("zyx", None, None)
    assert tuple(layer.scale) == (2, 0.5, 0.5)
