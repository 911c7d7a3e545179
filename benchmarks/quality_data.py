"""What quality is measured on: every stack with what is known of its truth.

Duty: cases by data set, rendered from fixed seeds or read from a data folder. The exam (pairs 81 to
120 of MFI-WHU, 13 to 20 of Lytro) is never opened. Must not know: methods, scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from simulated_set import copied_at_true_depth, simulated_set

from zfuse.pipeline.alignment._align import align_stack
from zfuse.pipeline.simulation import make_settings, render_phantom, simulate
from zfuse.pipeline.sources import from_array, open_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from zfuse.pipeline.core._stack import Stack
    from zfuse.pipeline.simulation import Phantom


@dataclass(frozen=True)
class Case:
    """One stack: planes (Z, Y, X) or (Z, Y, X, 3), and what is known of its truth."""

    name: str
    planes: NDArray[Any]
    image: NDArray[Any] | None = None
    depth: NDArray[Any] | None = None
    """In planes; NaN where nothing has a depth."""
    copied: NDArray[Any] | None = None
    """The pixel of the true depth."""
    inner: tuple[slice, slice] = (slice(None), slice(None))
    """What of the planes the truth covers."""
    radius: float = 0.0
    """Of the disc in the middle."""
    published: NDArray[Any] | None = None
    """What another program's authors show of these planes."""

    def stack(self) -> Stack:
        """Return the planes as zfuse takes them."""
        if self.planes.ndim == 3:
            return from_array(self.planes)
        return replace(from_array(np.moveaxis(self.planes, -1, 1), axes="ZCYX"), rgb=True)


def simulated() -> Iterator[Case]:
    """Yield the eight stacks that zfuse is developed with."""
    for name, phantom in simulated_set():
        yield _of_phantom(name, phantom)


def unseen() -> Iterator[Case]:
    """Yield 24 stacks that nothing is ever tuned on, of random kinds and parameters."""
    rng = np.random.default_rng(20_261_120)
    for number in range(24):
        relief = str(rng.choice(["mixed", "slope", "steps", "fractal", "spheres"]))
        texture = str(rng.choice(["rough", "fine", "sparse", "weak", "spots"]))
        planes = int(rng.integers(12, 25))
        photons = float(np.exp(rng.uniform(np.log(600), np.log(3000))))
        blur = float(rng.uniform(0.7, 1.2))
        phantom = render_phantom(
            planes, 256, photons, seed=77_000 + number, relief=relief, texture=texture, blur=blur,
            read_noise=float(rng.uniform(1.0, 2.5)),
        )  # fmt: skip
        yield _of_phantom(f"{relief}-{texture}-{planes}-{photons:.0f}-{blur:.2f}", phantom)


def _of_phantom(name: str, phantom: Phantom) -> Case:
    return Case(name, phantom.planes, phantom.image, phantom.depth, copied_at_true_depth(phantom))


def optics() -> Iterator[Case]:
    """Yield stacks rendered through a microscope's point spread function."""
    for kind in ("relief", "fluorescence", "section"):
        for seed in (11, 12):
            stack = simulate(make_settings(kind, size=320, seed=seed))
            depth = stack.depth_um / stack.settings.optics.z_step
            nearest = np.rint(np.nan_to_num(depth)).astype(np.intp).clip(0, len(stack.planes) - 1)
            copied = np.take_along_axis(stack.planes, nearest[None], 0)[0]
            copied = copied if kind == "relief" else None  # the others are transparent
            yield Case(kind, stack.planes, stack.image, depth, copied)


def halo() -> Iterator[Case]:
    """Yield a bright disc in front of a textured ground six planes away, without noise."""
    for radius in (3, 8, 15, 30):
        rng = np.random.default_rng(0)
        size = 220
        y, x = np.mgrid[:size, :size] - size / 2
        disc = (np.hypot(y, x) <= radius).astype(np.float64)
        ground = ndimage.gaussian_filter(rng.normal(size=(size, size)), 1)
        ground = (5000 + 1000 * ground / ground.std()).clip(200)
        top = ndimage.gaussian_filter(rng.normal(size=(size, size)), 1)
        top = 25_000 + 1000 * top / top.std()
        planes = []
        for z in range(13):
            near, far = abs(z - 3) + 0.01, abs(z - 9) + 0.01  # px of blur
            cover = ndimage.gaussian_filter(disc, near)
            behind = (1 - cover) * ndimage.gaussian_filter(ground, far)
            planes.append(ndimage.gaussian_filter(disc * top, near) + behind)
        stack = np.rint(planes).astype(np.uint16)
        depth = np.where(disc > 0, 3.0, 9.0)
        copied = np.where(disc > 0, stack[3], stack[9])
        yield Case(
            f"{radius} px", stack, disc * top + (1 - disc) * ground, depth, copied, radius=radius
        )


