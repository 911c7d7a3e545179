"""The command `zfuse render`. Must not know: how reliefs are drawn."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer)
from typing import Annotated

import typer

from zfuse.pipeline.cli._console import say

__all__ = ["render"]


def render(
    fused: Annotated[str, typer.Argument(help="Output of `zfuse fuse`.")],
    output: Annotated[Path, typer.Argument(metavar="PICTURE.png")],
    exaggerate: Annotated[float, typer.Option(help="Factor on the height.")] = 1.0,
    tilt: Annotated[float, typer.Option(min=0, max=80, help="Degrees from straight above.")] = 45.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a picture that exists.")
    ] = False,
) -> None:
    """Draw the fused image as a 3-D relief, seen at a slant."""
    from zfuse.pipeline.figures import render_relief

    path = render_relief(fused, output, exaggerate=exaggerate, tilt=tilt, overwrite=overwrite)
    say(f"wrote {path}")
