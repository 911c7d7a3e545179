"""Scores of a fused image: against a known truth, against the planes it came from, and on its own.

Duty: find image and depth behind the given paths, bring them to one scale, call the metrics. The
metrics of the field are defined on 0..255: 8-bit images are taken as they are, all others are
scaled so that the range of the truth (without one: of the planes, or of the fused image) becomes
0..255. Must not know: how a metric is computed, how images were made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import TRUTH
from zfuse.pipeline.evaluation._arrays import luma
from zfuse.pipeline.evaluation._maps import map_of, score_maps
from zfuse.pipeline.evaluation._no_reference import (
    average_gradient,
    seam_index,
    spatial_frequency,
)
from zfuse.pipeline.evaluation._planes import flat_areas, noise_gain, q_mi, qabf
from zfuse.pipeline.evaluation._reference import psnr, ssim
from zfuse.pipeline.evaluation._scores import Evaluation
from zfuse.pipeline.sources import open_fused, open_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sources import FusedImage

__all__ = ["evaluate"]


def evaluate(
    fused: str | Path,
    truth: str | Path | None = None,
    planes: str | Path | None = None,
    *,
    channel: int = 0,
    tile: int | None = None,
) -> Evaluation:
    """Score a fused image.

    Parameters
    ----------
    fused
        Output of `zfuse fuse`, or any image. Its depth map is found inside or beside it.
    truth
        All-in-focus image, with a depth map inside or beside it; or a simulated stack, which holds
        both. Without one nothing is compared with the truth, unless `planes` is a simulated stack.
    planes
        The stack that was fused, for Q^AB/F, Q_MI and the noise gain.
    channel
        Channel that is scored, with its depth; of RGB images the brightness (and for PSNR all three
        colours).
    tile
        Edge of the tiles in px, for the seam index; by default what the fused image says.

    Returns
    -------
    Evaluation
        The scores.

    Raises
    ------
    ZfuseError
        Something cannot be read, or sizes differ.
    """
    result = Evaluation()
    if _is_simulated(fused):
        raise ZfuseError(
            f"{fused} is a simulated stack, not one image; give the fused image first, the truth "
            "with --truth and the stack with --planes"
        )
    opened = open_fused(fused)
    pixels = _pixels(opened, channel, fused)
    if truth is None and planes is not None and _is_simulated(planes):
        truth = planes
    true_opened = None if truth is None else open_fused(truth)
    true = None if true_opened is None else _pixels(true_opened, channel, truth)
    stack = None if planes is None else open_stack(planes)
    for name, shape in (
        (f"truth {truth}", None if true is None else true.shape[:2]),
        (f"stack {planes}", None if stack is None else stack.shape[3:]),
    ):
        if shape is not None and shape != pixels.shape[:2]:
            raise ZfuseError(
                f"the {name} has {shape[0]} x {shape[1]} px, the fused image has "
                f"{pixels.shape[0]} x {pixels.shape[1]}: give images that belong together"
            )

    low, high = _range(true, stack, pixels, channel, result)
    scale = 255 / (high - low)
    image = (pixels.astype(np.float64) - low) * scale
    grey = luma(image)
    if true is not None:
        true = (true.astype(np.float64) - low) * scale
        _against_truth(image, true, result)
    if stack is not None:
        _against_planes(grey, true, stack, channel, (low, scale), result)
    result.scores["spatial_frequency"] = spatial_frequency(grey)
    result.scores["average_gradient"] = average_gradient(grey)

    if true_opened is not None:
        step = (stack and stack.z_step) or opened.z_step or true_opened.z_step
        score_maps(opened, true_opened, channel, step, result)
    tile = tile or _tile(fused)
    if tile and tile < max(grey.shape):
        result.scores["seam_index"] = seam_index(grey, tile)
        if opened.depth is not None:
            result.scores["depth_seam_index"] = seam_index(map_of(opened.depth, channel), tile)
    return result


def _against_truth(image: NDArray[Any], true: NDArray[Any], result: Evaluation) -> None:
    if image.shape != true.shape:  # colour against grey
        image, true = luma(image), luma(true)
    result.scores["ssim"] = ssim(luma(image), luma(true), data_range=255)
    result.scores["psnr"] = psnr(image, true, data_range=255)


def _against_planes(
    grey: NDArray[Any],
    true: NDArray[Any] | None,
    stack: Stack,
    channel: int,
    scaling: tuple[float, float],
    result: Evaluation,
) -> None:
    low, scale = scaling

    def planes() -> Iterator[NDArray[Any]]:  # one at a time: a stack may be larger than memory
        for z in range(stack.shape[2]):
            yield luma((_plane(stack, z, channel).astype(np.float64) - low) * scale)

    result.scores["qabf"] = qabf(grey, planes())
    result.scores["q_mi"] = q_mi(grey, planes())
    if true is None:
        reference = sum(planes(), np.zeros_like(grey)) / stack.shape[2]
    else:
        reference = luma(true)
    flat = flat_areas(reference)
    result.scores["noise_gain"] = noise_gain(grey, planes(), flat)


def _is_simulated(path: str | Path) -> bool:
    return (Path(path) / TRUTH / "zarr.json").is_file()


def _pixels(opened: FusedImage, channel: int, path: Any) -> NDArray[Any]:
    """One image as (Y, X), or (Y, X, 3) if it is RGB, in its own dtype."""
    return np.moveaxis(opened.image, 0, -1) if opened.rgb else _channel(opened.image, channel, path)


def _plane(stack: Stack, z: int, channel: int) -> NDArray[Any]:
    _, _, _, height, width = stack.shape
    pixels = stack.reader.read(0, slice(z, z + 1), slice(0, height), slice(0, width))[0]
    return np.moveaxis(pixels, 0, -1) if stack.rgb else _channel(pixels, channel, stack.source)


def _channel(pixels: NDArray[Any], channel: int, path: str | Path) -> NDArray[Any]:
    if len(pixels) == 1:  # a grey truth serves every channel
        return np.asarray(pixels[0])
    if channel >= len(pixels):
        raise ZfuseError(
            f"{path} has no channel {channel}: choose 0 to {len(pixels) - 1} with --channel"
        )
    return np.asarray(pixels[channel])


def _range(
    true: NDArray[Any] | None,
    stack: Stack | None,
    fused: NDArray[Any],
    channel: int,
    result: Evaluation,
) -> tuple[float, float]:
    """Values that become 0 and 255."""
    if fused.dtype == np.uint8:
        return 0.0, 255.0
    if true is not None:
        what, ranges = "truth", [_span(true)]
    elif stack is not None:
        what = "stack"
        ranges = [_span(_plane(stack, z, channel)) for z in range(stack.shape[2])]
    else:
        what, ranges = "fused image", [_span(fused)]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    result.notes.append(
        f"{low:g} to {high:g} counts, the range of the {what}, are scaled to 0 to 255"
    )
    return low, high if high > low else low + 1


def _span(values: NDArray[Any]) -> tuple[float, float]:
    return float(np.nanmin(values)), float(np.nanmax(values))


def _tile(fused: str | Path) -> int | None:
    """Edge of the tiles: of the shards, which are one a tile, of an OME-Zarr that zfuse wrote."""
    if not (Path(fused) / "zarr.json").is_file():
        return None
    import zarr

    group = zarr.open_group(fused, mode="r")
    if "zfuse" not in group.attrs or "0" not in group:
        return None
    array: Any = group["0"]
    return None if array.shards is None else int(array.shards[-1])
