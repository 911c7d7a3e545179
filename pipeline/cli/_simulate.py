"""The command `zfuse simulate`: words to the settings of a simulation.

Duty: options. Must not know: their usual values and limits, how stacks are rendered.
"""

from __future__ import annotations

from typing import Annotated

import typer

from zfuse.pipeline.cli._console import say

__all__ = ["simulate"]


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
    given = {k: v for k, v in locals().items() if k not in ("output", "specimen", "overwrite")}
    from zfuse.pipeline import simulation

    settings = simulation.make_settings(specimen, **given)
    simulation.check_place(output, overwrite=overwrite)
    simulation.write_simulated(simulation.simulate(settings), output, overwrite=overwrite)
    say(f"{output}: {settings}")
