"""What other libraries read in an output, as JSON: run by the Python of whoever has them.

``python read_outputs.py READER PATH`` needs nothing of zfuse and of the tests. Each reader says
shape, axes, scale and channel names of an image, and one row of its pixels.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

ROW = 3  # of the first time point and last channel: its pixels are compared


def ome_zarr(path: str) -> dict[str, Any]:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(path)
    assert location is not None
    node = next(iter(Reader(location)()))
    axes = "".join(axis["name"] for axis in node.metadata["axes"])
    scale = node.metadata.get("coordinateTransformations", [[{}]])[0][0].get("scale")
    return {
        "shapes": [list(level.shape) for level in node.data],
        "axes": axes,
        "scale": scale,
        "channels": node.metadata.get("channel_names"),
        "row": _row(node.data[0], axes),
    }


def ngio(path: str) -> dict[str, Any]:
    import ngio as library

    container = library.open_ome_zarr_container(path)
    image = container.get_image()
    size = image.pixel_size
    axes = "".join(image.axes)
    return {
        "shapes": [list(container.get_image(path=level).shape) for level in container.level_paths],
        "axes": axes,
        "scale": [{"z": size.z, "y": size.y, "x": size.x, "t": size.t}.get(a, 1) for a in axes],
        "channels": container.channel_labels,
        "row": _row(image.get_as_dask(), axes),
    }


def ngio_plate(path: str) -> dict[str, Any]:
    import ngio as library

    plate = library.open_ome_zarr_plate(path)
    return {
        "rows": plate.rows,
        "columns": plate.columns,
        "wells": plate.wells_paths(),
        "images": plate.images_paths(),
        "shapes": {p: list(i.get_image().shape) for p, i in plate.get_images().items()},
    }


def bioio_ome_zarr(path: str) -> dict[str, Any]:
    import bioio_ome_zarr as library

    return _bioio(library.Reader, path)


def bioio_ome_tiff(path: str) -> dict[str, Any]:
    import bioio_ome_tiff as library

    return _bioio(library.Reader, path)


def iohub(path: str) -> dict[str, Any]:
    from iohub import open_ome_zarr

    with open_ome_zarr(path, mode="r") as image:
        axes = "".join(axis.name for axis in image.axes)
        return {
            "shapes": [list(level.shape) for _, level in image.images()],
            "axes": axes.lower(),
            "scale": image.scale,
            "channels": image.channel_names,
            "row": _row(image["0"], axes.lower()),
        }


def iohub_plate(path: str) -> dict[str, Any]:
    from iohub import open_ome_zarr

    with open_ome_zarr(path, mode="r") as plate:
        return {
            "rows": [row.name for row in plate.metadata.rows],
            "columns": [column.name for column in plate.metadata.columns],
            "wells": [well.path for well in plate.metadata.wells],
            "images": [name for name, _ in plate.positions()],
            "shapes": {name: list(image["0"].shape) for name, image in plate.positions()},
        }


def ome_zarr_plate(path: str) -> dict[str, Any]:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(path)
    assert location is not None
    node = next(iter(Reader(location)()))  # one mosaic of all wells
    return {"mosaic": list(node.data[0].shape)}


def _bioio(reader: Any, path: str) -> dict[str, Any]:
    from bioio import BioImage

    image = BioImage(path, reader=reader)
    size = image.physical_pixel_sizes
    return {
        "shapes": [list(image.shape)],  # TCZYX
        "axes": image.dims.order.lower(),
        "scale": [1, 1, size.Z, size.Y, size.X],
        "channels": [str(name) for name in image.channel_names],
        "row": _row(image.dask_data, "tczyx"),
    }


def _row(array: Any, axes: str) -> list[float]:
    import numpy as np

    place = {"t": 0, "c": -1, "z": 0, "y": ROW, "x": slice(None)}
    index = tuple(place[axis] if axis != "c" else array.shape[axes.index("c")] - 1 for axis in axes)
    return [float(value) for value in np.asarray(array[index]).ravel()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    said = globals()[sys.argv[1]](sys.argv[2])
    print(json.dumps(said))  # the last line; libraries log before it