def flat() -> Iterator[Case]:
    """Yield stacks whose right half is a flat field that is never in focus; noise alone."""
    phantom = render_phantom(16, 320, 1000, seed=5, relief="slope", texture="rough", blur=1.0)
    rng = np.random.default_rng(6)
    electron = float(phantom.image.max()) / 1000
    even = rng.poisson(300, phantom.planes.shape) * electron
    spots = np.zeros((320, 320))
    spots[rng.integers(10, 310, 60), rng.integers(10, 150, 60)] = 1
    depth = np.where(spots > 0, rng.integers(2, 14, spots.shape), 0)
    dark = []
    for z in range(16):
        light = sum(
            ndimage.gaussian_filter(np.where(depth == d, spots, 0), np.hypot(1.2, 0.9 * (z - d)))
            for d in range(2, 14)
        )
        dark.append(400 + rng.poisson(8 + 9000 * light) * 40 + rng.normal(0, 80, light.shape))
    beside = phantom.planes.copy()
    beside[..., 160:] = even[..., 160:].clip(0, 65_535)
    for name, planes in (
        ("empty field", even.clip(0, 65_535)),
        ("beside texture", beside),
        ("dark, beside spots", np.clip(dark, 0, 65_535)),
    ):
        yield Case(name, planes.astype(np.uint16), inner=(slice(32, -32), slice(192, -32)))


def mfi(data: Path, first: int = 1) -> Iterator[Case]:
    """Yield pairs of MFI-WHU up to 80."""
    folder = data / "pairs" / "mfi_whu"
    for number in range(first, 81):
        pair = np.stack([_picture(folder / f"source_{k}" / f"{number}.jpg") for k in (1, 2)])
        yield Case(f"{number}", pair, _picture(folder / "full_clear" / f"{number}.jpg"))


def lytro(data: Path) -> Iterator[Case]:
    """Yield pairs 1 to 12 of Lytro."""
    folder = data / "pairs" / "lytro"
    for number in range(1, 13):
        name = f"lytro-{number:02d}"
        yield Case(name, np.stack([_picture(folder / f"img{k}" / f"{name}.jpg") for k in (1, 2)]))


def relief(data: Path, numbers: tuple[int, ...] = (1, 3)) -> Iterator[Case]:
    """Yield some of synthetic_relief_cou_1 to _4; the tables of the page show 1 and 3."""
    import tifffile

    for number in numbers:
        folder = data / "stacks" / f"synthetic_relief_cou_{number}"
        planes = np.stack([_picture(file) for file in sorted(folder.glob("z*.jpg"))])
        depth = tifffile.imread(folder / "gt" / "depth_plane_index_crop20.tif")
        inner = (slice(20, 20 + depth.shape[0]), slice(20, 20 + depth.shape[1]))
        image = _picture(folder / "gt" / "aif_derived_crop20.png")
        yield Case(f"cou_{number}", planes, image, depth, inner=inner)


def real(data: Path) -> Iterator[Case]:
    """Yield the real stacks; of several channels the first, RGB as it is."""
    for name, stack in real_stacks(data):
        yield Case(name, _planes(stack))


def orders(data: Path) -> Iterator[Case]:
    """Yield a simulated stack of 16 planes and a real one of 11, to fuse in different orders."""
    yield next(case for case in simulated() if case.name == "mixed-sparse")
    yield from (replace(c, name=_short(c.name)) for c in middles(data, "reflected_pcb_tagarno"))


def middles(data: Path, only: str = "") -> Iterator[Case]:
    """Yield the middle of the real stacks: up to 512 px and 12 planes, aligned to each other."""
    for name, stack in real_stacks(data):
        if only in name:
            yield Case(name, _middle(stack))


def claimed(data: Path, published: Path | None) -> Iterator[Case]:
    """Yield real stacks and pairs for scores without a truth; pairs under one name for their mean.

    Parameters
    ----------
    data
        Pairs and stacks.
    published
        ``examples/pcb`` of github.com/PetteriAimonen/focus-stack: seven planes, and what
        focus-stack made of them.
    """
    yield from middles(data)
    if published is not None:
        planes = np.stack([_picture(file) for file in sorted(published.glob("pcb_*.jpg"))])
        fused = _inner(_picture(published / "expected.jpg"))
        stack = Case("", planes).stack()
        yield Case("focus-stack's example", _middle(stack), published=fused)
    for name, pairs in (("MFI-WHU 71 to 80", mfi(data, 71)), ("Lytro 1 to 12", lytro(data))):
        yield from (Case(name, pair.planes) for pair in pairs)


def real_stacks(data: Path) -> Iterator[tuple[str, Stack]]:
    """Yield the real stacks as they lie there; of the cytological pairs the first."""
    for folder in sorted((data / "stacks").iterdir()):
        if folder.is_dir() and not folder.name.startswith("synthetic"):
            inside = folder / "0007" if folder.name == "cytology_pairs_ecnu" else folder
            yield folder.name, open_stacks(inside)[0]


def _planes(stack: Stack) -> NDArray[Any]:
    """Read planes (Z, Y, X, 3) of an RGB stack, (Z, Y, X) of the first channel of any other."""
    _, channels, z, y, x = stack.shape
    planes = stack.reader.read(0, slice(0, z), slice(0, y), slice(0, x))
    keep = np.moveaxis(planes, 1, -1) if stack.rgb and channels == 3 else planes[:, 0]
    return np.ascontiguousarray(keep)


def _middle(stack: Stack) -> NDArray[Any]:
    aligned = align_stack(stack, "similarity").stack
    planes = _planes(aligned)
    chosen = np.unique(np.linspace(0, len(planes) - 1, min(len(planes), 12)).round().astype(int))
    return np.stack([_inner(planes[z]) for z in chosen])


def _inner(image: NDArray[Any], size: int = 512) -> NDArray[Any]:
    top, left = (max(0, (n - size) // 2) for n in image.shape[:2])
    return image[top : top + size, left : left + size]


def _short(name: str) -> str:
    return name.rpartition("_")[2]


def _picture(file: Path) -> NDArray[np.uint8]:
    from skimage.io import imread

    return np.asarray(imread(file))
