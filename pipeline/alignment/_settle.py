"""What is done about drift: planes are laid on each other, left, or left with a warning.

Duty: the one decision a run asks for, in words for people and for the output's metadata. Must not
know: how motion is found, how pixels are moved.

What surely moves is aligned, if that may be: methods that promise the planes' own values are warned
for, because resampling is not what they promise. What does not surely move is left bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.alignment._align import Aligned, align_stack
from zfuse.pipeline.alignment._check import HARMLESS, check_drift

if TYPE_CHECKING:
    from zfuse.pipeline.alignment._check import Check
    from zfuse.pipeline.alignment._similarity import AlignMode, MotionModel
    from zfuse.pipeline.core import Stack

__all__ = ["settle_drift"]

_WORTH_SAYING = 1.0  # px


def settle_drift(
    stack: Stack,
    align: AlignMode,
    channel: int | None = None,
    *,
    method: str = "the method",
    keeps_values: bool = False,
    copies: bool = False,
) -> Aligned:
    """Look whether a stack moves, and do what is asked for about it.

    Parameters
    ----------
    stack
        The stack, of two planes or more.
    align
        ``"auto"``: what surely moves is aligned. ``"none"``: there is only a warning.
        ``"translation"`` or ``"similarity"``: see `align_stack`.
    channel
        Channel that is looked at; by default all together. All channels move alike.
    method
        Its name, for the warning.
    keeps_values
        The method promises the planes' own values: under ``"auto"``, too, there is only a warning.
    copies
        Pixels will be copied, so planes must not fade into each other.

    Returns
    -------
    Aligned
        With an empty summary where there is nothing to say.
    """
    if align in ("translation", "similarity"):
        return align_stack(stack, align, channel, copies=copies)
    check = check_drift(stack, channel)
    record: dict[str, Any] = {"align": align, "resampled": False, "check": check.record}
    left = Aligned(stack, None, record, "", ())
    model: MotionModel = "similarity" if check.breathes else "translation"
    if check.moved <= HARMLESS:
        return replace(left, summary=_small(check, align))
    cure = f"--align {model} lays them on each other"
    lie = f"planes lie up to {check.found:.0f} px off each other"
    if align == "none":
        return replace(left, warnings=(f"{lie} and are fused so; {cure}, and is the default",))
    if keeps_values:
        why = f"method {method} promises the planes' own values"
        return replace(left, warnings=(f"{lie} and are fused so, as {why}; {cure}",))
    aligned = align_stack(stack, model, channel, copies=copies, least=HARMLESS)
    aligned.record.update(align=align, model=model, check=check.record)
    if aligned.reader is None:
        line = f"{lie}, but how is not sure enough to move them: they are fused as they lie"
        return replace(
            aligned, summary="", warnings=(f"{line}; --align {model} tries all the same",)
        )
    return replace(aligned, summary=f"{aligned.summary} ({model}; --align none leaves them)")


def _small(check: Check, align: AlignMode) -> str:
    """Return what is said of a sure motion that is left because it does no harm."""
    if check.moved <= _WORTH_SAYING or align == "none":
        return ""
    return f"planes lie up to {check.found:.1f} px off each other: too little to resample them"
