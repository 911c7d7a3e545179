"""The command `zfuse watch`: follows what a microscope writes, a line for each fused stack.

Duty: options and lines. Must not know: formats, how stacks are fused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zfuse.pipeline.cli._console import say, say_error, say_warning
from zfuse.pipeline.core import Progress

if TYPE_CHECKING:
    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live import StackKey

__all__ = ["watch"]


class _Lines(Progress):
    def note(self, line: str) -> None:
        say(line)

    def warn(self, line: str) -> None:
        say_warning(line)


def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="What is being written: a folder of planes, an OME-Zarr, an NDTiff data set.",
        ),
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Ends in .ome.zarr.")],
    method: Annotated[str, typer.Option(help="Fusion method; see `zfuse methods`.")] = "select",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the method; repeatable."),
    ] = None,
    channel: Annotated[
        str, typer.Option(metavar="WHO", help="Who decides depth; see `zfuse fuse --help`.")
    ] = "each",
    poll: Annotated[float, typer.Option(metavar="S", help="Seconds between two looks.")] = 1.0,
    expect_planes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Planes of each channel of a stack, where the data do not say it."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="How planes are named, e.g. img_{t}_{c}_{z}.tif (default: words in the names).",
        ),
    ] = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="End after S seconds without a change (default: only an end mark ends it, such "
            "as a file INPUT.done).",
        ),
    ] = None,
    z_step: Annotated[
        float | None, typer.Option(metavar="UM", help="µm between planes, if not in the data.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="µm a pixel, if not in the data.")
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(metavar="P", help="Blank depth (NaN) whose confidence is below P, 0 to 1."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads (default: all cores).")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
) -> None:
    """Fuse stacks while another program writes them; the same command goes on where it stopped."""
    from zfuse.pipeline.cli._fuse import method_values
    from zfuse.pipeline.cli._progress import compiling_notice
    from zfuse.pipeline.live import watch as follow

    try:
        with compiling_notice():
            report = follow(
                source,
                output,
                method_values(method, None, setting or []),
                channel=channel,
                poll=poll,
                expect_planes=expect_planes,
                template=names,
                until_idle=until_idle,
                z_step=z_step,
                pixel_size=pixel_size,
                min_confidence=min_confidence,
                workers=workers,
                overwrite=overwrite,
                on_fused=_line,
                progress=_Lines(),
            )
    except KeyboardInterrupt:
        say_error("interrupted: the same command goes on with what was fused")
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells count
    say(report)
    if report.problem or any(stack.status == "failed" for stack in report.stacks):
        raise typer.Exit(1)


def _line(key: StackKey, c: int | None, fused: Fused) -> None:
    channel = "" if c is None else f", channel {c}"
    say(f"fused: position {key.p}, time {key.t}{channel}")
