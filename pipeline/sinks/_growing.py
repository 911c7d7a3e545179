"""Images that can be looked at while they grow: one, or a collection of one image a position.

Duty: an OME-Zarr that is valid whenever somebody opens it, although time points and positions are
still added. Everything is made aside and renamed into place: a group with all its arrays and
metadata, a shard, a changed ``zarr.json``. Must not know: who writes, what is recorded of it, locks
and final names.

A time point that has not come reads as blank. At the end those that never came are written as
blank ones: image 0, depth NaN, confidence 0.
"""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.pipeline.core import Fused, NoPixels, disk_errors, rename
from zfuse.pipeline.sinks import _ome_metadata as metadata
from zfuse.pipeline.sinks._labels import clean, labelled
from zfuse.pipeline.sinks._maps import confidence_map, depth_map
from zfuse.pipeline.sinks._ome_zarr import OmeZarrSink
from zfuse.pipeline.sinks._root import write_collection
from zfuse.pipeline.sinks._shards import write_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks._shards import ShardGrid

__all__ = ["KEPT", "GrowingImages"]

KEPT = "what was finished stays"  # for messages


class GrowingImages:
    """The images of an output that grows.

    Parameters
    ----------
    folder
        Where they grow, and may have begun to.
    aside
        Gives a new path on the same disk.
    output
        Final path, for messages.
    collection
        Several images may come: they lie below the folder, each by its number. Otherwise the one
        image is the folder.
    each
        Depth and confidence have the channels of the image.
    """

    def __init__(
        self,
        folder: Path,
        aside: Callable[[], Path],
        output: Path,
        *,
        collection: bool,
        each: bool,
    ) -> None:
        self._folder = folder
        self._aside = aside
        self._output = output
        self._collection = collection
        self._each = each
        self._images: dict[int, _GrowingImage] = {}

    def write(
        self, p: int, t: int, stack: Stack, provenance: Mapping[str, Any], fused: Fused
    ) -> None:
        """Write one time point of one image, which is made if it is not there.

        Parameters
        ----------
        p, t
            Image and time point.
        stack
            Size, dtype, names and calibration of the image; one with more time points than before
            makes it longer.
        provenance
            For ``zfuse`` in the attributes of an image that is made.
        fused
            Of the whole frame.

        Raises
        ------
        ZfuseError
            The disk is full, the folder was removed, writing is not permitted.
        ValueError
            The frame is not what the image holds.
        """
        with disk_errors(self._output, fused.image.nbytes + 2 * fused.depth.nbytes, kept=KEPT):
            image = self._image(p, stack, provenance, fused.image)
            image.resize(max(stack.shape[0], t + 1, image.stack.shape[0]))
            image.put(t, fused)

    def complete(
        self,
        p: int,
        stack: Stack,
        provenance: Mapping[str, Any],
        written: Collection[int],
    ) -> None:
        """Give an image its last metadata and as many time points as `stack` has.

        Parameters
        ----------
        p, stack, provenance
            As for `write`, by now with all that is known.
        written
            Time points that were written; the others become blank.

        Raises
        ------
        ZfuseError
            As for `write`.
        """
        with disk_errors(self._output, kept=KEPT):
            image = self._image(p, stack, provenance, None)
            image.resize(stack.shape[0])
            for t in sorted(set(range(stack.shape[0])) - set(written)):
                image.put_blank(t)
            stack = labelled(_timed(stack, stack.shape[0]))
            image.describe(stack, clean(dict(provenance)), min(written, default=0))

    def _image(
        self, p: int, stack: Stack, provenance: Mapping[str, Any], shown: Any | None
    ) -> _GrowingImage:
        if p in self._images and self._folder.is_dir():
            return self._images[p]
        stack, provenance = labelled(_timed(stack, stack.shape[0])), clean(dict(provenance))
        place = self._folder / str(p) if self._collection else self._folder
        more: dict[str, Any] = {"provenance": provenance, "each": self._each}
        tile = max(stack.shape[3:])
        if not (place / "zarr.json").is_file():
            if p in self._images or (self._images and not self._folder.is_dir()):
                raise FileNotFoundError(errno.ENOENT, "it was removed", str(place))
            new = self._aside()
            made = new / str(p) if self._collection else new
            if self._collection:
                write_collection(new, [str(p)])
            _GrowingImage(stack, tile, self._output, folder=made, **more).show(shown)
            if self._collection and self._folder.is_dir():
                rename(made, place)
                shutil.rmtree(new, ignore_errors=True)
            else:
                rename(new, self._folder)
        if self._collection:
            self._list()
        image = _GrowingImage(stack, tile, self._output, folder=place, **more)
        image.aside = self._aside
        image.stack = _timed(stack, image.times)
        self._images[p] = image
        return image

    def _list(self) -> None:
        """Write the list of all images, also of one that came just before a crash."""
        found = (path.parent.name for path in self._folder.glob("*/zarr.json"))
        paths = sorted((name for name in found if name.isdecimal()), key=int)
        series = metadata.series_attributes(paths)
        _change(
            self._folder / "OME" / "zarr.json",
            self._aside(),
            lambda said: said["attributes"].update(series),
        )


