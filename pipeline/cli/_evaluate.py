"""The command `zfuse evaluate`. Must not know: how anything is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zfuse.errors import ZfuseError
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
    channel: Annotated[
        int, typer.Option(help="Channel that is scored, with its depth, from 0.")
    ] = 0,
    tile: Annotated[
        int | None, typer.Option(metavar="PX", help="Edge of the tiles (default: as recorded).")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE.png", help="Draw how often each confidence is right."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a picture that exists.")
    ] = False,
) -> None:
    """Score a fused image against the truth, or the planes, or both."""
    from zfuse.pipeline.evaluation import evaluate as run_evaluation

    if figure is not None:
        from zfuse.pipeline.figures import check_picture

        check_picture(figure, overwrite=overwrite)  # before the work of scoring
    scored = run_evaluation(fused, truth, planes, channel=channel, tile=tile)
    say(str(scored))
    if figure is None:
        return
    if scored.reliability is None:
        raise ZfuseError(
            f"no {figure}: it needs {fused} with depth and confidence, a true depth (--truth or a "
            "simulated stack as --planes) and the z step"
        )
    from zfuse.pipeline.figures import draw_reliability

    path = draw_reliability(
        *scored.reliability, figure, title=f"Confidence of {Path(fused).name}",
        said=_in_short(scored.scores), overwrite=overwrite,
    )  # fmt: skip
    say(f"wrote {path}")


def _in_short(scores: dict[str, float]) -> str:
    names = {
        "calibration_error": "calibration error {:.3f}",
        "ranking": "ranking {:.3f}",
        "surest_ratio": "surest 80 %: {:.2f} x oracle's error",
    }
    return " · ".join(said.format(scores[key]) for key, said in names.items() if key in scores)
