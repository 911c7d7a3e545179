"""Calls of every kernel with small arrays of odd sizes: the same for the CPU, the simulator, PTX.

A case is a function of a face of kernels and of what brings an array to its side; it returns the
arrays that the kernel wrote.
"""

from __future__ import annotations

import numpy as np

from zfuse.kernels import (
    INVALID,
    MEASURES,
    NO_WEIGHT,
    DepthClues,
    FineLimits,
    FocusWeights,
    RunningOffset,
    RunningPeak,
    ScaleVariance,
    accumulator,
)


def _random(seed=0):
    return np.random.default_rng(seed)


def _floats(*shape, seed=0):
    return _random(seed).normal(size=shape).astype("f4")


def _empty(to, *shape, dtype="f4"):
    return to(np.zeros(shape, dtype))


def _pixels(dtype, shape):
    high = {"u1": 256, "u2": 65536, "i4": 2**18}[dtype]
    return _random().integers(0, high, shape).astype(dtype)


def new_peak(to, *shape):
    return RunningPeak(
        to(np.full(shape, -2, "f4")),
        *(_empty(to, *shape) for _ in range(2)),
        *(_empty(to, *shape, dtype="u2") for _ in range(3)),
    )


def focus(
    dtype, measure, window, shape, core=None, least=False, spoilt=False, pixels=None, frame=None
):
    """Fold in blocks of two planes, then finish."""

    def case(kernels, to):
        signal = _pixels(dtype, shape)
        if spoilt:
            signal[1, 2:4, 3] = INVALID
        planes, height, width = shape
        top, left, h, w = core or (0, 0, height, width)
        peak, kind = new_peak(to, h, w), pixels or dtype
        image = _empty(to, 1, h, w, dtype=kind)
        for z in range(0, planes, 2):
            block = signal[z : z + 2].copy()
            kernels.fold_focus(
                to(block), to((block == INVALID).any((1, 2))), to(block[:, None].astype(kind)),
                top, left, z, MEASURES[measure], least, window, accumulator(measure), peak, image,
                *(() if frame is None else (frame,)),
            )  # fmt: skip
        depth, confidence = _empty(to, h, w), _empty(to, h, w)
        kernels.finish_focus(peak, planes, depth, confidence, 3.0)
        plain = to(np.zeros((h, w), "f4"))
        kernels.finish_focus(peak, planes, plain, confidence)
        kernels.fit_ends(peak.plane, peak.before, peak.after, confidence, planes, depth)
        return (*peak, image, depth, confidence, plain)

    return case


def _focus_cases():
    cases = {}
    for measure in sorted(MEASURES):
        cases[f"fold_focus-{measure}-u2"] = focus("u2", measure, 9, (5, 13, 20))
    for dtype in ("u1", "i4"):
        cases[f"fold_focus-sml-{dtype}"] = focus(dtype, "sml", 9, (4, 9, 16))
        cases[f"fold_focus-variance-{dtype}"] = focus(dtype, "variance", 5, (3, 7, 12))
    cases["fold_focus-odd"] = focus("u2", "sml", 3, (4, 7, 11))
    cases["fold_focus-odd-u1"] = focus("u1", "tenengrad", 3, (3, 6, 9))
    cases["fold_focus-core"] = focus("u2", "sml", 3, (4, 12, 20), core=(3, 6, 5, 9))
    cases["fold_focus-least"] = focus("u2", "sml", 3, (3, 6, 9), least=True)
    cases["fold_focus-spoilt"] = focus("i4", "sml", 3, (4, 9, 11), spoilt=True)
    cases["fold_focus-spoilt-variance"] = focus("i4", "variance", 3, (4, 9, 11), spoilt=True)
    cases["fold_focus-float"] = focus("i4", "sml", 3, (3, 6, 9), pixels="f4")
    cases["fold_focus-framed"] = focus("u2", "tenengrad", 3, (3, 9, 12), frame=(2, 1, 3, 2))
    cases["fold_focus-framed-variance"] = focus("u1", "variance", 3, (3, 9, 12), frame=(1, 2, 0, 3))
    cases["fold_focus-one-pixel"] = focus("u2", "sml", 3, (3, 1, 1))
    cases["fold_focus-wide-window"] = focus("u2", "brenner", 45, (2, 5, 8))
    return cases


def strongest(kernels, to):
    best, kept = to(np.full((7, 9), -1, "f4")), _empty(to, 2, 7, 9)
    for z in range(3):
        decision = _floats(3, 7, 9, seed=z)
        decision[0, z, z] = np.nan
        kernels.keep_strongest(to(decision), to(_floats(2, 7, 9, seed=9 + z)), best, kept)
    return best, kept


