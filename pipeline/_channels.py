"""Which channels decide together on what is in focus.

Duty: from a setting to groups of channels, each with its own decision. Must not know: how a method
decides, tiles, files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Sample, nearest

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.methods import Method

__all__ = ["EACH", "TOGETHER", "Decisions"]

EACH, TOGETHER = "each", "together"


@dataclass(frozen=True)
class Decisions:
    """The decisions of one stack.

    Attributes
    ----------
    groups
        Consecutive channels, one group a decision: the method sees no others beside them. One for
        all channels, or one for each.
    channel
        Index of the channel that decides for all, or None.
    """

    groups: tuple[slice, ...]
    channel: int | None = None

    @classmethod
    def of(cls, stack: Stack, channel: int | str = EACH) -> Decisions:
        """Settle who decides.

        Parameters
        ----------
        stack
            The stack. The colours of a picture (RGB) never part: each of them is all of them.
        channel
            ``"each"``, ``"together"``, or the name or index of the channel that decides for all. A
            channel whose name is one of these words is named by its index; a name that is a number
            comes before that index.

        Raises
        ------
        ZfuseError
            The stack has no such channel.
        """
        channels = stack.shape[1]
        together = (slice(0, channels),)
        if channel == TOGETHER or (channel == EACH and stack.rgb):
            return cls(together)
        if channel == EACH:
            return cls(tuple(slice(c, c + 1) for c in range(channels)))
        return cls(together, _index(stack, channel))

    @property
    def each(self) -> bool:
        """Whether there are several: then depth and confidence have a channel axis."""
        return len(self.groups) > 1

    def calibrate(self, method: Method, stack: Stack, t: int = 0) -> list[Any]:
        """Return the method's calibration for each group; what is read of the stack serves all."""
        sample = Sample(stack, self.channel, t)
        if not self.each:
            return [method.calibrate(sample)]
        return [method.calibrate(sample.only(group.start)) for group in self.groups]

    def described(self, stack: Stack) -> str:
        """Return ``"each"``, ``"together"`` or the name of the channel that decides."""
        if self.channel is not None:
            return stack.channels[self.channel].name
        return EACH if self.each else TOGETHER


def _index(stack: Stack, channel: int | str) -> int:
    names = [c.name for c in stack.channels]
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    index = int(channel) if str(channel).isdecimal() else -1
    if not 0 <= index < len(names):
        listed = ", ".join(f"{i}: {name}" for i, name in enumerate(names))
        near = nearest(str(channel), [*names, EACH, TOGETHER])
        hint = f"; {near}" if near.startswith("did") else ""
        raise ZfuseError(
            f"no channel {channel!r} in {stack.name}: it has {listed}; or {EACH}, {TOGETHER}{hint}"
        )
    return index
