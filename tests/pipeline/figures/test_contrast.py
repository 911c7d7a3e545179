import numpy as np
import pytest

from zfuse.pipeline.figures._contrast import coloured, contrast


def test_contrast_ignores_hot_pixels_and_nan():
    image = np.tile(np.linspace(100, 200, 100, dtype=np.float32), (100, 1))
    image[0, 0], image[1, 1] = 60_000, np.nan
    ((low, high),) = contrast(image)
    assert (low, high) == (pytest.approx(100, abs=2), pytest.approx(200, abs=2))
    assert coloured(image, [(low, high)])[1, 1].max() == 0


def test_colours_of_channels():
    image = np.zeros((3, 8, 8), np.uint8)
    image[0, :4] = 100
    image[1, 4:] = 50
    red = coloured(image, contrast(image, rgb=True), rgb=True)
    assert red[0, 0].tolist() == [255, 0, 0]
    assert red[7, 7].tolist()[1] == pytest.approx(128, abs=1)  # the white balance is kept
    blended = coloured(image[:2], contrast(image[:2]))
    assert blended[0, 0].tolist() == [0, 255, 0]
    assert blended[7, 7].tolist() == [255, 0, 255]
