"""The command `zfuse fuse`: options and a file of settings, joined to one config, and its run.

Duty: which setting wins. Must not know: what a setting does.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfuse.pipeline import RunConfig

__all__ = ["SOME_FAILED", "fuse", "fuse_config", "joined_config", "method_values", "parsed_config"]

SOME_FAILED = 3
"""Exit code when the output stands, but without some images of a plate or collection."""


def fuse_config(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="OME-Zarr, TIFF, or a folder of plane images.")
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="Ends in .ome.zarr, .ome.tif, .tif or .png.")
    ],
    method: Annotated[
        str | None, typer.Option(help="Fusion method; see `zfuse methods` (default: adaptive).")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the method; repeatable."),
    ] = None,
    quantitative: Annotated[
        bool,
        typer.Option("--quantitative", help="Only copy or average pixels, never sharpen them."),
    ] = False,
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="WHO",
            help="Who decides depth: each channel for itself (default; RGB together), together, or "
            "one for all: its name or index.",
        ),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            help="Undo drift: auto (what surely moves; default), none, translation, similarity "
            "(also scale).",
        ),
    ] = None,
    z_step: Annotated[
        float | None, typer.Option(metavar="UM", help="µm between planes, if not in the file.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="µm a pixel, if not in the file.")
    ] = None,
    series: Annotated[
        int | None, typer.Option(help="Which image of a collection, from 0 (default: all).")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Only these wells (B03, B02-D11, rows=A-C), fields=0-3, images (0-4), t=0-4, "
            "c=GFP,DAPI; repeatable.",
        ),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(metavar="PX", help="Edge of a tile (default: by --memory).")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="For the whole process (default: 680MB; two passes 1GB; networks 2GB).",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads (default: all cores).")] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(metavar="P", help="Blank depth (NaN) whose confidence is below P, 0 to 1."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE_OR_NAME",
            help="YAML file of these settings, or laptop, rig, slurm, workstation; options win.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Fuse on workers elsewhere: local:N processes, slurm:N jobs, or a Dask scheduler "
            "tcp://HOST:PORT.",
        ),
    ] = None,
    ome_zarr: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Of an OME-Zarr output: 0.5 (default), or 0.4."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with what an interrupted run has left, if it has (OME-Zarr).",
        ),
    ] = False,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what the run did as JSON."),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Read missing chunks as their fill value, go on without missing images.",
        ),
    ] = False,
) -> Any:  # a RunConfig; typer looks names up, and this one imports half of zfuse
    """Fuse a focal stack into one image with depth and confidence maps."""
    given = {
        "input": source,
        "output": output,
        "channel": channel,
        "align": align,
        "z_step": z_step,
        "pixel_size": pixel_size,
        "series": series,
        "select": select or None,
        "tile": tile,
        "memory": memory,
        "workers": workers,
        "min_confidence": min_confidence,
        "ome_zarr": ome_zarr,
        "cluster": cluster,
        "overwrite": overwrite or None,
        "resume": resume or None,
        "report": report,
        "allow_missing": allow_missing or None,
    }
    return joined_config(config, given, method, setting or [], quantitative=quantitative)


@wraps(fuse_config, assigned=("__module__", "__doc__", "__annotations__"))
def fuse(**options: Any) -> None:
    """Fuse what the options say."""
    settings = fuse_config(**options)

    from zfuse.pipeline import run
    from zfuse.pipeline.cli._progress import ConsoleProgress, compiling_notice

    with compiling_notice(), ConsoleProgress(Path(settings.output).name) as progress:
        summary = run(settings, progress)
    say(summary)
    for line in summary.details:
        say(line)
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


def joined_config(
    config: Path | None,
    given: Mapping[str, Any],
    method: str | None,
    setting: list[str],
    *,
    quantitative: bool,
) -> RunConfig:
    """Join a file of settings and the options of a command line, which win.

    Parameters
    ----------
    config
        File or ready-made name, or None.
    given
        Settings by their names in `RunConfig`; None where an option was not given.
    method, setting, quantitative
        The options of those names.

    Raises
    ------
    ZfuseError
        One line: which setting, what is allowed.
    """
    from zfuse.pipeline import RunConfig
    from zfuse.pipeline._clusters import merged_cluster
    from zfuse.pipeline.methods import DEFAULT_METHOD

    values: dict[str, Any] = RunConfig.read_file(config) if config is not None else {}
    section = values.get("cluster")
    values |= {key: value for key, value in given.items() if value is not None}
    if section is not None:
        values["cluster"] = merged_cluster(section, given.get("cluster"))
    if method is not None or setting:
        values["method"] = method_values(values.get("method", DEFAULT_METHOD), method, setting)
    if quantitative:
        values["method"] = _quantitative(values.get("method", DEFAULT_METHOD))
    return RunConfig.checked(values, f"config {config}" if config is not None else "settings")


def parsed_config(words: list[str]) -> RunConfig:
    """Return what the words of a command line say that are meant for ``zfuse fuse``."""
    parser = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    parser.command()(fuse_config)
    command = typer.main.get_command(parser)
    config: RunConfig = command.main(args=words, prog_name="zfuse submit", standalone_mode=False)
    return config


def _quantitative(configured: str | dict[str, Any]) -> dict[str, Any]:
    """Ask a method to leave intensities as they are, or refuse."""
    from zfuse.pipeline.methods import make_method

    method = make_method(configured)
    if method.keeps_intensities is not None:
        return method.model_dump() | method.keeps_intensities
    raise ZfuseError(
        f"method {method.name!r} blends bands, which changes intensities; with --quantitative use "
        "adaptive, select or umis"
    )


def method_values(
    configured: str | dict[str, Any], method: str | None, setting: list[str]
) -> dict[str, Any]:
    """Join a method from a config file with --method and --set."""
    from zfuse.pipeline.core import read_yaml

    values = {"name": configured} if isinstance(configured, str) else dict(configured)
    if method is not None and method != values.get("name"):
        values = {"name": method}
    for pair in setting:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ZfuseError(f"--set {pair!r}: write KEY=VALUE, e.g. --set window=13")
        try:
            values[key.strip()] = read_yaml(value, "the value")
        except ZfuseError as error:
            raise ZfuseError(
                f"--set {pair!r}: the value is no number, word or list; quote it if it is a text"
            ) from error
    return values
