"""A simulated stack as OME-Zarr 0.5, with the truth inside it.

Duty: the layout. ``OUT/0`` is the stack, one chunk a plane, as a camera would write it. The truth
is laid out like zfuse's own output: ``OUT/truth`` is the all-in-focus image (float32 counts) and
``OUT/truth/depth`` its depth (float32, µm above the first plane). One folder travels as a whole,
and viewers open all three. Must not know: how a stack is rendered.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from zfuse.pipeline.simulation._simulate import SimulatedStack

__all__ = ["check_place", "write_image", "write_simulated"]


def write_simulated(
    simulated: SimulatedStack, output: str | Path, *, overwrite: bool = False
) -> Path:
    """Write a stack and its truth: all of it, or on failure nothing.

    Parameters
    ----------
    simulated
        What to write.
    output
        Ends in ``.ome.zarr`` or ``.zarr``.
    overwrite
        Replace an earlier output.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    ZfuseError
        The output exists, has another suffix, or cannot be written.
    """
    import zfuse
    from zfuse.pipeline.core import TRUTH, Staging, disk_errors

    path = Path(output)
    check_place(path, overwrite=overwrite)
    settings = simulated.settings
    pixel, step = settings.optics.pixel_size, settings.optics.z_step
    said = {
        "version": zfuse.__version__,
        "simulation": settings.model_dump(mode="json"),
        "drift_yx_px": np.round(simulated.shifts, 4).tolist(),
        "truth": TRUTH,
    }
    depth = {"quantity": "depth", "unit": "micrometer", "reference": "first plane"}
    staging = Staging(path, overwrite=overwrite)
    try:
        with disk_errors(path):
            staging.create()
            folder = staging.path(path)
            write_image(folder, simulated.planes, step, pixel, {"zfuse": said})
            truth = folder / TRUTH
            write_image(truth, simulated.image[None], step, pixel, {"zfuse": {"quantity": "image"}})
            write_image(truth / "depth", simulated.depth_um[None], step, pixel, {"zfuse": depth})
            staging.publish()
    except BaseException:
        staging.abandon()
        raise
    return path


def check_place(output: str | Path, *, overwrite: bool = False) -> None:
    """Refuse an output that may not be written, before anything is rendered.

    Raises
    ------
    ZfuseError
        The output exists, has another suffix, or cannot be written there.
    """
    from zfuse.errors import ZfuseError
    from zfuse.pipeline.core import output_kind
    from zfuse.pipeline.sinks import check_output

    if output_kind(output) != "ome-zarr":
        raise ZfuseError(f"a simulated stack is an OME-Zarr; end {output} in .ome.zarr")
    check_output(output, [], overwrite)


def write_image(
    path: Path,
    pixels: NDArray[Any],
    z_step: float,
    pixel_size: float,
    attributes: Mapping[str, Any],
) -> None:
    """Write one image (Z, Y, X) of one level, one chunk a plane.

    Parameters
    ----------
    path
        Group to make; its name is the image's.
    pixels
        (Z, Y, X) of any real dtype.
    z_step, pixel_size
        µm.
    attributes
        What the group says beside its OME metadata.
    """
    import zarr
    from yaozarrs import v05

    from zfuse.pipeline.sinks import display_window

    name = path.name.removesuffix(".zarr").removesuffix(".ome")
    low, high = display_window(pixels[len(pixels) // 2])
    whole = (0.0, float(np.iinfo(pixels.dtype).max)) if pixels.dtype.kind == "u" else (low, high)
    image = v05.Image.model_validate(
        {
            "version": "0.5",
            "multiscales": [
                {
                    "name": name,
                    "axes": [
                        {"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"
                    ],
                    "datasets": [
                        {
                            "path": "0",
                            "coordinateTransformations": [
                                {"type": "scale", "scale": [z_step, pixel_size, pixel_size]}
                            ],
                        }
                    ],
                }
            ],
            "omero": {
                "channels": [
                    {
                        "label": name,
                        "color": "FFFFFF",
                        "active": True,
                        "window": {
                            "min": whole[0],
                            "max": whole[1],
                            "start": low,
                            "end": high,
                        },
                    }
                ],
                "rdefs": {"model": "greyscale"},
            },
        }
    )
    ome = image.model_dump(mode="json", exclude_none=True, by_alias=True)
    group = zarr.open_group(path, mode="a", zarr_format=3)
    group.attrs.update({"ome": ome, **attributes})
    array = group.create_array(
        "0",
        shape=pixels.shape,
        chunks=(1, *pixels.shape[1:]),
        dtype=pixels.dtype,
        dimension_names=("z", "y", "x"),
        fill_value=np.nan if pixels.dtype.kind == "f" else 0,
    )
    array[:] = pixels
