"""How far the best focus lies from a depth that is nearly right (CPU).

Duty: two sums over the planes for each pixel, and the offset that they say together with those of
the neighbours. Must not know: where the depth comes from, what its planes were made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import float32

from zfuse.kernels.cpu._jit import jit, jit_allocating
from zfuse.kernels.cpu._rows import add_product, add_row, copy_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["RunningOffset", "add_offset", "settle_offset"]


class RunningOffset(NamedTuple):
    """Sums over the planes round a depth p; all (h, w) float32.

    With e_z the focus energy of plane z, and h(t) = max(1 - t² / (6 w²), 0)³ what of it is left at
    a distance t from focus (close to exp(-t² / (2 w²))):

    Attributes
    ----------
    depth : in planes
        p; given.
    level, slope : energy, energy per plane
        Σ_z e_z h(z - p) and -Σ_z e_z h'(z - p). Start at 0.
    """

    depth: Plane
    level: Plane
    slope: Plane


@jit
def _energy_row(above, row, below, energy):
    last = row.size - 1
    for x in range(1, last):
        g = float32(4) * row[x] - (row[x - 1] + row[x + 1]) - (above[x] + below[x])
        energy[x] = g * g
    for x in (0, last):
        beside = row[max(x - 1, 0)] + row[min(x + 1, last)]
        g = float32(4) * row[x] - beside - (above[x] + below[x])
        energy[x] = g * g


@jit
def _add_row(energy, depth, z, scale, level, slope):
    for x in range(energy.size):
        t = z - depth[x]
        u = max(float32(1) - t * t * scale, float32(0))
        e = energy[x] * u * u
        level[x] += e * u
        slope[x] += e * t * (float32(6) * scale)


@jit_allocating
def add_offset(
    plane: Plane, top: int, left: int, z: int, width: float, sums: RunningOffset
) -> None:
    """Add one plane to the sums, in place; its focus energy is (4 c - l - r - u - d)².

    Parameters
    ----------
    plane : (Y, X) float32
        With a pixel more than the sums on all sides, except at the image's own edge.
    top, left : int
        Where the sums lie in the plane.
    z : int
        Index of the plane.
    width : float
        w, in planes.
    sums : RunningOffset, (h, w)
        Updated.
    """
    energy = np.empty(plane.shape[1], np.float32)
    scale = np.float32(1 / (6 * width * width))
    last = plane.shape[0] - 1
    height, columns = sums.depth.shape
    for i in range(height):
        y = top + i
        _energy_row(plane[max(y - 1, 0)], plane[y], plane[min(y + 1, last)], energy)
        _add_row(
            energy[left : left + columns], sums.depth[i], np.float32(z), scale, sums.level[i],
            sums.slope[i],
        )  # fmt: skip


@jit
def _solve_row(depth, level, slope, floor, planes, width, pull, gain):
    """Write pull and gain of one row; see `settle_offset`."""
    scale = float32(1) / (float32(6) * width * width)
    reach = width * float32(np.sqrt(6.0))
    for x in range(depth.size):
        p = depth[x]
        s0 = s1 = h0 = h00 = h01 = h11 = float32(0)
        for z in range(max(int(np.ceil(p - reach)), 0), min(int(p + reach), planes - 1) + 1):
            t = float32(z) - p
            u = max(float32(1) - t * t * scale, float32(0))
            h = u * u * u
            g = float32(6) * scale * t * u * u
            s0 += h
            s1 += g
            h00 += h * h
            h01 += h * g
            h11 += g * g
        f = floor[x]
        y0, y1 = level[x] - f * s0, slope[x] - f * s1
        h0 = max(h00, float32(1e-6))
        a = y0 / h0
        spread = max(h11 - h01 * h01 / h0, float32(0))
        pull[x] = y1 - h01 * a
        gain[x] = a * spread


_MOST = 0.7  # planes: further off the model of one peak does not hold


@jit
def _settle_row(depth, pull, gain, y, x, radius, scale, agreement, force, weight, spread):
    """Add up the discs round the pixels of row `y` from column `x` on."""
    width = force.size
    force[:] = float32(0)
    weight[:] = float32(0)
    spread[:] = float32(0)
    here = depth[y, x : x + width]
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx > radius * radius + radius:
                continue
            i, j = y + dy, x + dx
            _agree(depth[i, j : j + width], here, scale, agreement)
            add_product(agreement, pull[i, j : j + width], force)
            add_product(agreement, gain[i, j : j + width], weight)
            _add_spread(agreement, pull[i, j : j + width], spread)


@jit
def _agree(there, here, scale, agreement):
    for x in range(agreement.size):
        t = there[x] - here[x]
        u = max(float32(1) - t * t * scale, float32(0))
        agreement[x] = u * u * u


@jit
def _add_spread(agreement, pull, spread):
    for x in range(agreement.size):
        force = agreement[x] * pull[x]
        spread[x] += force * force


@jit
def _take_away(gain, step, pull):
    for x in range(step.size):
        pull[x] -= gain[x] * step[x]


@jit
def _shrink_row(force, weight, spread, prior, step):
    for x in range(step.size):
        w = max(weight[x], float32(0))
        # Ratios, not squares: energies of 18-bit planes would leave float32.
        precision = spread[x] / max(w, float32(1e-20)) * (float32(1) / prior)
        found = force[x] / max(w + precision, float32(1e-20))
        step[x] = min(max(found, float32(-_MOST)), float32(_MOST))


@jit_allocating
def settle_offset(
    sums: RunningOffset,
    floor: Plane,
    planes: int,
    width: float,
    tolerance: float,
    radii: NDArray[np.int64],
    priors: NDArray[np.float32],
    out: Plane,
) -> None:
    """Solve the sums for the offset of the depth, together with neighbours of like depth.

    Near focus e_z = f + a h(z - p - δ) + noise, to first order in δ a sum of h and h'. Least
    squares over the planes that exist, at the first and the last plane as well as between, gives
    for each pixel a and the normal equation gain · δ = pull, with h_ij the sums of products of h
    and -h' over those planes::

        a = (level - f Σ h) / h_00
        pull = slope + f Σ h' - a h_01
        gain = a (h_11 - h_01² / h_00)

    Pull and gain are added up over discs whose depths agree, by
    k = max(1 - (p_j - p)² / (6 tolerance²), 0)³, and δ is what a prior variance leaves of it, for
    each radius of what the one before has left::

        δ = Σ k pull / (Σ k gain + Σ (k pull)² / (prior Σ k gain))
        pull ← pull - gain δ

    How far the pulls in a disc scatter round 0 is their variance, whatever makes them differ:
    noise, the grain of the texture, a model that does not fit. (White, Econometrica 48, 1980, of
    heteroscedastic regression.) What is known of noise alone says too little where there is none.

    Parameters
    ----------
    sums : RunningOffset, (h, w)
        After the last plane.
    floor : (h, w) float32
        f: mean energy of a plane out of focus.
    planes : int
        Number of planes.
    width : float
        w, in planes.
    tolerance : float
        In planes.
    radii, priors : (n,) int, float32
        Of the discs in pixels, and prior variances in planes².
    out : (h, w) float32
        Result δ, in planes.
    """
    height, columns = out.shape
    most = 0
    for r in radii:
        most = max(most, r)
    shape = (height + 2 * most, columns + 2 * most)
    # Beyond the edge nothing pulls.
    depth, pull = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    gain = np.zeros(shape, np.float32)
    inside = slice(most, most + columns)
    for y in range(height):
        copy_row(sums.depth[y], depth[y + most, inside])
        _solve_row(
            sums.depth[y], sums.level[y], sums.slope[y], floor[y], planes, np.float32(width),
            pull[y + most, inside], gain[y + most, inside],
        )  # fmt: skip
    scratch = np.empty((4, columns), np.float32)
    step = np.empty((height, columns), np.float32)
    scale = np.float32(1 / (6 * tolerance * tolerance))
    out[:] = 0
    for i in range(radii.size):
        for y in range(height):
            _settle_row(
                depth, pull, gain, y + most, most, radii[i], scale, scratch[0], scratch[1],
                scratch[2], scratch[3],
            )  # fmt: skip
            _shrink_row(scratch[1], scratch[2], scratch[3], priors[i], step[y])
        for y in range(height):
            add_row(step[y], out[y])
            _take_away(gain[y + most, inside], step[y], pull[y + most, inside])
