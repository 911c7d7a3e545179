"""The output as a whole: made beside its final name, published when complete, or not at all.

Duty: hold the images that are being made, keep the record of what is finished, and decide at the
end. Must not know: how a format is written, how the swap is done, who fuses what.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from zfuse.errors import Cancelled, ZfuseError
from zfuse.pipeline.core import (
    Staging,
    check_space,
    disk_errors,
    output_kind,
)
from zfuse.pipeline.sinks._check import check_apart, check_output
from zfuse.pipeline.sinks._labels import clean
from zfuse.pipeline.sinks._place import Place
from zfuse.pipeline.sinks._record import Record, State
from zfuse.pipeline.sinks._root import write_root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from zfuse.pipeline.core import PlateLayout, Stack
    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion
    from zfuse.pipeline.sinks._sink import Files, Sink

__all__ = ["Output", "open_output"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
# Blank images shrink to less than a hundredth with lz4, so an OME-Zarr that has this much room
# may fit. TIFF is not compressed.
_SMALLEST_FRACTION = {"ome-zarr": 0.004, "tiff": 1.0, "png": 0.004}


def open_output(
    output: str | Path,
    images: Sequence[str] = ("",),
    *,
    layout: PlateLayout | None = None,
    overwrite: bool = False,
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    version: OmeZarrVersion = "0.5",
) -> Output:
    """Prepare the output of a run.

    Parameters
    ----------
    output
        Path; its suffix chooses the format: ``.ome.zarr``, ``.zarr``, ``.ome.tif``, ``.tif``,
        ``.btf``, ``.png`` (and ``.tiff``).
    images
        Paths of its images below it; ``""`` alone: it is one image. Several need OME-Zarr.
    layout
        Of a plate, whose images lie at "row/column/field".
    overwrite
        Replace an earlier output.
    resume
        Go on with what an interrupted run has left, if it has.
    identity
        JSON values, what the output depends on. Without it an interrupted run leaves nothing.
    provenance
        JSON values for the root of several images.
    version
        Of OME-Zarr.

    Returns
    -------
    Output
        Nothing is written before it is entered.

    Raises
    ------
    ZfuseError
        The output may not be written (see `check_output`), or the format holds one image only.
    """
    check_output(output, [], overwrite, resume=resume)
    if output_kind(output) != "ome-zarr" and tuple(images) != ("",):
        raise ZfuseError(
            f"output {output} holds one image, but the input has {len(images)}; write to "
            ".ome.zarr, or choose one with --series or --select"
        )
    return Output(
        Path(output), images, layout, overwrite=overwrite, resume=resume, identity=identity,
        provenance=provenance or {}, version=version,
    )  # fmt: skip


def _check_format(output: Path, stack: Stack) -> None:
    if stack.dtype.name not in _DTYPES:
        raise ZfuseError(
            f"cannot write {stack.dtype} pixels; supported are {', '.join(_DTYPES)}: convert the "
            "input first"
        )
    if output_kind(output) == "png":
        from zfuse.pipeline.sinks._png import check_png

        check_png(output, stack)


def _least_bytes(kind: str, stack: Stack, *, each: bool) -> int:
    t, c, _, y, x = stack.shape
    maps = 8 * (c if each else 1) * (1.0 if kind == "png" else _SMALLEST_FRACTION[kind])
    return int(t * y * x * (maps + c * stack.dtype.itemsize * _SMALLEST_FRACTION[kind]))


class Output:
    """The output of a run: a context manager that publishes all of it, or leaves no trace.

    On a clean exit everything that was ended appears under its final name at once. On any exception
    an earlier output stands as it was, and what was written is removed; but what is worth resuming
    stays in the staging folder, and a note on the exception says so.

    Attributes
    ----------
    place
        What another process needs to write tiles; from entering on.
    published
        There is nothing to do: an earlier run had done all but the last step, which is done now.
    resumed
        Whether an interrupted run had left something.
    """

    place: Place
    published = resumed = False

    def __init__(
        self,
        path: Path,
        images: Sequence[str],
        layout: PlateLayout | None,
        *,
        overwrite: bool,
        resume: bool,
        identity: Mapping[str, Any] | None,
        provenance: Mapping[str, Any],
        version: OmeZarrVersion,
    ) -> None:
        self._path, self._version = path, version
        self._images, self._layout = images, layout
        self._resume = resume
        self._identity = identity if output_kind(path) == "ome-zarr" else None
        self._provenance = provenance
        self._staging = Staging(path, overwrite=overwrite, resume=resume)
        self._record: Record | None = None
        self._open: dict[str, Sink] = {}
        self._ended: set[str] = set()
        self._failed: dict[str, str] = {}
        self._lock = Lock()

    def __enter__(self) -> Self:
        try:
            with disk_errors(self._path):
                self._staging.create()
                self.place = Place(self._path, self._staging.inner, self._version)
                self.resumed, self.published = self._staging.resumed, self._staging.published
                if self._identity is not None and not self.published:
                    self._record = Record(
                        self._staging.manifest, self.place.root, clean(dict(self._identity)),
                        at_once=self._resume,
                    )  # fmt: skip
        except BaseException:
            self._leave(keep=self._staging.resumed)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abort(error)
            return
        try:
            self._publish()
        except BaseException as late:
            self._abort(late)
            raise

    @property
    def torn(self) -> int:
        """Tiles that an interrupted run had recorded, and that were not whole."""
        return self._record.torn if self._record else 0

    def state(self, image: str) -> State:
        """Return what an interrupted run has left of an image."""
        return self._record.state(image) if self._record else State()

    def begin(
        self,
        image: str,
        stack: Stack,
        *,
        tile: int,
        each: bool = False,
        provenance: Mapping[str, Any],
        source: Mapping[str, Any] | None = None,
    ) -> Sink:
        """Begin an image, or go on with it, in this process.

        Parameters
        ----------
        image
            Its path.
        stack
            The stack that is fused.
        tile
            Edge of the tiles that will be written, in pixels: a multiple of 64, or the whole image.
        each
            Depth and confidence have channels as the image has.
        provenance
            JSON-like values: version, method, settings, source, planes.
        source
            JSON values, what of the source the image is made from.

        Raises
        ------
        ZfuseError
            The format cannot hold the stack, or the disk has no room for it.
        """
        state = self.check(image, stack, each=each)
        self.began(image, stack, tile, source or {})
        sink = self.place.sink(
            image, stack, tile=tile, each=each, provenance=provenance, again=state.tile is not None
        )
        sink.kept = self._kept
        if state.tile is not None:
            sink.known(state.done)
        self._open[image] = sink
        return sink

    def check(self, image: str, stack: Stack, *, each: bool = False) -> State:
        """Refuse a stack that the output cannot hold; return what there is of it.

        Raises
        ------
        ZfuseError
            The format cannot hold the stack, the disk has no room, or the output lies in a source.
        """
        check_apart(self._path, stack.source)
        _check_format(self._path, stack)
        check_space(self._path, _least_bytes(output_kind(self._path), stack, each=each))
        return self.state(image)

    def began(
        self,
        image: str,
        stack: Stack,
        tile: int,
        source: Mapping[str, Any],
        *,
        made: bool = False,
    ) -> None:
        """Record that an image is begun, here or by another process, unless it was before.

        `made`: that process has made it by now; otherwise what lies there is removed.
        """
        if self._record is None:
            return
        with disk_errors(self._path, kept=self._kept):
            if self._record.state(image).tile is not None:
                return
            if not made:
                self.place.remove(image)
            times, _, _, height, width = stack.shape
            grid = times, -(-height // tile), -(-width // tile)
            self._record.begun(image, tile, grid, clean(dict(source)))

    def wrote(self, image: str, t: int, y: int, x: int, files: Files) -> None:
        """Record a tile that is written."""
        if self._record is not None:
            with disk_errors(self._path, kept=self._kept):
                self._record.wrote(image, t, y, x, files)

    def end(self, image: str) -> None:
        """Complete an image that this process began."""
        sink = self._open[image]
        sink.stop()
        files = sink.finish()
        del self._open[image]
        self.ended(image, files)

    def ended(self, image: str, files: Files) -> None:
        """Record an image that is complete."""
        if self._record is not None:
            with disk_errors(self._path, kept=self._kept):
                self._record.ended(image, files)
        with self._lock:
            self._ended.add(image)

    def kept(self, image: str) -> None:
        """Publish an image as an interrupted run has ended it."""
        with self._lock:
            self._ended.add(image)

    def failed(self, image: str, reason: str) -> None:
        """Go on without one of several images, and remove what there is of it."""
        if (sink := self._open.pop(image, None)) is not None:
            sink.stop()
            sink.release()
        if self._record is not None:
            with disk_errors(self._path, kept=self._kept):
                self._record.failed(image, reason)
            self._record.forget(image)
        self.place.remove(image)
        with self._lock:
            self._failed[image] = reason

    def _kept(self) -> str:
        keeps = self._record is not None and self._record.worth_keeping
        return "what is finished stays" if keeps else "nothing was kept"

    def _publish(self) -> None:
        if self.published:
            self._staging.abandon()
            return
        if self._open or not self._ended:
            for sink in self._open.values():
                sink.stop()
                sink.finish()  # says which tiles are missing
            raise RuntimeError(f"{self._path}: images were begun and not ended: {[*self._open]}")
        with disk_errors(self._path, kept=self._kept):
            if tuple(self._images) != ("",):
                images = [image for image in self._images if image in self._ended]
                said = {**self._provenance, "failed": self._failed}
                write_root(self.place, images, self._layout, clean(said))
            if self._record is not None:
                self._record.close()
            self._staging.publish()

    def _abort(self, error: BaseException) -> None:
        try:
            for sink in self._open.values():
                sink.stop()
                sink.release()
        finally:
            keep = self._record is not None and self._record.worth_keeping
            if isinstance(error, Cancelled) and not self._resume:
                keep = False
            self._leave(keep=keep)
            if keep:
                error.add_note(
                    f"what is finished stays in {self._staging.folder}: --resume goes on with it, "
                    "--overwrite begins again"
                )

    def _leave(self, *, keep: bool) -> None:
        if self._record is not None:
            self._record.close()
        if keep:
            self._staging.keep()
        else:
            self._staging.abandon()
