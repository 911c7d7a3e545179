"""The stacks that confidence is fitted and checked on: many specimens, optics, cameras and faults.

Every stack follows from its number. None is of the sets that quality is judged by
(`simulated_set.py`, `quality_data.py`). Must not know: methods, features, what is fitted.

Half of the stacks are surfaces whose blur grows by 0.2 to 3.5 px a plane (between a Gaussian and a
disc, opaque edges in a quarter); the others are what `render_phantom` and `simulate` make: reliefs,
diatoms, fluorescence, stained sections. One in twelve shows nothing but noise. 2 to 60 planes; 300
photons to no noise at all; 8, 12 and 16 bits; some with bare patches, clipped highlights, depth
beyond the end planes, drift, JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import fft, ndimage

from zfuse.pipeline.scenes._renderings import defocus
from zfuse.pipeline.simulation import (
    make_relief,
    make_settings,
    make_texture,
    render_phantom,
    render_surface,
    render_surface_fast,
    simulate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

SIZE = 192  # px
_NOTHING = 12  # one in so many stacks shows nothing but noise
_RELIEFS = ("mixed", "slope", "steps", "fractal", "spheres")
_TEXTURES = ("rough", "fine", "sparse", "weak", "spots")


@dataclass(frozen=True)
class TrainingStack:
    """Planes (Z, Y, X), 8 or 16 bits, and the depth (Y, X) in planes; NaN where there is none."""

    planes: NDArray[Any]
    depth: Plane
    kind: str


def training_stack(number: int) -> TrainingStack:
    """Render stack `number`."""
    rng = np.random.default_rng((20_261_121, number))
    if number % _NOTHING == _NOTHING // 2:
        return _nothing(rng)
    kind = str(rng.choice(["surface", "phantom", "relief", "other"], p=[0.5, 0.25, 0.1, 0.15]))
    if kind == "surface":
        return _surface(rng)
    if kind == "phantom":
        return _phantom(rng)
    return _through_optics(rng, kind)


def _nothing(rng: np.random.Generator) -> TrainingStack:
    """Expose an empty field: photons, read noise, any gain."""
    shape = int(_log(rng, 2, 61)), SIZE, SIZE
    light = rng.poisson(_log(rng, 5, 20_000), shape) + rng.normal(0, rng.uniform(0.1, 5), shape)
    dtype = np.dtype(np.uint8 if rng.random() < 0.3 else np.uint16)
    top = np.iinfo(dtype).max
    counts = light * (_log(rng, 0.02, 0.9) * top / max(light.max(), 1))
    nothing = np.full((SIZE, SIZE), np.nan, np.float32)
    return TrainingStack(np.rint(counts).clip(0, top).astype(dtype), nothing, "nothing")


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _phantom(rng: np.random.Generator) -> TrainingStack:
    relief = str(rng.choice([*_RELIEFS, "diatoms"]))
    stack = render_phantom(
        int(_log(rng, 4, 45)), SIZE, _log(rng, 300, 8000), int(rng.integers(1 << 31)),
        relief=cast("Any", relief), texture=cast("Any", str(rng.choice(_TEXTURES))),
        blur=_log(rng, 0.4, 1.8), read_noise=rng.uniform(0.5, 3),
    )  # fmt: skip
    return TrainingStack(stack.planes, stack.depth, relief)


def _through_optics(rng: np.random.Generator, kind: str) -> TrainingStack:
    if kind == "other":
        kind = str(rng.choice(["fluorescence", "section"]))
    usual = make_settings(kind).optics.z_step
    settings = make_settings(
        kind,
        size=SIZE,
        planes=int(_log(rng, 6, 32)),
        z_step=usual * _log(rng, 0.4, 1.6),
        photons=_log(rng, 300, 20_000),
        drift=float(rng.choice([0.0, 0.0, 1.0])),
        seed=int(rng.integers(1 << 31)),
        bits=int(rng.choice([12, 16])),
    )
    stack = simulate(settings)
    depth = stack.depth_um / np.float32(settings.optics.z_step)
    return TrainingStack(stack.planes, depth, kind)


def _surface(rng: np.random.Generator) -> TrainingStack:
    """Render a surface that has bare patches, lies beyond the ends, is clipped or drifts."""
    planes = int(_log(rng, 2, 61))
    blur = _log(rng, 0.2, 3.5)
    blur = min(blur, 45 / planes) if planes > 12 else blur
    inside = max(planes, 4)
    margin = int(np.ceil(blur * inside)) + 6
    field = fft.next_fast_len(SIZE + 2 * margin)
    relief = str(rng.choice(_RELIEFS))
    depth = make_relief(cast("Any", relief), field, margin, inside, rng)
    depth = _range_of_depth(depth, planes, rng)
    surface = _dressed(field, depth, rng)
    # Layers lie within the stack: what is beyond its ends is rendered in a longer one.
    beyond = int(np.ceil(max(0.0, -float(depth.min()), float(depth.max()) - (planes - 1))))
    length = planes + 2 * beyond
    opaque = rng.random() < 0.25 and planes <= 24
    render = render_surface if opaque else render_surface_fast
    transfer = defocus(blur, rng.random(), length, field)
    cut = slice(margin, margin + SIZE)
    light = np.stack(
        [p[cut, cut] for p in render(surface, depth + np.float32(beyond), transfer, length)]
    )[beyond : beyond + planes]
    return TrainingStack(_camera(light, rng), depth[cut, cut], relief)


def _range_of_depth(depth: Plane, planes: int, rng: np.random.Generator) -> Plane:
    """Let a relief fill a part of the stack, all of it, or more."""
    low, high = float(depth.min()), float(depth.max())
    reach = float(rng.choice([rng.uniform(0.3, 1.0), 1.0, rng.uniform(1.0, 1.2)]))
    last = planes - 1
    middle = last / 2 + rng.uniform(-0.5, 0.5) * max(0.0, 1 - reach) * last
    unit = (depth - low) / max(high - low, 1e-6) - 0.5
    return np.asarray(middle + unit * reach * last, np.float32)


def _dressed(field: int, depth: Plane, rng: np.random.Generator) -> Plane:
    """Dress a relief in one or two textures, with bare patches in a third of the stacks."""
    first, second = (str(t) for t in rng.choice(_TEXTURES, 2))
    surface = make_texture(cast("Any", first), depth, rng)
    if rng.random() < 0.4:
        part = _patches(field, rng.uniform(0.3, 0.7), rng)
        surface = np.where(part, make_texture(cast("Any", second), depth, rng), surface)
    surface = surface ** np.float32(_log(rng, 0.35, 1.3))  # contrast
    if rng.random() < 0.33:
        bare = np.float32(_patches(field, rng.uniform(0.1, 0.5), rng))
        bare = ndimage.gaussian_filter(bare, 1.0)
        even = np.float32(rng.uniform(0.1, 0.8))
        surface = bare * even + (1 - bare) * surface
    return np.asarray(surface, np.float32)


def _patches(field: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    smooth = ndimage.gaussian_filter(rng.standard_normal((field, field)), rng.uniform(8, 30))
    patches: NDArray[np.bool_] = smooth > np.quantile(smooth, 1 - share)
    return patches


def _camera(light: Plane, rng: np.random.Generator) -> NDArray[Any]:
    """Expose: drift, gain, clipping, photon and read noise, bits."""
    if rng.random() < 0.15:
        way = rng.normal(0, _log(rng, 0.02, 0.3), (len(light), 2)).cumsum(0)
        way -= way[len(way) // 2]
        light = np.stack(
            [ndimage.shift(p, s, order=1, mode="reflect") for p, s in zip(light, way, strict=True)]
        )
    clipped = rng.random() < 0.2
    bright = float(np.quantile(light, 1 - _log(rng, 0.005, 0.15) if clipped else 0.9995))
    light = np.clip(light / bright, 0, None) * (1.0 if clipped else rng.uniform(0.3, 0.9))
    if rng.random() > 0.2:
        photons = _log(rng, 300, 60_000)
        electrons = rng.poisson(photons * light) + rng.normal(0, rng.uniform(0.5, 3), light.shape)
        light = electrons / photons
    bits = int(rng.choice([8, 12, 16]))
    black = float(rng.choice([0.0, 0.02]))
    top = 2**bits - 1
    counts = np.rint((black + (1 - black) * light) * top).clip(0, top)
    if bits == 8 and rng.random() < 0.4:
        return np.stack([_jpeg(plane, int(rng.integers(75, 98))) for plane in counts])
    return counts.astype(np.uint8 if bits == 8 else np.uint16)


def _jpeg(plane: NDArray[Any], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(plane.astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
