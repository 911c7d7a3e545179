"""Real writers that write slowly, in processes of their own that can be killed at any moment."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TIMES, POSITIONS, CHANNELS, PLANES = 4, 2, 2, 4
SIZE = (64, 96)

RESUMABLE = ("tifffile", "zarr-python", "zarr-python shards", "zarrs shards")
OME_WRITERS = ("ome-writers tensorstore", "ome-writers zarr-python", "ome-writers acquire-zarr")
NEEDS = {
    "ome-writers tensorstore": ("ome_writers", "tensorstore"),
    "ome-writers zarr-python": ("ome_writers",),
    "ome-writers acquire-zarr": ("ome_writers", "acquire_zarr"),
    "zarrs shards": ("zarrs",),
    "ndstorage": ("ndstorage",),
}


def truth(t: int, p: int, c: int) -> NDArray[np.uint16]:
    """Return the planes of one channel of one stack."""
    random = np.random.default_rng([t, p, c])
    return random.integers(100, 4000, (PLANES, *SIZE), np.uint16)


def input_of(kind: str, folder: Path) -> Path:
    """Return where a writer writes."""
    if kind == "ndstorage":
        return folder / "a_1"
    return folder / ("in" if kind == "tifffile" else "in.ome.zarr")


def write(kind: str, folder: str, delay: float) -> None:
    """Write the acquisition, from the first plane that lacks on; the mark of its end at last."""
    place = input_of(kind, Path(folder))
    if kind == "tifffile":
        _tifffile(place, delay)
    elif kind in OME_WRITERS:
        _ome_writers(place, kind.removeprefix("ome-writers "), delay)
    elif kind == "ndstorage":
        _ndstorage(place, delay)
    else:
        _zarr(place, delay, sharded="shards" in kind, in_place="zarrs" in kind)
    place.with_name(f"{place.name}.done").touch()


def _order() -> Iterator[tuple[int, int, int, int]]:
    return iter(np.ndindex(TIMES, POSITIONS, CHANNELS, PLANES))


class _Slow(io.FileIO):
    """A file into which bytes trickle."""

    delay = 0.0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), 4096):
            super().write(view[start : start + 4096])
            time.sleep(self.delay / 4)
        return len(view)


def _tifffile(place: Path, delay: float) -> None:
    import tifffile

    place.mkdir(exist_ok=True)
    for number, (t, p, c, z) in enumerate(_order()):
        path = place / f"img_channel{c:03d}_position{p:03d}_time{t:09d}_z{z:03d}.tif"
        try:
            if np.array_equal(tifffile.imread(path), truth(t, p, c)[z]):
                continue
        except Exception:  # not there, or what a killed writer left
            pass
        where = path.with_suffix(".part") if number % 3 == 0 else path  # renamed into place
        with _Slow(where, "w+") as file:
            file.delay = delay
            tifffile.imwrite(file, truth(t, p, c)[z], compression=(None, "zlib")[number % 2])
        if where != path:
            os.replace(where, path)
        time.sleep(delay)


def _zarr(place: Path, delay: float, *, sharded: bool, in_place: bool) -> None:
    import zarr

    if in_place:
        import zarrs  # noqa: F401

    pipeline = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"} if in_place else {}
    with zarr.config.set(pipeline):  # of the whole process, which may be that of the tests
        _write_zarr(place, delay, sharded)


def _write_zarr(place: Path, delay: float, sharded: bool) -> None:
    import zarr

    _collection(place)
    for t, p, c, z in _order():
        array = zarr.open_array(str(place / "AB"[p] / "0"), mode="r+") if (
            place / "AB"[p] / "0" / "zarr.json"
        ).exists() else _create(place / "AB"[p], sharded)  # fmt: skip
        try:
            if np.array_equal(array[t, c, z], truth(t, p, c)[z]):
                continue
        except Exception:  # what a killed writer left
            for file in (place / "AB"[p] / "0" / "c" / str(t) / str(c)).rglob("*"):
                if file.is_file():
                    file.unlink()
            for before in range(z):
                array[t, c, before] = truth(t, p, c)[before]
        array[t, c, z] = truth(t, p, c)[z]
        time.sleep(delay)


def _collection(place: Path) -> None:
    import zarr

    for path, said in (("", {"bioformats2raw.layout": 3}), ("OME", {"series": ["A", "B"]})):
        zarr.open_group(
            str(place / path), mode="a", zarr_format=3,
            attributes={"ome": {"version": "0.5", **said}},
        )  # fmt: skip


def _create(place: Path, sharded: bool) -> Any:
    import zarr

    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"},
            *({"name": a, "type": "space"} for a in "zyx")]  # fmt: skip
    scale = [{"type": "scale", "scale": [1.0] * 5}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group = zarr.open_group(
        str(place), mode="a", zarr_format=3,
        attributes={"ome": {"version": "0.5", "multiscales": [image]}},
    )  # fmt: skip
    return group.create_array(
        "0", shape=(TIMES, CHANNELS, PLANES, *SIZE), dtype="uint16", overwrite=True,
        chunks=(1, 1, 1, SIZE[0], SIZE[1] // 2),
        shards=(1, 1, PLANES, *SIZE) if sharded else None,
    )  # fmt: skip


def _ome_writers(place: Path, backend: str, delay: float) -> None:
    import ome_writers as ow

    def axis(name: str, kind: str, shard: int = 1, **more: Any) -> Any:
        chunk = more.get("count", 1) if name in "yx" else 1
        return ow.Dimension(name=name, type=kind, chunk_size=chunk, shard_size_chunks=shard, **more)

    settings = ow.AcquisitionSettings(
        root_path=str(place).removesuffix(".ome.zarr"),
        dimensions=[
            axis("t", "time", count=TIMES),
            ow.Dimension(name="p", type="position", coords=["A", "B"]),
            axis("c", "channel", coords=["x", "y"]),
            axis("z", "space", PLANES, count=PLANES),
            axis("y", "space", count=SIZE[0]),
            axis("x", "space", count=SIZE[1]),
        ],
        dtype="uint16",
        format={"name": "ome-zarr", "backend": backend},
    )
    with ow.create_stream(settings) as stream:
        for t, p, c, z in _order():
            stream.append(truth(t, p, c)[z], frame_metadata={"t": t})
            time.sleep(delay)


def _ndstorage(place: Path, delay: float) -> None:
    import warnings

    import ndstorage

    warnings.simplefilter("ignore")
    data = ndstorage.NDTiffDataset(
        str(place.parent), name="a", summary_metadata={"PixelSize_um": 0.0}, writable=True
    )
    for t, p, c, z in _order():
        axes = {"time": t, "position": p, "channel": "xy"[c], "z": z}
        data.put_image(axes, truth(t, p, c)[z], {"t": t})
        time.sleep(delay)
    data.finish()
