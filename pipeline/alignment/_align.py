"""Alignment of a stack: drift in x and y, and the breathing of the field with focus.

Duty: from planes to one transform a plane and time point, what is believed of it, the stack that is
read through it, and what the output records. Must not know: how two planes are compared, how pixels
are resampled.

Each plane is fitted to the one before it, where defocus differs least, and the steps are joined to
the middle plane. Nothing is moved unless the steps make planes more alike by more than chance, and
the stack as a whole moves farther than small errors may add up to: resampling costs sharpness, and
mending a fraction of a pixel isn't worth it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.alignment._check import least_motion
from zfuse.pipeline.alignment._estimate import DetailPyramid, Fit, fit_pair, holds, sure
from zfuse.pipeline.alignment._planes import reduced_planes, reduction
from zfuse.pipeline.alignment._reader import AlignedReader
from zfuse.pipeline.alignment._similarity import IDENTITY, Similarity, common_area, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfuse.pipeline.alignment._similarity import MotionModel
    from zfuse.pipeline.core import PlaneReader, Stack

__all__ = ["Aligned", "align_stack"]

_LEAST, _LEAST_A_PLANE = 0.15, 0.015  # px: what small errors of many steps may add up to
_FADE = 32.0  # px: a plane that ends inside the image
_LOST = Fit(IDENTITY)  # a step that could not be found
_WHOLE = 0.05  # px: so near to whole pixels a plane is copied


@dataclass(frozen=True)
class Motion:
    """One time point's transforms.

    Attributes
    ----------
    transforms
        One a plane.
    kept
        Planes whose step from their neighbour could not be found, and was taken as none.
    moved
        The farthest that a corner moves, in pixels; 0 if the planes were left where they are.
    found
        The same before it was decided whether to move them.
    """

    transforms: tuple[Similarity, ...]
    kept: tuple[int, ...]
    moved: float
    found: float


@dataclass(frozen=True)
class Aligned:
    """A stack whose planes lie on each other.

    Attributes
    ----------
    stack
        Reads through the transforms; the stack itself where nothing moves.
    reader
        Its reader, which also marks what no plane reaches; None where nothing moves.
    record
        For the output's metadata.
    summary
        For people: what was found, in a line.
    warnings
        What was not found, one line each.
    """

    stack: Stack
    reader: AlignedReader | None
    record: dict[str, Any]
    summary: str
    warnings: tuple[str, ...]

    def reading(self, source: PlaneReader) -> Aligned:
        """Return the same alignment of another reader's planes."""
        reader = None if self.reader is None else self.reader.over(source)
        return replace(self, stack=replace(self.stack, reader=reader or source), reader=reader)


def align_stack(
    stack: Stack,
    model: MotionModel,
    channel: int | None = None,
    *,
    copies: bool = False,
    least: float = 0.0,
) -> Aligned:
    """Find how the planes of a stack lie on each other.

    Parameters
    ----------
    stack
        The stack. Its planes are read once, made small to a megapixel.
    model
        ``"translation"``, or ``"similarity"``: with scale and angle.
    channel
        Channel that is looked at; by default all together. All channels move alike.
    copies
        Pixels will be copied, so planes must not fade into each other.
    least
        Pixels by which a corner must move, with three standard errors to spare, or the time point
        is left as it is.

    Returns
    -------
    Aligned
        Never worse than the stack as it was: what is not found stays where it is.
    """
    times, _, planes, *_ = stack.shape
    reference = planes // 2
    motions = [_motion(stack, model, channel, t, reference, least) for t in range(times)]
    record = _record(stack, model, reference, motions)
    summary, warnings = _summary(motions), _warnings(motions)
    if not any(motion.moved for motion in motions):
        return Aligned(stack, None, record, summary, warnings)
    reader = AlignedReader(
        stack.reader, [m.transforms for m in motions], reference, 0.0 if copies else _FADE
    )
    return Aligned(replace(stack, reader=reader), reader, record, summary, warnings)


def _motion(
    stack: Stack,
    model: MotionModel,
    channel: int | None,
    t: int,
    reference: int,
    least: float,
) -> Motion:
    size = stack.shape[3:]
    fits: list[Fit] = []
    before: DetailPyramid | None = None
    for plane in reduced_planes(stack, channel, t):
        here = DetailPyramid(plane)
        if before is not None:
            fits.append(fit_pair(before, here, model))
        before = here
    fits = [fit.regridded(reduction(stack)) if holds(fit) else _LOST for fit in fits]
    chain = joined([fit.transform for fit in fits], reference)
    found = max(transform.reach(size) for transform in chain)
    lost = [z for z, fit in enumerate(fits) if fit is _LOST]
    held = [fit for fit in fits if fit is not _LOST]
    small = found < _LEAST + _LEAST_A_PLANE * len(chain)
    if least:
        small |= least_motion(fits, reference, size)[1] < least
    if len(lost) > len(fits) / 2 or small or not sure(held):
        return Motion((IDENTITY,) * len(chain), (), 0.0, found)
    # the plane on the far side of a lost step is the one that is not placed
    kept = (z + 1 if z >= reference else z for z in lost)
    snapped = tuple(transform.snapped(size, _WHOLE) for transform in chain)
    return Motion(snapped, tuple(kept), found, found)


def _record(stack: Stack, model: str, reference: int, motions: Sequence[Motion]) -> dict[str, Any]:
    size = stack.shape[3:]
    return {
        "align": model,
        "reference_plane": reference,
        "resampled": any(not t.copies for motion in motions for t in motion.transforms),
        "times": [
            {
                "moved_px": round(motion.moved, 3),
                "planes": [transform.described(size) for transform in motion.transforms],
                "not_found": list(motion.kept),
                "area_in_all_planes": common_area(list(motion.transforms), size),
            }
            for motion in motions
        ],
    }


def _summary(motions: Sequence[Motion]) -> str:
    moved = max(motion.moved for motion in motions)
    if moved:
        return f"planes moved by up to {moved:.1f} px to lie on each other"
    return "planes left where they are: no drift that is sure"


def _warnings(motions: Sequence[Motion]) -> tuple[str, ...]:
    lines = []
    for t, motion in enumerate(motions):
        where = f" of time point {t}" if len(motions) > 1 else ""
        if motion.kept:
            planes = ", ".join(map(str, motion.kept))
            lines.append(
                f"no drift found at plane {planes}{where}: not moved against its neighbour"
            )
    return tuple(lines)
