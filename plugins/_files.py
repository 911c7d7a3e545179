"""Files as focal stacks: what a form must know of one before it is fused.

Duty: look into a path and close it again; opening may take seconds, so that it is done in a thread.
Must not know: Qt, napari, formats. Its choices answer what those of `_layers` answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zfuse.pipeline.sources import open_stacks

if TYPE_CHECKING:
    from zfuse.pipeline.core import Stack

__all__ = ["FileChoice", "file_choices"]


@dataclass(frozen=True)
class FileChoice:
    """One image of a path.

    Attributes
    ----------
    name
        For people.
    path, index
        Where it lies; which of several images it is.
    stack
        Its calibration, axes and channels; closed.
    """

    name: str
    path: str
    index: int
    stack: Stack

    @property
    def dtype(self) -> str:
        """Name of the dtype of the pixels."""
        return str(self.stack.dtype)

    @property
    def rgb(self) -> bool:
        """Whether the channels are the colours of one picture."""
        return self.stack.rgb

    def axes_choices(self) -> tuple[str, ...]:
        """Return the axes, which files say."""
        return (self.stack.axes,)

    def refusal(self) -> str | None:
        """Return None: what is no stack was refused when it was opened."""
        return None

    def shape(self, axes: str) -> dict[str, int]:
        """Return the length of each axis."""
        lengths = dict(zip("tczyx", self.stack.shape, strict=True))
        return {axis: lengths[axis] for axis in axes}

    def channel_names(self, axes: str) -> list[str]:
        """Return one name a channel."""
        return [channel.name for channel in self.stack.channels]

    def calibration(self, axes: str) -> tuple[float | None, float | None]:
        """Return z step and pixel size in µm, None where the file does not say."""
        size = self.stack.pixel_size
        return self.stack.z_step, size[1] if size else None

    def calibrate(self, axes: str, z_step: float | None, pixel_size: float | None) -> None:
        """Do nothing: files are left as they are."""

    def open(self, axes: str, z_step: float | None, pixel_size: float | None) -> Stack:
        """Return the stack, lazy.

        Raises
        ------
        ZfuseError
            It cannot be used any more.
        """
        stacks = open_stacks(self.path)
        for i, stack in enumerate(stacks):
            if i != self.index:
                stack.close()
        # A pixel that is not square stays so unless another size was given by hand.
        given = None if pixel_size == self.calibration(axes)[1] else pixel_size
        return stacks[self.index].calibrated(z_step=z_step, pixel_size=given)


def file_choices(path: str) -> list[FileChoice]:
    """Return the images of a path.

    Raises
    ------
    ZfuseError
        There is nothing to fuse.
    """
    stacks = open_stacks(path)
    for stack in stacks:
        stack.close()
    return [FileChoice(stack.name, path, i, stack) for i, stack in enumerate(stacks)]
