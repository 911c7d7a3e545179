import numpy as np
import pytest

from zfuse.pipeline.figures._sheet import Sheet, round_length


def drawn(sheet: Sheet) -> np.ndarray:
    sheet.figure.canvas.draw()
    return np.asarray(sheet.figure.canvas.buffer_rgba())[..., :3]


def test_a_picture_of_the_size_of_its_box_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8)
    sheet = Sheet(101, 67)
    sheet.picture((13, 17, 47, 31), pixels)
    np.testing.assert_array_equal(drawn(sheet)[17:48, 13:60], pixels)


def test_maps_have_the_colours_of_matplotlib_and_unknown_ones_are_red():
    sheet = Sheet(40, 10)
    values = np.repeat(np.array([[0.0, 0.5, 1.0, np.nan]]), 10, 0).repeat(10, 1)
    sheet.map((0, 0, 40, 10), values, (0, 1), unit=None)
    colours = drawn(sheet)[5, 5::10].astype(int)
    expected = [(68, 1, 84), (33, 145, 140), (253, 231, 37), (70, 20, 30)]
    assert np.abs(colours - expected).max() <= 2


def test_dollar_signs_are_no_formulas():
    sheet = Sheet(200, 100)
    sheet.text(0, 20, "$\\broken$")
    axes = sheet.picture((0, 30, 50, 50), np.zeros((5, 5, 3), np.uint8), "$\\broken$")
    sheet.label(axes, "$\\broken$")
    assert drawn(sheet).max() > 100


@pytest.mark.parametrize(
    ("value", "expected"), [(0.99, 0.5), (1, 1), (4.9, 2), (73, 50), (2e-3, 2e-3)]
)
def test_round_lengths(value, expected):
    assert round_length(value) == pytest.approx(expected)
