"""The command line: words to a `RunConfig`, results and refusals to lines.

Duty: arguments, help texts, exit codes. Heavy libraries are imported by the command that needs them, so that
``zfuse --help`` answers at once. Must not know: how anything is computed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zfuse.pipeline._errors import ZfuseError

__all__ = ["app", "main"]

app = typer.Typer(
    name="zfuse",
    help="Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a `ZfuseError` is one line on standard error and exit code 1."""
    try:
        app()
    except ZfuseError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


def _version(wanted: bool) -> None:
    if wanted:
        import zfuse

        typer.echo(f"zfuse {zfuse.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def fuse(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="OME-Zarr, TIFF, or a folder of plane images.")
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="Ends in .ome.zarr, .ome.tif, .tif or .png.")
    ],
    method: Annotated[
        str | None, typer.Option(help="Fusion method; see `zfuse methods`. [default: select]")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of the method; repeatable."),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_INDEX", help="Channel that decides depth for all."),
    ] = None,
    z_step: Annotated[
        float | None, typer.Option(metavar="UM", help="µm between planes, if not in the file.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="µm a pixel, if not in the file.")
    ] = None,
    series: Annotated[
        int | None, typer.Option(help="Which image of a collection, from 0. [default: all]")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(metavar="PX", help="Edge of a tile. [default: by --memory]")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For the whole process. [default: 680MB]")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads. [default: all cores]")] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of these settings; options win over it.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Read missing chunks as their fill value.")
    ] = False,
) -> None:
    """Fuse a focal stack into one image with depth and confidence maps."""
    from zfuse.pipeline._config import load_settings, make_config

    values: dict[str, Any] = load_settings(config) if config is not None else {}
    given = {
        "input": source,
        "output": output,
        "channel": channel,
        "z_step": z_step,
        "pixel_size": pixel_size,
        "series": series,
        "tile": tile,
        "memory": memory,
        "workers": workers,
        "overwrite": overwrite or None,
        "allow_missing": allow_missing or None,
    }
    values |= {key: value for key, value in given.items() if value is not None}
    if method is not None or setting:
        values["method"] = _method_values(values.get("method", "select"), method, setting or [])
    settings = make_config(values, f"config {config}" if config is not None else "settings")

    from zfuse.pipeline._console import ConsoleProgress, compiling_notice
    from zfuse.pipeline._run import run
    from zfuse.pipeline.methods import warm_up

    with compiling_notice():
        warm_up(settings.method)
    with ConsoleProgress(Path(output).name) as progress:
        summary = run(settings, progress)
    typer.echo(summary)


def _method_values(
    configured: str | dict[str, Any], method: str | None, setting: list[str]
) -> dict[str, Any]:
    """Join a method from a config file with --method and --set."""
    import yaml

    values = {"name": configured} if isinstance(configured, str) else dict(configured)
    if method is not None and method != values.get("name"):
        values = {"name": method}
    for pair in setting:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ZfuseError(f"--set {pair!r}: write KEY=VALUE, e.g. --set window=13")
        values[key.strip()] = yaml.safe_load(value)
    return values


@app.command()
def info(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="OME-Zarr, TIFF, or a folder of plane images.")
    ],
) -> None:
    """Show axes, shape, dtype, scale, channels and chunks of a stack, and the time to fuse it."""
    from zfuse.pipeline._info import describe

    typer.echo(describe(source))


@app.command()
def methods() -> None:
    """List the fusion methods: name, family, halo, where each runs."""
    from zfuse.pipeline._info import method_table

    typer.echo(method_table())


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder for the three outputs.")
    ] = Path("zfuse-demo"),
    method: Annotated[str, typer.Option(help="Fusion method.")] = "select",
) -> None:
    """Render a focal stack with known truth, fuse it, draw it, and compare with the truth."""
    from zfuse.pipeline._console import compiling_notice
    from zfuse.pipeline._demo import run_demo
    from zfuse.pipeline.methods import make_method, warm_up

    with compiling_notice():
        warm_up(make_method(method))
    typer.echo(str(run_demo(directory, method=method)))


@app.command()
def bench(
    size: Annotated[int, typer.Option(help="Edge of the planes in pixels.")] = 4096,
    planes: Annotated[int, typer.Option(help="Planes.")] = 16,
    codec: Annotated[str, typer.Option(help="lz4 or zstd.")] = "lz4",
    folder: Annotated[
        Path | None, typer.Option(help="Where the test stack goes. [default: temporary]")
    ] = None,
    method: Annotated[str, typer.Option(help="Fusion method.")] = "select",
) -> None:
    """Measure this machine: reading alone, folding alone, and a whole run, as ratios."""
    from zfuse.pipeline._bench import run_bench

    for line in run_bench(size=size, planes=planes, codec=codec, folder=folder, method=method):
        typer.echo(line)


if __name__ == "__main__":
    main()