class _GrowingImage(OmeZarrSink):
    """One image; a shard appears whole."""

    aside: Callable[[], Path]
    _blank: int | None = None

    def _create(self, root: Path | None = None) -> None:
        if not (self._folder / "zarr.json").is_file():
            super()._create(root)

    def show(self, image: Any | None) -> None:
        """Write the first attributes, with display windows of these pixels."""
        import zarr

        known = [metadata.known_window(self.stack, c) for c in range(self.n_channels)]
        windows = [(0.0, 1.0)] * self.n_channels
        if image is not None:
            thin = image.reshape(self.n_channels, self.height, self.width)[:, ::8, ::8]
            windows = [metadata.display_window(channel) for channel in thin]
        group = zarr.open_group(self._folder, mode="r+")
        group.attrs.update(self._attributes([k or w for k, w in zip(known, windows, strict=True)]))

    def put(self, t: int, fused: Fused) -> None:
        """Write, or write again, one time point."""
        self._store(t, 0, 0, *self._checked(t, 0, 0, fused))

    def put_blank(self, t: int) -> None:
        """Write a time point that never came: the first one as any other, then copies of it."""
        if self._blank is None:
            shape = (self.n_channels, self.height, self.width)
            maps = np.zeros(shape if self.each else shape[1:], np.float32)
            self.put(t, Fused(np.zeros(shape, self.stack.dtype), np.full_like(maps, np.nan), maps))
            self._blank = t
            return
        for layer in (self._image, self._depth, self._confidence):
            for level in range(len(self._levels)):
                new = self.aside()
                shutil.copyfile(self._shard(layer, level, self._blank, 0, 0), new)
                path = self._shard(layer, level, t, 0, 0)
                path.parent.mkdir(parents=True, exist_ok=True)
                rename(new, path)

    @property
    def times(self) -> int:
        """Time points that all its arrays have."""
        if "t" not in self.stack.axes:
            return 1
        axis = self.stack.axes.index("t")
        paths = (
            layer.folder / str(level) / "zarr.json"
            for layer in (self._image, self._depth, self._confidence)
            for level in range(len(self._levels))
        )
        return min(
            int(json.loads(path.read_text(encoding="utf-8"))["shape"][axis]) for path in paths
        )

    def resize(self, times: int) -> None:
        """Give the image so many time points; those beyond are removed."""
        before = self.stack.shape[0]
        if times == before or "t" not in self.stack.axes:
            return
        axis = self.stack.axes.index("t")
        for layer in (self._image, self._depth, self._confidence):
            for level in range(len(self._levels)):
                path = layer.folder / str(level) / "zarr.json"
                _change(path, self.aside(), lambda said: _set(said["shape"], axis, times))
                for t in range(times, before):
                    self._shard(layer, level, t, 0, 0).unlink(missing_ok=True)
        self.stack = _timed(self.stack, times)

    def describe(self, stack: Stack, provenance: Mapping[str, Any], t: int) -> None:
        """Write the last attributes; `t` is what display windows are taken from."""
        self.stack, self._provenance = stack, provenance
        n_levels = len(self._levels)
        for stored in (depth_map(stack), confidence_map()):
            said = metadata.map_attributes(stack, stored, n_levels, each=self.each)
            self._attribute(self._folder / stored.quantity, said)
        self._attribute(self._folder, self._attributes(self._windows(t)))

    def _attribute(self, folder: Path, said: Mapping[str, Any]) -> None:
        _change(folder / "zarr.json", self.aside(), lambda old: old["attributes"].update(said))

    def _write_shard(
        self, path: Path, n_channels: int, grid: ShardGrid, rows: Iterable[Any]
    ) -> tuple[int, int]:
        if not (self._folder / "zarr.json").is_file():
            raise FileNotFoundError(errno.ENOENT, "it was removed", str(self._folder))
        new = self.aside()
        try:
            written = write_shard(new, n_channels, grid, rows)
            path.parent.mkdir(parents=True, exist_ok=True)
            rename(new, path)
            return written
        finally:
            new.unlink(missing_ok=True)


def _timed(stack: Stack, times: int) -> Stack:
    """Return the stack with so many time points, and without its pixels."""
    return replace(stack, reader=NoPixels((times, *stack.shape[1:]), stack.dtype))


def _set(values: list[Any], index: int, value: Any) -> None:
    values[index] = value


def _change(path: Path, new: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file; nobody ever sees half of it."""
    old = path.read_text(encoding="utf-8")
    said = json.loads(old)
    change(said)
    text = json.dumps(said, indent=2, allow_nan=True)
    if text == old:
        return
    new.write_bytes(text.encode())
    rename(new, path)
