"""Slow, obvious twins of the kernels: the truth for every fast version."""

from __future__ import annotations

import numpy as np

SHIFTS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]


def neighbours(plane):
    """Nine shifted copies of a plane, replicated at its edge."""
    padded = np.pad(plane, 1, mode="edge")
    height, width = plane.shape
    return {
        (dy, dx): padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in SHIFTS
    }


def measure(name, plane):
    """Focus measure before the window sum, in exact Python-sized integers."""
    n = neighbours(plane.astype(np.int64))
    c, left, right, up, down = n[0, 0], n[0, -1], n[0, 1], n[-1, 0], n[1, 0]
    if name == "sml":
        return abs(2 * c - left - right) + abs(2 * c - up - down)
    if name == "laplacian-energy":
        return (4 * c - left - right - up - down) ** 2
    if name == "tenengrad":
        gx = n[-1, 1] + 2 * right + n[1, 1] - n[-1, -1] - 2 * left - n[1, -1]
        gy = n[1, -1] + 2 * down + n[1, 1] - n[-1, -1] - 2 * up - n[-1, 1]
        return gx**2 + gy**2
    if name == "brenner":
        return (right - left) ** 2 + (down - up) ** 2
    if name == "spatial-frequency":
        return (c - left) ** 2 + (c - up) ** 2
    raise KeyError(name)


def window_sum(values, window):
    """Sum over a square window that ends at the edge."""
    r = window // 2
    height, width = values.shape
    padded = np.pad(values, r)
    return sum(
        padded[dy : dy + height, dx : dx + width] for dy in range(window) for dx in range(window)
    )


def score(name, plane, window):
    """Window score of one plane as float32."""
    if name == "variance":
        p = plane.astype(np.int64)
        count = window_sum(np.ones_like(p), window)
        return (count * window_sum(p * p, window) - window_sum(p, window) ** 2).astype(np.float32)
    return window_sum(measure(name, plane), window).astype(np.float32)


def focus(stack, name, window):
    """Index, depth, confidence of a (Z, Y, X) integer stack: all planes at once, no fold."""
    scores = np.stack([score(name, plane, window) for plane in stack])
    planes = len(stack)
    index = scores.argmax(0)
    peak = scores.max(0).astype(np.float64)
    z = np.clip(index, 1, max(planes - 2, 1))
    inner = (index > 0) & (index < planes - 1) & (peak > 0)
    depth = index.astype(np.float64)
    if planes > 2:
        safe = np.where(peak > 0, peak, 1)
        p = np.take_along_axis(scores, (z - 1)[None], 0)[0] / safe
        q = np.take_along_axis(scores, (z + 1)[None], 0)[0] / safe
        bend = p + q - 2
        fit = inner & (bend < -1e-6)
        depth = depth + np.where(fit, 0.5 * (p - q) / np.where(fit, bend, 1), 0)
        depth = np.where(index == 0, _end_offset(scores / safe), depth)
        end = planes - 1 - _end_offset(scores[::-1] / safe)
        depth = np.where(index == planes - 1, end, depth)
    others = (scores.sum(0, dtype=np.float64) - peak) / max(planes - 1, 1)
    confidence = np.where(peak > 0, 1 - others / np.where(peak > 0, peak, 1), 0)
    return index, depth, np.clip(confidence, 0, 1) if planes > 1 else confidence * 0


def _end_offset(shares):
    """How far the vertex of a Gaussian through the first three shares lies inside the first one."""
    planes = len(shares)
    q, r = shares[1], shares[2]
    floor = np.clip(shares[3:].mean(0), 0, 0.9 * r) if planes > 3 else 0 * r
    known = (r > 0) & (q > shares[2:].max(0))
    level = known & (q > 1 - 1e-6)  # the vertex lies in the middle between the two
    fit = known & ~level
    a, b = (np.log(np.where(fit, (s - floor) / (1 - floor), 0.5)) for s in (q, r))
    rho = np.where(fit, b / a, 4)
    offset = np.where(rho > 4, (rho - 4) / np.where(rho > 4, 2 * rho - 4, 1), 0).clip(0, 0.5)
    return np.where(level, 0.5, offset)