def strength(kernels, to):
    depth, halves = _floats(7, 9), (_empty(to, 4, 5), _empty(to, 4, 5))
    kernels.reduce_by_strength(to(depth), to(abs(_floats(7, 9, seed=1))), *halves)
    return halves


def majority(radius, count):
    def case(kernels, to):
        labels = _random().integers(0, count, (13, 17)).astype("u2")
        out = _empty(to, 9, 10, dtype="u2")
        kernels.majority_filter(to(labels), 2, 5, radius, count, out)
        return (out,)

    return case


def fine(half):
    def case(kernels, to):
        limits = FineLimits((0.2, 1.0), (0.1, 0.9), 1.5, 1.2)
        depth = to(_floats(*((4, 5) if half else (7, 9))))
        out, better = _empty(to, 7, 9), _empty(to, 7, 9, dtype=bool)
        fine, significance = to(_floats(7, 9, seed=1)), to(abs(_floats(7, 9, seed=2)))
        kernels.place_fine(depth, fine, significance, limits, out, better)
        return out, better

    return case


def smooth(dtype, shift):
    def case(kernels, to):
        plane = _pixels(dtype, (9, 11))
        if dtype == "i4":
            plane[4, 5] = plane[0, 0] = INVALID
        out = _empty(to, 9, 11, dtype="i4")
        kernels.smooth_signal(to(plane), 1, 8, shift, dtype == "i4", out)
        return (out,)

    return case


