"""Settings of a simulation, as one frozen value.

Duty: fields, units, limits, and what each kind of specimen is usually looked at with. Must not
know: how anything is rendered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Settings, one_line
from zfuse.pipeline.simulation._camera import Camera
from zfuse.pipeline.simulation._optics import Optics
from zfuse.pipeline.simulation._relief import ReliefKind, TextureKind  # noqa: TC001 (pydantic)

__all__ = ["Fluorescence", "Relief", "Section", "SimulationSettings", "make_settings"]


_MOST_VOXELS = 300_000_000  # some 30 bytes each while it is rendered


class Relief(Settings):
    """An opaque surface in reflected light."""

    kind: Literal["relief"] = "relief"
    surface: ReliefKind = Field("mixed", description="what the surface is made of")
    texture: TextureKind = Field("rough", description="detail on the surface")


class Fluorescence(Settings):
    """Sparse things that shine in a volume."""

    kind: Literal["fluorescence"] = "fluorescence"
    beads: float = Field(20.0, ge=0, le=1000, description="mean number in 1000 µm²")
    filaments: float = Field(8.0, ge=0, le=1000, description="mean number in 1000 µm²")


class Section(Settings):
    """A stained tissue section in transmitted light."""

    kind: Literal["section"] = "section"
    thickness: float = Field(4.0, gt=0, description="µm")
    waviness: float = Field(2.0, ge=0, description="µm between the section's hills and valleys")
    nuclei: float = Field(6.0, ge=0, le=100, description="mean number in 1000 µm²")


class SimulationSettings(Settings):
    """One simulated stack: specimen, optics, camera and what goes wrong on a real microscope.

    Unknown keys are refused. Equal settings give equal stacks.
    """

    specimen: Annotated[Relief | Fluorescence | Section, Field(discriminator="kind")] = Relief()
    optics: Optics = Optics()
    camera: Camera = Camera()
    planes: int = Field(16, ge=4, le=1000)
    size: int = Field(512, ge=32, le=8192, description="height and width in pixels")
    background: float = Field(0.0, ge=0, le=1, description="even light, as a part of full scale")
    drift: float = Field(0.0, ge=0, le=100, description="px from the first to the last plane")
    vignetting: float = Field(0.0, ge=0, lt=1, description="part of the light lost in the corners")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        voxels = self.planes * self.size**2
        if voxels > _MOST_VOXELS:
            raise ValueError(
                f"{self.planes} planes of {self.size} x {self.size} are {voxels / 1e6:.0f} Mvoxel; "
                f"stacks of up to {_MOST_VOXELS / 1e6:.0f} are simulated, in memory: lower "
                "planes or size"
            )
        return self

    def __str__(self) -> str:
        size, optics, camera = self.size, self.optics, self.camera
        return (
            f"{self.planes} planes of {size} x {size}, {self.specimen.kind}, NA {optics.na:g}, "
            f"{optics.pixel_size:g} µm a pixel, z step {optics.z_step:g} µm, "
            f"{camera.photons:g} photons at full scale, {camera.bits} bits, seed {self.seed}"
        )


_USUAL: dict[str, dict[str, Any]] = {
    "relief": {},
    "fluorescence": {
        "optics": {
            "na": 1.2, "wavelength": 0.52, "index": 1.33, "pixel_size": 0.108, "z_step": 0.3
        },
        "camera": {"photons": 800.0},
        "planes": 24,
        "background": 0.02,
    },
    "section": {
        "optics": {"na": 0.75, "wavelength": 0.55, "index": 1.0, "pixel_size": 0.25, "z_step": 0.5},
        "camera": {"photons": 8000.0},
    },
}  # fmt: skip


def make_settings(kind: str = "relief", **given: Any) -> SimulationSettings:
    """Join what is given with what a kind of specimen is usually looked at with.

    Parameters
    ----------
    kind
        ``"relief"``, ``"fluorescence"`` or ``"section"``.
    **given
        Fields of the settings, or of specimen, optics and camera by their own names; None stands
        for the usual value.

    Returns
    -------
    SimulationSettings
        All of them, checked.

    Raises
    ------
    ZfuseError
        A value or a name is not allowed.
    """
    if kind not in _USUAL:
        raise ZfuseError(f"unknown specimen {kind!r}; known: {', '.join(_USUAL)}")
    usual = _USUAL[kind]
    values: dict[str, Any] = {**usual, "specimen": {"kind": kind}}
    values |= {part: dict(usual.get(part, {})) for part in ("optics", "camera")}
    for key, value in given.items():
        if value is None:
            continue
        if key in Optics.model_fields:
            values["optics"][key] = value
        elif key in Camera.model_fields:
            values["camera"][key] = value
        elif key in SimulationSettings.model_fields:
            values[key] = value
        else:  # of the specimen, or unknown: its model says so
            values["specimen"][key] = value
    try:
        return SimulationSettings.model_validate(values)
    except ValidationError as error:
        raise ZfuseError(_one_line(error, kind)) from error


def _one_line(error: ValidationError, kind: str) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden":
        return f"{first['loc'][-1]!r} is no setting of a {kind} simulation"
    return one_line(error, SimulationSettings)
