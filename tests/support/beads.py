"""Beads whose brightness is known: what a picture that is measured has to keep.

Gaussian beads on a grid, each at a depth of its own; defocus widens a bead and keeps its light. A
camera adds photon and read noise, an offset, and rounds to 8 or 16 bits.
"""

from dataclasses import dataclass

import numpy as np

_PITCH = 48  # px: at 10 px a plane's bead has lost nothing to its neighbours
_OFFSET = 400.0


@dataclass(frozen=True)
class Beads:
    """A stack of beads: planes (Z, Y, X), and of each bead where it lies and how wide it is."""

    planes: np.ndarray
    centres: np.ndarray
    """(n, 2), y and x, px."""
    depths: np.ndarray
    """(n,), in planes."""
    widths: np.ndarray
    """(n,), standard deviation in focus, px."""

    def brightness(self, image, reach):
        """Return the mean over background (n,) within `reach` widths of each bead's centre."""
        found = []
        for (y, x), width in zip(self.centres, self.widths, strict=True):
            rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
            away = np.hypot(rows - y, columns - x)
            ground = np.median(image[(away > _PITCH / 2 - 3) & (away < _PITCH / 2)])
            found.append(image[away <= max(reach * width, 1)].astype(float).mean() - ground)
        return np.array(found)

    def best(self, reach):
        """Return the same of each bead's best plane: the one nearest to its depth."""
        of_planes = np.array([self.brightness(plane, reach) for plane in self.planes])
        nearest = np.rint(self.depths).astype(int)
        return of_planes[nearest, np.arange(len(nearest))]


def make_beads(
    seed=0, *, planes=11, blur=1.5, between=0.0, electron=2.0, read=2.0, bits=16, rows=4,
    heights=(2000.0, 20_000.0), widths=(1.0, 3.0),
) -> Beads:  # fmt: skip
    """Render beads.

    Parameters
    ----------
    blur
        Standard deviation that a plane of defocus adds, px.
    between
        Beads lie so far beyond a plane, in planes.
    electron
        Counts an electron.
    read
        Read noise in electrons.
    bits
        8: counts are divided by 128.
    heights, widths
        Range of the peaks over the offset, counts, and of the standard deviations in focus, px.
    """
    rng = np.random.default_rng(seed)
    n, size = rows * rows, rows * _PITCH
    grid = np.stack(np.mgrid[:rows, :rows], -1).reshape(-1, 2) * _PITCH + _PITCH // 2
    centres = grid + rng.uniform(-3, 3, (n, 2))
    depths = rng.integers(2, planes - 2, n) + between
    height = np.exp(rng.uniform(*np.log(heights), n))
    width = rng.uniform(*widths, n)
    y, x = np.arange(size)[None], np.arange(size)[None]
    stack = []
    for z in range(planes):
        sigma = np.hypot(width, blur * (z - depths))[:, None]
        down = np.exp(-((y - centres[:, :1]) ** 2) / 2 / sigma**2) * (width[:, None] / sigma)
        across = np.exp(-((x - centres[:, 1:]) ** 2) / 2 / sigma**2) * (width[:, None] / sigma)
        light = 40 * electron + np.einsum("n,ny,nx->yx", height, down, across)
        counts = rng.poisson(light / electron) * electron + rng.normal(
            0, read * electron, light.shape
        )
        stack.append(counts + _OFFSET)
    values = np.array(stack) if bits == 16 else np.array(stack) / 128
    dtype = np.uint16 if bits == 16 else np.uint8
    values = np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
    return Beads(values, centres, depths, width)
