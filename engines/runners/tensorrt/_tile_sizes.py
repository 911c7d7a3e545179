"""Tile sizes that an engine is compiled for. Must not know: TensorRT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from zfuse.engines._axes import shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfuse.engines._axes import Axis
    from zfuse.engines._cards import GraphTensor

__all__ = ["TileSizes"]

_TILE_STEP = 256  # px


def _rising(span: tuple[int, int, int]) -> tuple[int, int, int]:
    if not 1 <= span[0] <= span[1] <= span[2]:
        raise ValueError(f"{span} must rise, from 1 or more")
    return span


Span = Annotated[tuple[int, int, int], AfterValidator(_rising)]
"""Smallest, typical and largest length: the engine is fastest at the typical one."""


class TileSizes(BaseModel):
    """Lengths that an engine must serve; all named axes of a graph follow from these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: Span = (1, 8, 8)
    channels: Span = (1, 1, 4)
    tile: Span = (16, 512, 512)

    @classmethod
    def covering(cls, lengths: Mapping[str, int], multiple: int) -> TileSizes:
        """Return sizes for a call and those like it, so that few engines serve all tiles.

        Parameters
        ----------
        lengths
            Of the call's axes `batch`, `channels`, `height`, `width`, as far as the graph has them.
        multiple
            Of height and width, px.
        """
        batch, channels = lengths.get("batch", 1), lengths.get("channels", 1)
        edge = max(lengths.get("height", 1), lengths.get("width", 1))
        batch, channels = _power_of_two(batch), _power_of_two(channels)
        tile = -(-edge // _TILE_STEP) * _TILE_STEP
        tile = -(-tile // multiple) * multiple
        return cls(
            batch=(1, batch, batch),
            channels=(1, channels, channels),
            tile=(multiple, tile, tile),
        )

    def cover(self, lengths: Mapping[str, int]) -> bool:
        """Whether an engine of these sizes serves a call."""
        spans = self.spans()
        return all(spans[name][0] <= n <= spans[name][2] for name, n in lengths.items())

    def profile(
        self, inputs: Mapping[str, GraphTensor]
    ) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """Return smallest, typical and largest shape of every input with a free axis."""

        def shape(axes: tuple[Axis, ...], which: int) -> tuple[int, ...]:
            return shape_of(axes, {name: span[which] for name, span in self.spans().items()})

        return {
            name: (shape(tensor.axes, 0), shape(tensor.axes, 1), shape(tensor.axes, 2))
            for name, tensor in inputs.items()
            if any(isinstance(axis, str) for axis in tensor.axes)
        }

    def spans(self) -> dict[str, tuple[int, int, int]]:
        """Return the span of each name that an axis may have."""
        return {
            "batch": self.batch,
            "channels": self.channels,
            "height": self.tile,
            "width": self.tile,
        }


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
