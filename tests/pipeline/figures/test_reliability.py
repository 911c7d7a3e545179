import numpy as np
import pytest
from PIL import Image

from zfuse.errors import ZfuseError
from zfuse.pipeline.figures import draw_reliability
from zfuse.pipeline.figures._reliability import reliability_diagram

BINS = ([0, 5, 15], [np.nan, 0.5, 0.9], [np.nan, 0.25, 1.0])


def test_bars_are_as_high_as_the_part_that_is_right():
    figure = reliability_diagram(*BINS, title="a", said="b")
    chart, below = figure.axes
    heights = {round(bar.get_x(), 3): bar.get_height() for bar in chart.patches}
    assert heights == pytest.approx({round(1 / 3, 3): 0.25, round(2 / 3, 3): 1.0})
    assert [bar.get_height() for bar in below.patches] == pytest.approx([0, 0.25, 0.75])
    points = chart.lines[1].get_xydata()
    np.testing.assert_allclose(points, [(0.5, 0.25), (0.9, 1.0)])
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba(), int)[..., :3]
    margin = pixels[:, -4:]
    assert (margin == pixels[0, 0]).all()  # nothing is cut off


def test_without_samples_it_is_empty():
    figure = reliability_diagram([0, 0], [np.nan] * 2, [np.nan] * 2)
    figure.canvas.draw()
    assert not figure.axes[0].patches


def test_it_is_a_new_png(tmp_path):
    path = draw_reliability(*BINS, tmp_path / "r.png")
    with Image.open(path) as picture:
        assert min(picture.size) > 400
    with pytest.raises(ZfuseError, match="exists"):
        draw_reliability(*BINS, path)
    draw_reliability(*BINS, path, overwrite=True)
    with pytest.raises(ZfuseError, match=r"must end in \.png"):
        draw_reliability(*BINS, tmp_path / "r.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["r.png"]