def mirrored(planes, frame):
    """Planes whose outermost rows and columns mirror those inside: top, bottom, left, right."""
    top, bottom, left, right = frame
    height, width = planes.shape[-2:]
    inner = planes[..., top : height - bottom, left : width - right]
    sides = [(0, 0)] * (planes.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(inner, sides, "reflect")


def reduce_plane(fine):
    """Burt and Adelson's REDUCE in float64."""
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(fine.astype(np.float64), 2, mode="edge")
    height, width = fine.shape
    rows = sum(k * padded[i : i + height] for i, k in enumerate(kernel))
    full = sum(k * rows[:, i : i + width] for i, k in enumerate(kernel))
    return full[::2, ::2]


def expand_plane(coarse, shape):
    """Burt and Adelson's EXPAND in float64: zeros between the pixels, then the kernel times 2."""
    padded = np.pad(coarse.astype(np.float64), 1, mode="edge")
    up = np.zeros((padded.shape[0] * 2, padded.shape[1] * 2))
    up[::2, ::2] = padded
    kernel = np.array([1, 4, 6, 4, 1]) / 8
    up = np.pad(up, 2)
    height, width = up.shape[0] - 4, up.shape[1] - 4
    rows = sum(k * up[i : i + height] for i, k in enumerate(kernel))
    full = sum(k * rows[:, i : i + width] for i, k in enumerate(kernel))
    return full[2 : 2 + shape[0], 2 : 2 + shape[1]]


def box_mean(plane, radius):
    """Mean over a square window that ends at the edge."""
    window = 2 * radius + 1
    plane = plane.astype(np.float64)
    return window_sum(plane, window) / window_sum(np.ones_like(plane), window)


def guided_filter(plane, guide, radius, softness):
    """He, Sun and Tang's guided filter in float64, line by line from the paper's algorithm 1."""
    plane, guide = plane.astype(np.float64), guide.astype(np.float64)
    mean_guide, mean_plane = box_mean(guide, radius), box_mean(plane, radius)
    spread = box_mean(guide * guide, radius) - mean_guide**2
    together = box_mean(guide * plane, radius) - mean_guide * mean_plane
    slope = together / (spread + softness)
    offset = mean_plane - slope * mean_guide
    return box_mean(slope, radius) * guide + box_mean(offset, radius)


def log_activity(plane, floor):
    """Logarithm of the energy of a Laplacian of Gaussian over the floor, in float64."""
    n = neighbours(plane.astype(np.float64))
    smooth = sum(n[dy, dx] * (2 - abs(dy)) * (2 - abs(dx)) for dy, dx in SHIFTS) / 16
    n = neighbours(smooth)
    energy = (n[-1, 0] + n[1, 0] + n[0, -1] + n[0, 1] - 4 * n[0, 0]) ** 2
    return np.log2(1 + sum(neighbours(energy).values()) / 9 / floor)


def smooth(plane):
    """Binomial 3 x 3 smoothing times 16, exact."""
    n = neighbours(plane.astype(np.int64))
    return sum(n[dy, dx] * (2 - abs(dy)) * (2 - abs(dx)) for dy, dx in SHIFTS)


def filter_down(plane, taps, origin):
    """Low- or high-pass along the last axis, every second sample, edge replicated."""
    i = np.arange((plane.shape[1] + 1) // 2)
    at = np.clip(2 * i[:, None] + np.arange(len(taps)) - origin, 0, plane.shape[1] - 1)
    return plane.astype(np.float64)[:, at] @ taps.astype(np.float64)


def majority(labels, radius):
    """Median label of a square window; the own one where it lies between the two in the middle."""
    out = np.empty_like(labels)
    for y, x in np.ndindex(labels.shape):
        rows = slice(max(y - radius, 0), y + radius + 1)
        columns = slice(max(x - radius, 0), x + radius + 1)
        votes = np.sort(labels[rows, columns], axis=None)
        out[y, x] = np.clip(labels[y, x], votes[(votes.size - 1) // 2], votes[votes.size // 2])
    return out


def warp(plane, transform):
    """Lanczos-3 sum at the exact place of each pixel; NaN where the plane does not reach."""
    yy, yx, y0, xy, xx, x0 = transform
    height, width = plane.shape
    out = np.full(plane.shape, np.nan)
    for y, x in np.ndindex(plane.shape):
        v, u = yy * y + yx * x + y0, xy * y + xx * x + x0
        if not (-0.5 <= v < height - 0.5 and -0.5 <= u < width - 0.5):
            continue
        rows, columns = (np.arange(np.floor(p) - 2, np.floor(p) + 4).astype(int) for p in (v, u))
        a, b = (np.sinc(p - i) * np.sinc((p - i) / 3) for p, i in ((v, rows), (u, columns)))
        taps = plane[np.clip(rows, 0, height - 1)][:, np.clip(columns, 0, width - 1)]
        out[y, x] = a @ taps.astype(np.float64) @ b / (a.sum() * b.sum())
    return out
