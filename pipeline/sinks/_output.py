"""The output as a whole: made beside its final name, published when complete, or not at all.

Duty: choose the format by the name, hold the sinks of all stacks, and decide at the end. Must not
know: how a format is written, how the swap is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import (
    Staging,
    check_space,
    disk_errors,
    output_files,
    output_kind,
)
from zfuse.pipeline.sinks._check import check_output
from zfuse.pipeline.sinks._labels import clean, labelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks._png import PngSink
    from zfuse.pipeline.sinks._sink import Sink
    from zfuse.pipeline.sinks._tiff import TiffSink

__all__ = ["Output", "open_output"]

_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
# Blank images shrink to less than a hundredth with lz4, so an OME-Zarr that has this much room
# may fit. TIFF is not compressed.
_SMALLEST_FRACTION = {"ome-zarr": 0.004, "tiff": 1.0, "png": 0.004}


def open_output(
    output: str | Path,
    stacks: Sequence[Stack],
    *,
    tile: int,
    provenance: Sequence[Mapping[str, Any]],
    each: Sequence[bool] = (),
    overwrite: bool = False,
) -> Output:
    """Prepare the output of a run.

    Parameters
    ----------
    output
        Path; its suffix chooses the format: ``.ome.zarr``, ``.zarr``, ``.ome.tif``, ``.tif``,
        ``.btf``, ``.png`` (and ``.tiff``).
    stacks
        The stacks that are fused. Several need OME-Zarr.
    tile
        Edge of the tiles that will be written, in pixels: a multiple of 64, or the whole image.
    provenance
        JSON-like values for each stack: version, method, settings, source, planes.
    each
        For each stack, whether depth and confidence have channels as the image has; by default they
        have none.
    overwrite
        Replace an earlier output.

    Returns
    -------
    Output
        Nothing is written before it is entered.

    Raises
    ------
    ZfuseError
        The output may not be written (see `check_output`), the format cannot hold the stacks, or
        the disk has no room for it.
    """
    check_output(output, [stack.source for stack in stacks], overwrite)
    each = each or [False] * len(stacks)
    if not stacks or not len(stacks) == len(provenance) == len(each):
        raise ValueError(f"{len(stacks)} stacks, {len(provenance)} provenance entries, {each=}")
    kind = output_kind(output)
    if kind != "ome-zarr" and len(stacks) > 1:
        raise ZfuseError(
            f"output {output} holds one image, but the input has {len(stacks)}; write to "
            ".ome.zarr, or choose one with --series"
        )
    for stack in stacks:
        _check_format(kind, output, stack)
    n_bytes = 0.0
    for stack, own in zip(stacks, each, strict=True):
        t, c, _, y, x = stack.shape
        maps = 8 * (c if own else 1) * (1.0 if kind == "png" else _SMALLEST_FRACTION[kind])
        n_bytes += t * y * x * (maps + c * stack.dtype.itemsize * _SMALLEST_FRACTION[kind])
    check_space(Path(output), int(n_bytes))
    return Output(
        Path(output),
        labelled(stacks),
        tile=tile,
        provenance=[clean(dict(entry)) for entry in provenance],
        each=each,
        overwrite=overwrite,
    )


def _check_format(kind: str, output: str | Path, stack: Stack) -> None:
    if stack.dtype.name not in _DTYPES:
        raise ZfuseError(
            f"cannot write {stack.dtype} pixels; supported are {', '.join(_DTYPES)}: convert the "
            "input first"
        )
    if kind == "png":
        from zfuse.pipeline.sinks._png import check_png

        check_png(output, stack)


class Output:
    """The output of a run: a context manager that publishes all of it, or leaves no trace.

    On a clean exit everything appears under its final name at once. On any exception what was
    written is removed, and an earlier output stands as it was.

    Attributes
    ----------
    sinks
        One a stack, in order; from entering on.
    """

    def __init__(
        self,
        path: Path,
        stacks: Sequence[Stack],
        *,
        tile: int,
        provenance: Sequence[Mapping[str, Any]],
        each: Sequence[bool],
        overwrite: bool,
    ) -> None:
        self.sinks: list[Sink] = []
        self._path = path
        self._stacks = stacks
        self._tile = tile
        self._provenance = provenance
        self._each = each
        self._staging = Staging(path, overwrite=overwrite)

    def __enter__(self) -> Self:
        try:
            with disk_errors(self._path):
                self._staging.create()
                self._make_sinks()
        except BaseException:
            self._abort()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._abort()
            return
        try:
            for sink in self.sinks:
                sink.stop()
            for sink in self.sinks:
                sink.finish()
            with disk_errors(self._path):
                self._staging.publish()
        except BaseException:
            self._abort()
            raise

    def _make_sinks(self) -> None:
        target = self._staging.path(self._path)
        kind = output_kind(self._path)
        if kind == "ome-zarr":
            from zfuse.pipeline.sinks._ome_zarr import OmeZarrSink, write_collection

            names = [str(index) for index in range(len(self._stacks))]
            if len(names) > 1:
                write_collection(target, names)
            for name, stack, provenance, each in zip(
                names, self._stacks, self._provenance, self._each, strict=True
            ):
                folder = target / name if len(names) > 1 else target
                self.sinks.append(
                    OmeZarrSink(
                        stack,
                        self._tile,
                        self._path,
                        folder=folder,
                        provenance=provenance,
                        each=each,
                    )
                )
            return
        make: type[PngSink] | type[TiffSink]
        if kind == "png":
            from zfuse.pipeline.sinks._png import PngSink as make
        else:
            from zfuse.pipeline.sinks._tiff import TiffSink as make
        files = [self._staging.path(file) for file in output_files(self._path)]
        (stack,), (provenance,), (each,) = self._stacks, self._provenance, self._each
        self.sinks.append(
            make(stack, self._tile, self._path, files=files, provenance=provenance, each=each)
        )

    def _abort(self) -> None:
        try:
            for sink in self.sinks:
                sink.stop()
                sink.release()
        finally:
            self._staging.abandon()