def halves(dtype, shape):
    def case(kernels, to):
        image = (100 * _floats(*shape)).astype(dtype)
        if image.dtype.kind == "f":
            image[0, 0] = image[-1, -1] = np.nan
        out = _empty(to, *((n + 1) // 2 for n in shape), dtype=dtype)
        kernels.downsample(to(image), out)
        return (out,)

    return case


def pyramid(shape):
    def case(kernels, to):
        fine, coarse = to(_floats(*shape)), _empty(to, *((n + 1) // 2 for n in shape))
        band, back = _empty(to, *shape), _empty(to, *shape)
        kernels.reduce_plane(fine, coarse)
        kernels.subtract_expanded(fine, coarse, band)
        kernels.add_expanded(band, coarse, back)
        return coarse, band, back

    return case


def wavelet(shape, length, origin):
    def case(kernels, to):
        taps = to(_floats(2, length))
        bands = [_empty(to, *((n + 1) // 2 for n in shape)) for _ in range(4)]
        kernels.analyse_plane(to(_floats(*shape)), taps, taps, origin, origin, *bands)
        plane = to(_floats(*shape, seed=3))
        kernels.synthesise_plane(*bands, taps, taps, origin, origin, 0.3, plane)
        return (*bands, plane)

    return case


def guided(shape, radius):
    def case(kernels, to):
        out = _empty(to, *shape)
        kernels.guided_filter(to(_floats(*shape)), to(_floats(*shape, seed=1)), radius, 0.3, out)
        return (out,)

    return case


def signal(dtype):
    def case(kernels, to):
        pixels = (1000 * abs(_floats(2, 3, 5, 7))).astype(dtype)
        if pixels.dtype.kind == "f":
            pixels[1, 0, 2, 3], pixels[1, 1, 0, 0] = np.nan, np.inf
        out, invalid = _empty(to, 2, 5, 7, dtype="i4"), to(np.ones(2, bool))
        weights = to(np.array([0.3, 1.7, 0.0]))
        kernels.mix_signal(to(pixels), weights, 2.5, _empty(to, 7, dtype="f8"), out, invalid)
        return out, invalid

    return case


def warp(dtype, integer, fade):
    def case(kernels, to):
        plane = (100 * abs(_floats(24, 31))).astype(dtype)
        transform = to(np.array([0.98, 0.05, -1.3, -0.05, 0.98, 2.6]))
        out = to(np.full((24, 31), 7, dtype))
        kernels.warp_plane(
            to(plane), (0, 0), (24, 31), transform, (0, 0), integer, (0.0, 200.0), fade, out
        )
        return (out,)

    return case


def unreached(kernels, to):
    transforms = np.tile(np.array([1.0, 0, 0, 0, 1, 0]), (2, 1))
    transforms[1, 2] = 3
    depth = to(np.array([[0, 0.25, 0.75, 1, np.nan]], "f4").repeat(10, 0))
    confidence = to(np.ones((10, 5), "f4"))
    kernels.invalidate_unreached(to(transforms), (10, 5), (0, 0), 0, depth, confidence)
    return depth, confidence


def wiener(shape):
    def case(kernels, to):
        band, coarse = to(_floats(*shape)), to(_floats(*((n + 1) // 2 for n in shape)))
        norm, square = to(abs(_floats(*shape, seed=1))), to(abs(_floats(*shape, seed=2)))
        kernels.settle_band(norm, square, coarse, 0.3, 0.2, 0.7, 2, 0.5, band)
        return (band,)

    return case


def signal_reduced(dtype, frame):
    def case(kernels, to):
        coarse, steps = _empty(to, 5, 6), _empty(to, 5, 6, dtype="i4")
        kernels.reduce_signal(to(_pixels(dtype, (9, 12))), frame, 3.7, coarse, steps)
        planes = to(_pixels(dtype, (2, 3, 9, 12)))
        parts = _empty(to, 2, 3, 3, 4)
        kernels.reduce_planes(planes, 2, 3, (5, 8), parts)
        return coarse, steps, parts

    return case


def vote(kernels, to):
    rng = _random()
    depths = rng.uniform(0, 5, (2, 9, 11)).astype("f4")
    variances = rng.uniform(0.02, 4, depths.shape).astype("f4")
    variances[1, :, :4] = np.inf
    candidates = np.stack([depths[0], rng.uniform(0, 5, (9, 11)).astype("f4")])
    out = _empty(to, 9, 11)
    kernels.vote_depth(to(depths), to(variances), to(candidates), 2, 0.1, 0.7, out)
    return (out,)


def offset(kernels, to):
    shape = (9, 11)
    depth = _random().uniform(-0.2, 4.2, shape).astype("f4")
    sums = RunningOffset(to(depth), _empty(to, *shape), _empty(to, *shape))
    for z in range(5):
        kernels.add_offset(to(_floats(11, 13, seed=z)), 1, 1, z, 1.3, sums)
    kernels.add_offset(to(_floats(9, 11)), 0, 0, 5, 1.3, sums)
    out, floor = _empty(to, *shape), to(0.1 * abs(_floats(*shape)))
    radii, priors = to(np.array([1, 3])), to(np.array([0.1, 0.02], "f4"))
    kernels.settle_offset(sums, floor, 5, 1.3, 0.7, radii, priors, out)
    return sums.level, sums.slope, out


def activity(shape):
    def case(kernels, to):
        out = _empty(to, *shape)
        kernels.log_activity(to(_floats(*shape)), 0.3, out)
        return (out,)

    return case


def energy(kernels, to):
    out = _empty(to, 7, 9)
    kernels.log_energy(to(_floats(3, 7, 9)), 0.3, out)
    return (out,)


def weighted(kernels, to):
    shape = (7, 9)
    peak, total = to(np.full(shape, NO_WEIGHT, "f4")), _empty(to, *shape)
    sums = _empty(to, 2, *shape)
    for z in range(3):
        exponent = 40 * _floats(*shape, seed=z)
        exponent[0, :5] = NO_WEIGHT
        kernels.add_weighted(to(exponent), to(_floats(2, *shape, seed=z)), peak, total, sums)
    return peak, total, sums


def focused(half, spoilt, dtype="f4"):
    def case(kernels, to):
        shape, n = (7, 140), 3
        depth = _random().uniform(0, 6, shape).astype("f4")
        depth[2] = 5.5  # planes before do not reach it
        strength = 40 * abs(_floats(*((4, 70) if half else shape)))
        ends = [(depth[:, :128], depth[:, 128:])] * 2
        lowest, highest = (
            np.stack([f(part, axis=1) for part in parts], 1)
            for f, parts in zip((np.min, np.max), ends, strict=True)
        )
        focus = FocusWeights(to(depth), to(strength), to(lowest), to(highest), 1.5, 0.7)
        invalid = np.zeros((n, *shape) if spoilt else (0, 0, 0), "f4")
        if spoilt:
            invalid[1, 2:4, 5] = 1
        total, norm, square = _empty(to, 2, *shape), _empty(to, *shape), _empty(to, *shape)
        low, high = to(np.full((2, *shape), np.inf, "f4")), to(np.full((2, *shape), -np.inf, "f4"))
        coarse = to(_floats(n, 2, 4, 70, seed=5) if half else np.empty((0, 0, 0, 0), "f4"))
        for z in range(0, 6, n):
            planes = to((10 * abs(_floats(n, 2, 9, 143, seed=z))).astype(dtype))
            kernels.add_focused(planes, 1, 2, coarse, to(invalid), focus, z, total)
            kernels.extend_range(planes, 1, 2, to(invalid), low, high)
        unknown = to(invalid.max(0) if spoilt else np.empty((0, 0), "f4"))
        kernels.add_focused_norms(unknown, focus, 0, 6, 0.2, 20.0, 2.0, norm, square)
        image, least = to(3 * _floats(*shape)), _floats(*shape, seed=1)
        most = to(least + _floats(*shape, seed=2) + np.float32(0.5))
        kernels.hold_within(to(least), most, 0.1, 0.2, focus, 20.0, image)
        return total, norm, square, low, high, image

    return case


def trust(kinds):
    def case(kernels, to):
        rng = _random()
        depth = 9 * rng.random((7, 9), "f4")
        padded = to(np.pad(depth, 3, "reflect", reflect_type="odd"))
        depths = tuple(to(d) for d in 9 * rng.random((2, 7, 9), "f4"))
        tall = rng.random((2, 7, 9), "f4")
        tall[:, 4, 5] = 0
        heights, gains = tuple(to(h) for h in tall), to(np.array([0.5, 2], "f4"))
        shape = to(depth[None] / 9)
        clues = DepthClues(padded, to(np.array([1, 3])), depths, heights, gains, shape, 9.0)
        evidence, out = _empty(to, kinds, 7, 9), _empty(to, 7, 9)
        kernels.collect_evidence(clues, evidence)
        hidden, bias = to(_floats(5, kinds)), to(_floats(5))
        kernels.probability(clues, hidden, bias, to(_floats(5, seed=1)), 0.3, out)
        return evidence, out

    return case


def half_size(shape):
    def case(kernels, to):
        rng = _random()
        half = to(rng.random([(n + 1) // 2 for n in shape], "f4"))
        whole, part = _empty(to, *shape), _empty(to, *shape)
        kernels.interpolate_doubled(half, whole)
        kernels.interpolate_where(half, to(rng.random(shape, "f4") - np.float32(0.5)), part)
        index = to(rng.integers(0, 5, shape).astype("u2"))
        before, after = (to(a) for a in rng.integers(0, 65536, (2, *shape)).astype("u2"))
        sides = _empty(to, 2, *((n + 1) // 2 for n in shape))
        kernels.compare_sides(index, before, after, 5, sides)
        return whole, part, sides

    return case


def scales(told):
    def case(kernels, to):
        depths, significance = _floats(4, 7, 9), 3 * abs(_floats(4, 7, 9, seed=1))
        window = to(np.array([0.1, 0.2, 0.4, 0.8], "f4"))
        rule = ScaleVariance(2.5, window, 0.4, 3.0, 0.05, 0.1)
        known = to(_random().random((7, 9) if told else (0, 0), "f4"))
        voters, variances = _empty(to, 3, 7, 9), _empty(to, 3, 7, 9)
        candidates, trust = _empty(to, 3, 7, 9), _empty(to, 7, 9)
        kernels.choose_scale(
            tuple(map(to, depths)), tuple(map(to, significance)), known, rule, voters, variances,
            candidates, trust,
        )  # fmt: skip
        return voters, variances, candidates, trust

    return case


CASES = _focus_cases() | {
    "keep_strongest": strongest,
    "reduce_by_strength": strength,
    "majority_filter-2": majority(2, 9),
    "majority_filter-4": majority(4, 300),
    "majority_filter-one": majority(1, 1),
    "place_fine": fine(half=False),
    "place_fine-half": fine(half=True),
    "smooth_signal-u1": smooth("u1", 4),
    "smooth_signal-u2": smooth("u2", 2),
    "smooth_signal-i4": smooth("i4", 0),
    "downsample-u1": halves("u1", (7, 10)),
    "downsample-i4": halves("i4", (6, 9)),
    "downsample-f4": halves("f4", (7, 9)),
    "downsample-f8": halves("f8", (1, 1)),
    "pyramid-odd": pyramid((7, 9)),
    "pyramid-even": pyramid((8, 6)),
    "pyramid-one": pyramid((1, 1)),
    "wavelet-4": wavelet((7, 10), 4, 1),
    "wavelet-12": wavelet((5, 8), 12, 5),
    "guided_filter": guided((9, 11), 2),
    "guided_filter-small": guided((2, 3), 4),
    "mix_signal-u2": signal("u2"),
    "mix_signal-f4": signal("f4"),
    "warp_plane-u1": warp("u1", True, (0.0, 0.0, 0.0, 0.0)),
    "warp_plane-f4": warp("f4", False, (8.0, 0.0, 5.0, 0.0)),
    "invalidate_unreached": unreached,
    "settle_band": wiener((7, 10)),
    "settle_band-one": wiener((1, 2)),
    "vote_depth": vote,
    "choose_scale": scales(told=False),
    "choose_scale-known": scales(told=True),
    "offset": offset,
    "log_activity": activity((9, 11)),
    "log_activity-small": activity((1, 2)),
    "log_energy": energy,
    "add_weighted": weighted,
    "focused": focused(half=False, spoilt=True),
    "focused-half": focused(half=True, spoilt=False, dtype="u2"),
    "reduce_signal-u2": signal_reduced("u2", (0, 0, 0, 0)),
    "reduce_signal-framed": signal_reduced("u1", (2, 3, 3, 2)),
    "trust-12": trust(12),
    "trust-20": trust(20),
    "half_size-odd": half_size((9, 7)),
    "half_size-even": half_size((8, 6)),
    "half_size-one": half_size((1, 1)),
}
