"""The command line: words to a `RunConfig`, results and refusals to lines.

Duty: arguments, help texts, exit codes. Heavy libraries are imported by the command that needs
them, so that ``zfuse --help`` answers at once. Must not know: how anything is computed.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._engines import engines
from zfuse.pipeline.cli._interrupt import one_interrupt
from zfuse.pipeline.cli._train import train

__all__ = ["app", "main"]


class _OneLine(TyperGroup):
    """Commands whose refusals are one line on standard error, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with one_interrupt():
                return super().invoke(ctx)
        except ZfuseError as error:
            typer.echo(f"error: {error}", err=True)
        except MemoryError as error:
            typer.echo(f"error: out of memory ({error}); give less with --memory", err=True)
        except KeyboardInterrupt:
            # `fuse` publishes at the end or not at all; other commands write as they go.
            kept = ": nothing was written" if ctx.invoked_subcommand == "fuse" else ""
            typer.echo(f"interrupted{kept}", err=True)
            raise typer.Exit(130) from None  # 128 + SIGINT, as shells count
        raise typer.Exit(1)


app = typer.Typer(
    name="zfuse",
    cls=_OneLine,
    help="Fuse microscope focal stacks: all-in-focus image, depth map in µm, confidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a console that lacks a character shows "?"
            stream.reconfigure(errors="replace")
    app()


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
        typer.Option(metavar="NAME_OR_INDEX", help="Channel that decides depth for all."),
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="MODE", help="Undo drift: none (default), translation, similarity (also scale)."
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
    from zfuse.pipeline.methods import DEFAULT_METHOD

    values: dict[str, Any] = load_settings(config) if config is not None else {}
    given = {
        "input": source,
        "output": output,
        "channel": channel,
        "align": align,
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
        values["method"] = _method_values(
            values.get("method", DEFAULT_METHOD), method, setting or []
        )
    if quantitative:
        values["method"] = _quantitative(values.get("method", DEFAULT_METHOD))
    settings = make_config(values, f"config {config}" if config is not None else "settings")

    from zfuse.pipeline._run import run
    from zfuse.pipeline.cli._console import ConsoleProgress, compiling_notice

    with compiling_notice(), ConsoleProgress(Path(output).name) as progress:
        summary = run(settings, progress)
    typer.echo(summary)


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
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ZfuseError(
                f"--set {pair!r}: the value is no number, word or list; quote it if it is a text"
            ) from error
    return values


@app.command()
def info(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="OME-Zarr, TIFF, or a folder of plane images.")
    ],
) -> None:
    """Show axes, shape, dtype, scale, channels and chunks of a stack, and the time to fuse it."""
    from zfuse.pipeline.cli._info import describe

    typer.echo(describe(source))


@app.command()
def methods() -> None:
    """List the fusion methods: name, family, halo, where each runs."""
    from zfuse.pipeline.cli._info import method_table

    typer.echo(method_table())


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder for the three outputs.")
    ] = Path("zfuse-demo"),
    method: Annotated[str, typer.Option(help="Fusion method.")] = "adaptive",
) -> None:
    """Render a focal stack with known truth, fuse it, draw it, and compare with the truth."""
    from zfuse.pipeline.cli._console import compiling_notice
    from zfuse.pipeline.cli._demo import run_demo
    from zfuse.pipeline.methods import make_method

    make_method(method)  # an unknown name is refused before anything is rendered
    with compiling_notice():
        typer.echo(str(run_demo(directory, method=method)))


@app.command()
def simulate(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Ends in .ome.zarr.")],
    specimen: Annotated[
        str, typer.Option(help="relief, fluorescence or section; chooses the defaults below.")
    ] = "relief",
    surface: Annotated[
        str | None, typer.Option(help="Relief: mixed, slope, steps, fractal or spheres.")
    ] = None,
    texture: Annotated[
        str | None, typer.Option(help="Relief: rough, fine, sparse, weak or spots.")
    ] = None,
    planes: Annotated[int | None, typer.Option(help="Planes.")] = None,
    size: Annotated[int | None, typer.Option(metavar="PX", help="Edge of the planes.")] = None,
    na: Annotated[float | None, typer.Option(help="Numerical aperture.")] = None,
    wavelength: Annotated[float | None, typer.Option(metavar="UM", help="µm, in vacuum.")] = None,
    index: Annotated[
        float | None, typer.Option(help="Refractive index of immersion and specimen.")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(metavar="UM", help="µm in the specimen.")
    ] = None,
    z_step: Annotated[float | None, typer.Option(metavar="UM", help="µm between planes.")] = None,
    photons: Annotated[
        float | None, typer.Option(help="Detected photons in a pixel at full scale.")
    ] = None,
    read_noise: Annotated[
        float | None, typer.Option(metavar="E", help="Standard deviation in electrons.")
    ] = None,
    offset: Annotated[
        float | None, typer.Option(metavar="COUNTS", help="Counts that the camera adds.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="12 or 16.")] = None,
    background: Annotated[
        float | None, typer.Option(metavar="F", help="Even light, as a part of full scale.")
    ] = None,
    drift: Annotated[
        float | None, typer.Option(metavar="PX", help="Sideways, from first to last plane.")
    ] = None,
    vignetting: Annotated[
        float | None, typer.Option(metavar="F", help="Part of the light lost in the corners.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Other seeds, other stacks.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
) -> None:
    """Render a microscope stack from optics, with its truth beside it."""
    given = {key: value for key, value in locals().items() if key not in _NOT_SIMULATED}
    from zfuse.pipeline import simulation

    settings = simulation.make_settings(specimen, **given)
    simulation.check_place(output, overwrite=overwrite)
    simulation.write_simulated(simulation.simulate(settings), output, overwrite=overwrite)
    typer.echo(f"{output}: {settings}")


_NOT_SIMULATED = ("output", "specimen", "overwrite")


@app.command()
def render(
    fused: Annotated[str, typer.Argument(help="OME-Zarr output of `zfuse fuse`.")],
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
    typer.echo(f"wrote {path}")


@app.command()
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

    typer.echo(str(run_evaluation(fused, truth, planes, channel=channel, tile=tile)))


@app.command()
def bench(
    size: Annotated[int, typer.Option(help="Edge of the planes in pixels.")] = 4096,
    planes: Annotated[int, typer.Option(help="Planes.")] = 16,
    codec: Annotated[str, typer.Option(help="lz4 or zstd.")] = "lz4",
    folder: Annotated[
        Path | None, typer.Option(help="Where the test stack goes (default: temporary).")
    ] = None,
    method: Annotated[str, typer.Option(help="Fusion method.")] = "select",
) -> None:
    """Measure this machine: reading alone, folding alone, and a whole run, as ratios."""
    from zfuse.pipeline.cli._bench import run_bench

    for line in run_bench(size=size, planes=planes, codec=codec, folder=folder, method=method):
        typer.echo(line)


app.command()(train)
app.add_typer(engines, name="engines")


if __name__ == "__main__":
    main()
