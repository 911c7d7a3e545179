"""Outputs of stacks that nobody fuses: all images begun at once, ended at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfuse.pipeline.sinks import open_output as _open_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks import Sink

__all__ = ["open_output"]


class open_output:
    """An output, and a sink for each stack; several stacks are a collection of 0, 1, …"""

    def __init__(
        self,
        path: Path,
        stacks: Sequence[Stack],
        *,
        tile: int,
        provenance: Sequence[Any],
        each: Sequence[bool] = (),
        **more: Any,
    ) -> None:
        names = [str(i) for i in range(len(stacks))] if len(stacks) > 1 else [""]
        self._stacks, self._tile = dict(zip(names, stacks, strict=True)), tile
        self._provenance, self._each = provenance, each or [False] * len(stacks)
        self._output = _open_output(path, names, **more)
        for stack, own in zip(stacks, self._each, strict=True):
            self._output.check("", stack, each=own)
        self.sinks: list[Sink] = []

    def __enter__(self) -> Self:
        self._output.__enter__()
        try:
            for i, (name, stack) in enumerate(self._stacks.items()):
                self.sinks.append(
                    self._output.begin(
                        name, stack, tile=self._tile, each=self._each[i],
                        provenance=self._provenance[i],
                    )
                )  # fmt: skip
        except BaseException as error:
            self._output.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            try:
                for name in self._stacks:
                    self._output.end(name)
            except BaseException as late:
                self._output.__exit__(type(late), late, None)
                raise
        self._output.__exit__(kind, error, trace)
