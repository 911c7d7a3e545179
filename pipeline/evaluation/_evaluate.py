"""Scores of a fused image: against a known truth, against the planes it came from, and on its own.

Duty: find image and depth behind the given paths, bring them to one scale, call the metrics. The
metrics of the field are defined on 0..255: 8-bit images are taken as they are, all others are
scaled so that the range of the truth (without one: of the planes, or of the fused image) becomes
0..255. Must not know: how a metric is computed, how images were made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.evaluation import _metrics as metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from zfuse.pipeline.core import Stack

__all__ = ["Evaluation", "evaluate"]

_MICROMETER, _PLANE = "micrometer", "plane"


@dataclass
class Evaluation:
    """Scores by name, in the order of printing, and lines about how they came about.

    Attributes
    ----------
    scores
        ``ssim``, ``psnr``, ``qabf``, ``q_mi``, ``spatial_frequency``, ``average_gradient``,
        ``depth_rmse``, ``depth_mae``, ``noise_gain``, ``seam_index``, ``depth_seam_index``: those
        that what was given allows. PSNR in dB, depth in `depth_unit`.
    notes
        What was assumed or left out.
    depth_unit
        ``"µm"`` or ``"planes"``.
    """

    scores: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    depth_unit: str = "µm"

    def __str__(self) -> str:
        labels = {
            "ssim": ("SSIM", "1 is best"),
            "psnr": ("PSNR", "dB"),
            "qabf": ("Q^AB/F", "edges kept, 1 is best"),
            "q_mi": ("Q_MI", "information kept, 2 is best"),
            "spatial_frequency": ("spatial frequency", "grey levels of 255; noise counts too"),
            "average_gradient": ("average gradient", "grey levels of 255 a px; noise counts too"),
            "depth_rmse": ("depth RMSE", self.depth_unit),
            "depth_mae": ("depth MAE", self.depth_unit),
            "noise_gain": ("noise gain", "of a single plane, in flat areas"),
            "seam_index": ("seam index", "jump across tile borders, 1 is none"),
            "depth_seam_index": ("depth seam index", "jump across tile borders, 1 is none"),
        }
        lines = [
            f"{labels[name][0]:<18} {value:>9.4f}  {labels[name][1]}"
            for name, value in self.scores.items()
        ]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])


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
        Channel that is scored; of RGB images the brightness (and for PSNR all three colours).
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
    truth = _truth(truth if truth is not None else planes, wanted=truth is not None)
    pixels, z_step = _image(fused, channel)
    true, true_z_step = (None, None) if truth is None else _image(truth, channel)
    stack = None if planes is None else _opened(planes)
    if stack is not None:
        z_step = stack.z_step or z_step
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
    grey = metrics.luma(image)
    if true is not None:
        true = (true.astype(np.float64) - low) * scale
        _against_truth(image, true, result)
    if stack is not None:
        _against_planes(grey, true, stack, channel, (low, scale), result)
    result.scores["spatial_frequency"] = metrics.spatial_frequency(grey)
    result.scores["average_gradient"] = metrics.average_gradient(grey)

    depth = _depth(fused)
    if depth is not None and truth is not None:
        _depth_scores(depth, _depth(truth), z_step or true_z_step, result)
    tile = tile or _tile(fused)
    if tile and tile < max(grey.shape):
        result.scores["seam_index"] = metrics.seam_index(grey, tile)
        if depth is not None:
            result.scores["depth_seam_index"] = metrics.seam_index(depth[0], tile)
    return result


def _against_truth(image: NDArray[Any], true: NDArray[Any], result: Evaluation) -> None:
    if image.shape != true.shape:  # colour against grey
        image, true = metrics.luma(image), metrics.luma(true)
    result.scores["ssim"] = metrics.ssim(metrics.luma(image), metrics.luma(true), data_range=255)
    result.scores["psnr"] = metrics.psnr(image, true, data_range=255)


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
            yield metrics.luma((_plane(stack, z, channel).astype(np.float64) - low) * scale)

    result.scores["qabf"] = metrics.qabf(grey, planes())
    result.scores["q_mi"] = metrics.q_mi(grey, planes())
    if true is None:
        reference = sum(planes(), np.zeros_like(grey)) / stack.shape[2]
    else:
        reference = metrics.luma(true)
    flat = metrics.flat_areas(reference)
    result.scores["noise_gain"] = metrics.noise_gain(grey, planes(), flat)


def _depth_scores(
    depth: tuple[NDArray[Any], str],
    true: tuple[NDArray[Any], str] | None,
    z_step: float | None,
    result: Evaluation,
) -> None:
    if true is None:
        return
    (found, unit), (wanted, true_unit) = depth, true
    if unit != true_unit:
        if z_step is None:
            result.notes.append(
                f"depth not compared: it is in {unit}s, the truth in {true_unit}s, and the z step "
                "is unknown; give the stack with --planes"
            )
            return
        found = found * (z_step if unit == _PLANE else 1)
        wanted = wanted * (z_step if true_unit == _PLANE else 1)
        true_unit = _MICROMETER
    known = np.isfinite(found) & np.isfinite(wanted)
    result.scores["depth_rmse"] = metrics.depth_rmse(found, wanted, where=known)
    result.scores["depth_mae"] = metrics.depth_mae(found, wanted, where=known)
    result.depth_unit = "µm" if true_unit == _MICROMETER else "planes"
    if true_unit == _MICROMETER and z_step:
        mae = result.scores["depth_mae"] / z_step
        result.notes.append(f"depth MAE is {mae:.3f} planes of {z_step:g} µm")
    if not known.all():
        result.notes.append(f"depth is compared in {known.mean():.1%} of the pixels: where known")


def _opened(path: str | Path) -> Stack:
    from zfuse.pipeline.sources import open_stack

    return open_stack(path)


def _image(path: str | Path, channel: int) -> tuple[NDArray[Any], float | None]:
    """One image as (Y, X), or (Y, X, 3) if it is RGB, in its own dtype; and its z step in µm."""
    from zfuse.pipeline.sources import open_stack

    if Path(path).is_file():
        return _image_file(Path(path), channel), None
    stack = open_stack(path)
    if stack.shape[2] != 1:
        raise ZfuseError(_too_many(path, stack.shape[2]))
    return _plane(stack, 0, channel), stack.z_step


def _too_many(path: str | Path, planes: int) -> str:
    return (
        f"{path} is a stack of {planes} planes, not one image; give the fused image first, the "
        "truth with --truth and the stack with --planes"
    )


def _image_file(path: Path, channel: int) -> NDArray[Any]:
    import imagecodecs
    import tifffile

    try:
        if path.suffix.lower() not in (".tif", ".tiff", ".btf"):
            pixels, axes = np.asarray(imagecodecs.imread(path)), "YXS"
        else:
            with tifffile.TiffFile(path) as file:
                pixels, axes = file.series[0].asarray(), file.series[0].axes
    except (OSError, ValueError) as error:
        raise ZfuseError(f"{path} cannot be read as an image: {error}") from error
    axes = axes[: pixels.ndim]
    for axis in [a for a in axes if a not in "YXSC"]:
        at = axes.index(axis)
        if pixels.shape[at] != 1:
            raise ZfuseError(_too_many(path, pixels.shape[at]))
        pixels, axes = pixels.squeeze(at), axes.replace(axis, "")
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)[..., :3]
        return pixels[..., 0] if pixels.shape[-1] < 3 else pixels
    return _channel(pixels, channel, path) if "C" in axes else pixels


def _truth(given: str | Path | None, *, wanted: bool) -> Path | str | None:
    """Where the truth lies: inside a simulated stack, or just where it was said to be."""
    from zfuse.pipeline.core import TRUTH

    if given is None:
        return None
    inside = Path(given) / TRUTH
    if (inside / "zarr.json").is_file():
        return inside
    return given if wanted else None


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


def _depth(image: str | Path) -> tuple[NDArray[Any], str] | None:
    """Depth map (Y, X) that belongs to an image, and its unit; None without one."""
    path = Path(image)
    if path.is_dir():
        path = path / "depth"
        if not (path / "zarr.json").is_file():
            return None
    else:
        stem = re.sub(r"(\.ome)?\.(tiff?|btf|png)$", "", path.name, flags=re.IGNORECASE)
        path = path.with_name(f"{stem}.depth.tif")
        if not path.is_file():
            return None
    return _image(path, 0)[0], _unit(path)


def _unit(path: Path) -> str:
    """Read the unit that zfuse's own maps name; µm for anybody else's."""
    if path.is_dir():
        import zarr

        said: Any = zarr.open_group(path, mode="r").attrs.get("zfuse", {})
        return str(said.get("unit", _MICROMETER)) if isinstance(said, dict) else _MICROMETER
    import tifffile

    with tifffile.TiffFile(path) as file:
        text = f"{file.pages.first.description} {file.imagej_metadata or ''}"
    found = re.search(rf"\bunit\W+(?:quot\W+)*({_MICROMETER}|{_PLANE})\b", text)
    return found[1] if found else _MICROMETER


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
