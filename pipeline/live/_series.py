"""What is known of an acquisition before its frames come.

Must not know: who acquires, who fuses, where the result goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zfuse.pipeline.core import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfuse.pipeline.live._frame import StackKey

__all__ = ["Series"]


@dataclass(frozen=True)
class Series:
    """Positions, channels and calibration of an acquisition.

    Size and dtype of the frames are those of the first one that comes.

    Attributes
    ----------
    name, source
        Name for people; path, or name of the program that acquires, for the provenance.
    positions
        Name of each position. With several the output is a collection of images, and positions that
        nobody named may still come; with one it is an image, unless `more_positions`.
    channels
        One entry a channel; frames of one that nobody named are left out.
    times
        Number of time points; None: as many as come. With 1 the output has no time axis.
    planes
        Number of planes that each channel of a stack will get, where it is known: a stack is
        complete when all its channels have theirs. A channel with 0 is left out of that stack.
    rgb
        Frames are (3, Y, X), colours of one camera.
    pixel_size
        (y, x) in µm, or None when unknown.
    z_step
        Distance between planes in µm, or None when unknown.
    time_step
        Seconds between time points, or None.
    more_positions
        Positions may come that nobody could name yet: the output is a collection from the start.
    """

    name: str
    source: str
    positions: tuple[str, ...] = ("0",)
    channels: tuple[Channel, ...] = (Channel("0"),)
    times: int | None = None
    planes: Mapping[tuple[StackKey, int], int] = field(default_factory=dict)
    rgb: bool = False
    pixel_size: tuple[float, float] | None = None
    z_step: float | None = None
    time_step: float | None = None
    more_positions: bool = False

    @property
    def collection(self) -> bool:
        """Whether the output is a collection of one image a position."""
        return len(self.positions) > 1 or self.more_positions
