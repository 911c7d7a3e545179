"""One picture that shows what a fusion did: planes, fused image, depth, confidence.

Duty: contrast, colours, layout, labels; drawn with Pillow alone, so that no plotting library is
needed. Must not know: files, stacks, methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

__all__ = ["overview"]

_BACKGROUND, _INK, _FAINT = (16, 17, 20), (236, 238, 241), (150, 156, 166)
_PANEL_HEIGHT, _PANEL_MAX_WIDTH = 512, 896
_MARGIN, _GAP, _HEADER, _BAR, _BAR_LABELS = 24, 16, 34, 14, 40
# Ten anchors of matplotlib's viridis (CC0), from low to high, and of grey for the confidence.
_VIRIDIS = (
    (68, 1, 84),
    (72, 40, 120),
    (62, 74, 137),
    (49, 104, 142),
    (38, 130, 142),
    (31, 158, 137),
    (53, 183, 121),
    (110, 206, 88),
    (181, 222, 43),
    (253, 231, 37),
)
_GREY = ((0, 0, 0), (255, 255, 255))
_UNKNOWN = (70, 20, 30)  # NaN
_CHANNEL_COLOURS = np.array(
    [(0, 1, 0), (1, 0, 1), (0, 0.6, 1), (1, 0.8, 0), (1, 0.2, 0.2), (0.7, 0.7, 0.7)], np.float32
)


@dataclass(frozen=True)
class _Scale:
    """Values at the two ends of a colour bar, its colours and its unit."""

    low: float
    high: float
    colours: tuple[tuple[int, int, int], ...]
    unit: str


def overview(
    planes: Mapping[int, NDArray[Any]],
    image: NDArray[Any],
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    *,
    depth_unit: str = "planes",
    depth_scale: float = 1.0,
    pixel_size: float | None = None,
    title: str = "",
    rgb: bool = False,
) -> Image.Image:
    """Draw some planes, the fused image, the depth map and the confidence side by side.

    Parameters
    ----------
    planes
        Two to four planes of the stack, (C, Y, X) or (Y, X), keyed by their number from 0; they
        are shown with the contrast of the fused image.
    image
        Fused image, (C, Y, X) or (Y, X), any real dtype. Contrast is stretched between robust
        percentiles.
    depth
        (Y, X) depth in planes; NaN is drawn in dark red.
    confidence
        (Y, X) in 0..1.
    depth_unit, depth_scale
        Unit on the colour bar, and the unit's worth of one plane (the z step in µm).
    pixel_size
        µm, for the scale bar; none is drawn when unknown.
    title
        One line above everything.
    rgb
        Three channels are red, green and blue; otherwise channels are blended in distinct colours.

    Returns
    -------
    PIL.Image.Image
        RGB picture with a height of about 600 px.
    """
    from PIL import Image, ImageDraw

    rows, columns = depth.shape
    height = min(_PANEL_HEIGHT, max(64, round(_PANEL_MAX_WIDTH * rows / columns)))
    width = max(1, round(height * columns / rows))
    thumb_height = (height - _GAP * (len(planes) - 1)) // max(1, len(planes))
    thumb_width = max(1, round(thumb_height * columns / rows))
    top = _MARGIN + (_HEADER if title else 0) + _HEADER
    x_planes = _MARGIN
    x_image = x_planes + (thumb_width + _GAP if planes else 0)
    x_depth = x_image + width + _GAP
    x_confidence = x_depth + width + _BAR + _BAR_LABELS + _GAP
    size = (x_confidence + width + _BAR + _BAR_LABELS + _MARGIN, top + height + _MARGIN)

    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    if title:
        _text(draw, (_MARGIN, _MARGIN + 20), title, 22)

    limits = _limits(image, rgb=rgb)
    for row, (number, plane) in enumerate(planes.items()):
        y = top + row * (thumb_height + _GAP)
        thumb = _fit(_coloured(plane, limits, rgb=rgb), (thumb_width, thumb_height))
        picture.paste(thumb, (x_planes, y))
        label = f"plane {number}"
        if depth_unit != "planes":
            label = f"z = {number * depth_scale:.4g} {depth_unit}"
        _shadowed(draw, (x_planes + 8, y + thumb_height - 9), label, 14)
    if planes:
        _text(draw, (x_planes, top - 10), "Planes", 16)

    picture.paste(_fit(_coloured(image, limits, rgb=rgb), (width, height)), (x_image, top))
    _text(draw, (x_image, top - 10), "All in focus", 16)
    if pixel_size:
        _scale_bar(draw, (x_image + 14, top + height - 16), width, pixel_size * columns / width)

    scaled = depth * np.float32(depth_scale)
    low, high = _robust_range(scaled, 0.2, 99.8)
    depth_scale_bar = _Scale(low, high, _VIRIDIS, depth_unit)
    for x, label, values, scale in (
        (x_depth, "Depth", scaled, depth_scale_bar),
        (x_confidence, "Confidence", confidence, _Scale(0, 1, _GREY, "")),
    ):
        picture.paste(_fit(_mapped(values, scale), (width, height)), (x, top))
        _text(draw, (x, top - 10), label, 16)
        _colour_bar(picture, draw, (x + width + 6, top), height, scale)
    return picture


def _limits(image: NDArray[Any], *, rgb: bool) -> list[tuple[float, float]]:
    """Darkest and brightest value shown, for each channel; one pair for colour images."""
    channels = image[None] if image.ndim == 2 else image
    limits = [_robust_range(channel, 0.1, 99.8) for channel in channels]
    if rgb:  # stretching each colour alone would shift the white balance
        limits = [(min(a for a, _ in limits), max(b for _, b in limits))] * len(limits)
    return limits


def _robust_range(values: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    step = max(1, int(np.sqrt(values.size / 1e6)))  # a million samples say enough
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    first, last = (float(v) for v in np.percentile(sample, [low, high]))
    return (first, last) if last > first else (first, first + 1.0)


def _coloured(
    image: NDArray[Any], limits: list[tuple[float, float]], *, rgb: bool
) -> NDArray[np.uint8]:
    """(Y, X, 3) picture of an image with any number of channels."""
    channels = image[None] if image.ndim == 2 else image
    stretched = [
        np.nan_to_num((channel.astype(np.float32) - low) / (high - low)).clip(0, 1)
        for channel, (low, high) in zip(channels, limits, strict=True)
    ]
    if len(stretched) == 1:
        mixed = np.repeat(stretched[0][..., None], 3, -1)
    elif rgb and len(stretched) == 3:
        mixed = np.stack(stretched, -1)
    else:
        mixed = np.zeros((*stretched[0].shape, 3), np.float32)
        for index, channel in enumerate(stretched):
            mixed += channel[..., None] * _CHANNEL_COLOURS[index % len(_CHANNEL_COLOURS)]
    return np.asarray((mixed.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _mapped(values: NDArray[Any], scale: _Scale) -> NDArray[np.uint8]:
    """(Y, X, 3) false colours."""
    position = ((values - scale.low) / (scale.high - scale.low)).clip(0, 1)
    known = np.isfinite(position)
    anchors = np.linspace(0, 1, len(scale.colours))
    table = [
        np.interp(np.linspace(0, 1, 256), anchors, band) for band in np.transpose(scale.colours)
    ]
    index = (np.where(known, position, 0) * 255 + 0.5).astype(np.uint8)
    picture = (np.stack(table, -1) + 0.5).astype(np.uint8)[index]
    picture[~known] = _UNKNOWN
    return np.asarray(picture)


def _fit(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(pixels)
    if picture.size == size:
        return picture
    smaller = size[0] < picture.width
    how = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return picture.resize(size, how)


def _colour_bar(
    picture: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], height: int, scale: _Scale
) -> None:
    x, top = at
    ramp = np.linspace(scale.high, scale.low, height)[:, None].repeat(_BAR, 1)
    picture.paste(_fit(_mapped(ramp, scale), (_BAR, height)), (x, top))
    step = _nice((scale.high - scale.low) / 4)
    first = np.ceil(scale.low / step - 1e-6)
    for tick in np.arange(first, np.floor(scale.high / step + 1e-6) + 1) * step:
        y = top + (scale.high - tick) / (scale.high - scale.low) * (height - 1)
        draw.line([(x + _BAR, y), (x + _BAR + 4, y)], fill=_FAINT)
        baseline = float(np.clip(y + 5, top + 11, top + height))
        _text(draw, (x + _BAR + 8, baseline), f"{tick + 0:.4g}", 14, _FAINT)
    if scale.unit:
        _text(draw, (x, top - 10), scale.unit, 14, _FAINT)


def _scale_bar(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], width: int, microns_per_pixel: float
) -> None:
    """Draw a bar of a round length, about a fifth of the panel, with its length above."""
    x, y = at
    length = _nice(width * microns_per_pixel / 5)
    pixels = round(length / microns_per_pixel)
    draw.rectangle([x - 1, y - 1, x + pixels + 1, y + 4], fill=_BACKGROUND)
    draw.rectangle([x, y, x + pixels, y + 3], fill=_INK)
    label = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    _shadowed(draw, (x, y - 7), label, 15)


def _nice(value: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(n for n in (1, 2, 5) if n * power <= value * (1 + 1e-9)) * power)


def _shadowed(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int) -> None:
    """Text that stays legible on any picture."""
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (1, 1)):
        _text(draw, (at[0] + dx, at[1] + dy), text, size, _BACKGROUND)
    _text(draw, at, text, size)


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int] = _INK,
) -> None:
    """Text from its left end on its base line. Pillow's own font lacks µ: it is a u with a stem."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    plain = text.replace("µ", "u")
    draw.text(at, plain, font=font, fill=colour, anchor="ls")
    thick = max(1, round(size / 11))
    for index, letter in enumerate(text):
        if letter == "µ":
            x = round(at[0] + font.getlength(plain[:index]) + size / 13)
            y = round(at[1])
            stem = [x, y - round(size * 0.3), x + thick - 1, y + round(size * 0.2)]
            draw.rectangle(stem, fill=colour)
