"""The command `zfuse evaluate`. Must not know: how anything is scored."""

from __future__ import annotations

from typing import Annotated

import typer

from zfuse.pipeline.cli._console import say

__all__ = ["evaluate"]


def evaluate(
    fused: Annotated[str, typer.Argument(help="Output of `zfuse fuse`, or any image.")],
    truth: Annotated[
        str | None,
        typer.Option(metavar="T", help="All-in-focus image, or a simulated stack, which has one."),
    ] = None,
    planes: Annotated[
        str | None, typer.Option(metavar="STACK", help="The stack that was fused.")
    ] = None,
    channel: Annotated[int, typer.Option(help="Channel that is scored, from 0.")] = 0,
    tile: Annotated[
        int | None, typer.Option(metavar="PX", help="Edge of the tiles (default: as recorded).")
    ] = None,
) -> None:
    """Score a fused image against the truth, or the planes, or both."""
    from zfuse.pipeline.evaluation import evaluate as run_evaluation

    say(str(run_evaluation(fused, truth, planes, channel=channel, tile=tile)))
