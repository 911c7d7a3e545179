"""The run config: everything that decides a run, as one frozen value.

Duty: what the command line fills and YAML files give, checked before a pixel is read. Must not
know: how a run works.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from zfuse.pipeline._channels import EACH
from zfuse.pipeline._clusters import Cluster, parse_cluster
from zfuse.pipeline.alignment import AlignMode  # noqa: TC001 (pydantic)
from zfuse.pipeline.core import Settings, byte_count
from zfuse.pipeline.methods import DEFAULT_METHOD, Method, make_method

__all__ = ["RunConfig"]


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _terms(value: Any) -> Any:
    """Accept one term as well as several; null is none."""
    return (value,) if isinstance(value, str) else value or ()


def _version(value: Any) -> Any:
    """Accept the number that YAML makes of 0.4."""
    return str(value) if isinstance(value, float) else value


PathText = Annotated[str, BeforeValidator(_path)]


class RunConfig(Settings):
    """One run: where from, where to, how.

    Examples
    --------
    >>> import zfuse
    >>> config = zfuse.RunConfig.from_file("laptop", input="in.tif", output="out.ome.zarr")
    >>> config.memory, config.replace(memory="2GB").memory
    (1000000000, 2000000000)
    """

    ready_made = ""

    input: PathText = Field(description="OME-Zarr, TIFF, or a folder of plane images; path or URL")
    output: PathText = Field(description="ends in .ome.zarr, .ome.tif, .tif or .png")
    method: Annotated[SerializeAsAny[Method], BeforeValidator(make_method)] = Field(
        default=DEFAULT_METHOD, validate_default=True, description="name, or name and settings"
    )
    channel: int | str = Field(
        EACH,
        description="who decides on focus: each channel for itself (RGB together), together, or "
        "one channel for all: its name, or index from 0",
    )
    align: AlignMode = Field(
        "auto",
        description="undo drift: auto (what surely moves), none, translation, or similarity (also "
        "scale and angle)",
    )
    series: int | None = Field(None, ge=0, description="image of a collection; default: all")
    select: Annotated[tuple[str, ...], BeforeValidator(_terms)] = Field(
        (),
        description='wells, fields, images, times, channels: "B03", "B02-D11", "fields=0-3", '
        '"t=0-4", "c=GFP"; default: all',
    )
    z_step: float | None = Field(None, gt=0, allow_inf_nan=False, description="µm between planes")
    pixel_size: float | None = Field(None, gt=0, allow_inf_nan=False, description="µm a pixel")
    tile: int | None = Field(None, gt=0, description="edge of a tile in px; default: by memory")
    memory: Annotated[int | None, BeforeValidator(byte_count)] = Field(
        None,
        gt=0,
        description="bytes for the whole process; default: 680 MB, two passes 1 GB, networks 2 GB",
    )
    workers: int | None = Field(None, ge=1, description="threads; default: all cores")
    cluster: Annotated[Cluster | None, BeforeValidator(parse_cluster)] = Field(
        None, description="workers elsewhere: local:N, slurm:N, tcp://HOST:PORT, or a section"
    )
    min_confidence: float | None = Field(
        None,
        ge=0,
        le=1,
        description="probability below which depth is blank (NaN); default: none is",
    )
    ome_zarr: Annotated[Literal["0.5", "0.4"], BeforeValidator(_version)] = Field(
        "0.5", description="version of an OME-Zarr output; 0.4 for older readers (one file a chunk)"
    )
    overwrite: bool = Field(False, description="replace an output that exists")
    resume: bool = Field(
        False, description="go on with what an interrupted run has left, if it has; OME-Zarr only"
    )
    report: PathText | None = Field(
        None, description="JSON file that says what the run did; default: see docs"
    )
    allow_missing: bool = Field(False, description="read what is missing as the fill value")
