import numpy as np
import pytest

from zfuse.pipeline.figures._overview import overview


def maps(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = np.random.default_rng(0).integers(0, 4000, (rows, columns), np.uint16)
    depth = np.linspace(0, 10, rows * columns, dtype=np.float32).reshape(rows, columns)
    return image, depth, np.full((rows, columns), 0.5, np.float32)


def drawn(image, depth, confidence, planes=(), **more) -> np.ndarray:
    stack = dict.fromkeys((0, *planes), image)
    figure = overview(stack, 0, image, depth, confidence, **more)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba(), int)[..., :3]


@pytest.mark.parametrize("shape", [(64, 64), (40, 300), (300, 40), (900, 700)])
def test_panels_fit_any_aspect(shape):
    pixels = drawn(*maps(*shape), planes=(5,), title="a", pixel_size=0.1)
    assert 240 < pixels.shape[0] < 1300
    assert (pixels[:, -4:] == pixels[0, 0]).all()  # the margin: nothing is cut off
    assert (pixels[-4:] == pixels[0, 0]).all()


@pytest.mark.parametrize("shape", [(512, 512), (900, 800)])
def test_plane_and_result_are_shown_pixel_for_pixel(shape):
    image, depth, confidence = maps(*shape)
    pixels = drawn(image, depth, confidence)
    width = round(512 * shape[1] / shape[0])
    low, high = np.percentile(image, [0.1, 99.8])
    stretched = ((image.astype(np.float32) - low) / (high - low)).clip(0, 1) * 255
    rows, columns = ((n - m) // 2 for n, m in zip(shape, (512, width), strict=True))
    crop = stretched[rows : rows + 512, columns : columns + width]
    found = [
        left
        for left in range(pixels.shape[1] - width)
        if np.abs(pixels[54:566, left : left + width, 0] - crop).max() <= 2
    ]
    assert len(found) == 2


def test_depth_bar_has_the_unit_of_the_request():
    image, depth, confidence = maps(64, 64)
    stack = {0: image}
    titles = {
        step: [
            text.get_title(loc="left")
            for text in overview(stack, 0, image, depth, confidence, z_step=step).axes
        ]
        for step in (None, 0.4)
    }
    assert "planes" in titles[None]
    assert "Best single plane, plane 0" in titles[None]
    assert "µm" in titles[0.4]
    assert "Best single plane, z = 0 µm" in titles[0.4]


def test_scale_bar_only_when_calibrated():
    image, depth, confidence = maps(128, 128)
    dark = np.zeros_like(image)
    plain, barred = (drawn(dark, depth, confidence, pixel_size=size) for size in (None, 0.5))
    bright = ((barred != plain).any(-1) & (barred.min(-1) > 220))[:566]
    longest = bright[:, : bright.shape[1] // 2].sum(1).max()  # of both pictures the left one
    assert longest == pytest.approx(10 / 0.5 * 512 / 128, abs=2)  # 10 µm of the 64 µm shown


def test_a_constant_image_and_a_map_of_nothing_are_drawn():
    flat = np.zeros((32, 32), np.uint16)
    nothing = np.full((32, 32), np.nan, np.float32)
    assert drawn(flat, nothing, nothing, pixel_size=0.1).shape[0] > 100
