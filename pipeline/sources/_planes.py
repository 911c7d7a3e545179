"""A folder of plane images (or a single image file) as a stack.

Duty: which files are planes, whether they fit together, and reading them, several at once.
Must not know: how names are understood (`_names`), how a file is decoded (`_plane_file`, `_tiff`).
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import BaseReader, Channel, Stack, each
from zfuse.pipeline.sources._decoded import DecodedPlanes
from zfuse.pipeline.sources._magic import TIFF, kind_of
from zfuse.pipeline.sources._members import Listing, Member, numbered
from zfuse.pipeline.sources._micromanager import described
from zfuse.pipeline.sources._mm_sets import Parts, position_folders, stack_files
from zfuse.pipeline.sources._names import FileGrid, arrange, natural
from zfuse.pipeline.sources._plane_file import Plane, decode, header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import PlaneReader

__all__ = ["SUFFIXES", "list_members", "open_member", "open_plane"]

SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"}
OPEN_TIFFS = 64


def list_members(place: str, *, allow_missing: bool) -> Listing:
    """List the stacks of a folder, by the names of its files.

    Parameters
    ----------
    place
        The folder, or one image file.
    allow_missing
        Take planes with a gap in their numbers as evenly spaced. A plane of one channel or time
        point only that is missing is always an error, since its name is all that is known of it.

    Raises
    ------
    ZfuseError
        There are no planes, or they form no full grid.
    """
    found = _found(place, allow_missing)
    if isinstance(found, Parts):
        if len(found.paths) > 1:
            return Listing(tuple(Member(str(i), name, i) for i, name in enumerate(found.names)))
        from zfuse.pipeline.sources import _tiff

        return _tiff.list_members(found.paths[0], allow_missing=allow_missing)
    members = numbered(len(found))
    if len(found) == 1:
        return Listing(members)
    return Listing(
        tuple(
            replace(member, name=grid.position or member.name)
            for member, grid in zip(members, found, strict=True)
        )
    )


def open_member(place: str, path: str, *, allow_missing: bool) -> Stack:
    """Open one stack of a folder, by its number, ``""`` for the only one; see `list_members`.

    Raises
    ------
    ZfuseError
        Its planes do not fit together.
    """
    found = _found(place, allow_missing)
    if isinstance(found, Parts):
        return described(_part(found, path, allow_missing), found.notes)
    number = int(path or 0)
    if number >= len(found):
        raise ZfuseError(f"{place} has no position {number} any more; list it again")
    if Path(place).is_file():
        return _stack(Path(place).parent, found[number], place)
    return described(_stack(Path(place), found[number], place), Path(place))


def _part(parts: Parts, path: str, allow_missing: bool) -> Stack:
    """Open one image of parts that are inputs of their own, or of the one that holds them all."""
    from zfuse.pipeline.sources import _tiff

    if len(parts.paths) == 1:
        return _tiff.open_member(parts.paths[0], path, allow_missing=allow_missing)
    number = int(path or 0)
    if number >= len(parts.paths):
        raise ZfuseError(f"{parts.notes} has no position {number} any more; list it again")
    part = parts.paths[number]
    opened = open_member if Path(part).is_dir() else _tiff.open_member
    stack = opened(part, "", allow_missing=allow_missing)
    return replace(stack, name=f"{parts.notes.name} {parts.names[number]}")


def _found(place: str, allow_missing: bool) -> list[FileGrid] | Parts:
    """Return what each stack consists of, or the parts that are inputs of their own."""
    path = Path(place)
    if path.is_file():
        return [_lone(path)]
    names = [
        entry.name
        for entry in path.iterdir()
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    if not names:
        if parts := position_folders(path):
            return parts
        raise ZfuseError(_no_planes(path))
    if companion := [e.name for e in path.iterdir() if e.name.lower().endswith(".companion.ome")]:
        if len(companion) > 1:
            raise ZfuseError(f"{path} holds {len(companion)} companion files; give one of them")
        return Parts(path, (str(path / companion[0]),))
    if all(_is_ome(name) for name in names):
        whole = _ome_set(path, sorted(names, key=natural), allow_missing)
        if whole:
            return Parts(path, (whole,))
    if parts := stack_files(path, names):
        return parts
    grids = arrange(names, str(path))
    for grid in grids:
        if grid.gap and not allow_missing:
            position = f" of position {grid.position}" if grid.position else ""
            raise ZfuseError(
                f"{path}: among the planes{position} {grid.gap} is missing, so that depth would be "
                "wrong; add the file, or take the planes as evenly spaced with --allow-missing"
            )
    return grids


def _ome_set(folder: Path, names: list[str], allow_missing: bool) -> str:
    """Return the first of OME-TIFF files that describe each other, "" when they are planes."""
    from zfuse.pipeline.sources._tiff_open import open_tiff

    first = str(folder / names[0])
    with open_tiff(first, allow_missing=allow_missing).tif as tif:
        planes = max(len(series) for series in tif.series)
        described = {
            Path(page.parent.filehandle.path).name
            for series in tif.series if series.is_multifile or len(names) == 1
            for page in series.pages if page is not None
        }  # fmt: skip
    return first if planes > 1 and set(names) <= described else ""


def open_plane(place: str | Path) -> Stack:
    """Open one file of a folder of planes as a stack of one plane.

    Parameters
    ----------
    place
        Image file: Y, X with channels or samples.

    Raises
    ------
    ZfuseError
        The file is damaged, not whole yet, or a stack of its own.
    """
    path = Path(place)
    try:
        return _stack(path.parent, _lone(path), str(path))
    except OSError as error:
        raise ZfuseError(f"{path} cannot be read ({error}); check disk and permissions") from error


def _lone(path: Path) -> FileGrid:
    return FileGrid(files=(((path.name,),),), channels=("",), position="", axes="")


class FolderReader(BaseReader):
    """Reads planes that are files.

    Parameters
    ----------
    folder
        Where they are.
    grid
        Their order.
    plane
        What all of them share.
    kinds
        Header of each file, by name.
    """

    def __init__(self, folder: Path, grid: FileGrid, plane: Plane, kinds: dict[str, Plane]) -> None:
        self._folder = folder
        self._grid = grid
        self._kinds = kinds
        self._samples = plane.samples
        self._decoded = DecodedPlanes()
        self._tiffs: OrderedDict[str, PlaneReader] = OrderedDict()
        self._lock = threading.Lock()
        times, channels, planes = len(grid.files), len(grid.files[0]), len(grid.files[0][0])
        high = max(kind.chunk[0] for kind in kinds.values())
        wide = max(kind.chunk[1] for kind in kinds.values())
        super().__init__(
            (times, channels * plane.samples, planes, plane.height, plane.width),
            plane.dtype,
            (1, high, wide),
        )

    def fill(self, t: int, z: slice, y: slice, x: slice, out: NDArray[Any]) -> None:
        """Fill `out` with the window, files in parallel."""
        step = self._samples
        work = [
            (name, out[i, c * step : (c + 1) * step])
            for c, names in enumerate(self._grid.files[t])
            for i, name in enumerate(names[z])
        ]
        each(lambda job: self._plane(job[0], y, x, job[1]), work)

    def close(self) -> None:
        """Release the files."""
        super().close()
        self._decoded.close()
        with self._lock:
            while self._tiffs:
                self._tiffs.popitem()[1].close()

    def _plane(self, name: str, y: slice, x: slice, out: NDArray[Any]) -> None:
        kind = self._kinds[name]
        if kind.kind == TIFF:
            self._tiff(name).read(0, slice(0, 1), y, x, out[None])
            return
        self._decoded.read(name, lambda: decode(self._folder / name, kind), y, x, out)

    def _tiff(self, name: str) -> PlaneReader:
        with self._lock:
            if name in self._tiffs:
                self._tiffs.move_to_end(name)
                return self._tiffs[name]
        plane, stack = _header(self._folder / name)
        if stack is None or plane.likeness != self._kinds[name].likeness:
            raise ZfuseError(f"{self._folder / name} has changed since the folder was opened")
        with self._lock:
            self._tiffs[name] = stack.reader
            if len(self._tiffs) > OPEN_TIFFS:
                self._tiffs.popitem(last=False)  # closes itself when the last read is done
        return stack.reader


def _header(path: Path) -> tuple[Plane, Stack | None]:
    """Read the header of a plane; of a TIFF also its stack, whose metadata and reader serve."""
    if kind_of(path) != TIFF:
        return header(path), None
    from zfuse.pipeline.sources import _tiff

    stack = _tiff.open_plane(str(path))
    _, samples, _, height, width = stack.shape
    alpha = any("alpha" in line for line in stack.warnings)
    chunk = stack.reader.chunk[1:]
    return Plane(TIFF, samples, height, width, stack.dtype, stack.rgb, alpha, chunk), stack


def _stack(folder: Path, grid: FileGrid, source: str) -> Stack:
    """Read all headers, check that they agree, and make the stack."""
    names = [name for time in grid.files for channel in time for name in channel]
    kinds: dict[str, Plane] = {}
    first: Stack | None = None
    for name in names:
        kinds[name], tiff = _header(folder / name)
        if tiff is not None:
            tiff.reader.close()
            first = first or tiff
    plane = _common(kinds, source)
    reader = FolderReader(folder, grid, plane, kinds)
    where = f" position {grid.position}" if grid.position else ""
    several = len(grid.files[0]) > 1
    return Stack(
        reader=reader,
        axes="".join(
            axis
            for axis, length in zip("tczyx", reader.shape, strict=True)
            if length > 1 or axis in "zyx"
        ),
        name=Path(source).stem + where if Path(source).is_file() else Path(source).name + where,
        source=source + where,
        channels=_channels(grid, plane, first, several=several),
        rgb=plane.rgb and not several,
        pixel_size=first.pixel_size if first else None,
        z_step=first.z_step if first else None,
        kind=f"{len(names)} image file{'s' if len(names) > 1 else ''}",
        warnings=tuple(_remarks(grid, kinds, source)),
    )


def _common(kinds: dict[str, Plane], source: str) -> Plane:
    """Return what all planes are; refuse the first that differs from the majority."""
    usual, _ = Counter(plane.likeness for plane in kinds.values()).most_common(1)[0]
    for name, plane in kinds.items():
        if plane.likeness != usual:
            raise ZfuseError(
                f"{source}: {name} is {_spell(plane.likeness)}, the other planes are "
                f"{_spell(usual)}; all planes must be alike: convert it or move it away"
            )
    return next(iter(kinds.values()))


def _spell(likeness: tuple[tuple[int, int, int], str]) -> str:
    (samples, height, width), dtype = likeness
    return f"{width} x {height} px of {samples} channel(s), {dtype}"


def _channels(
    grid: FileGrid, plane: Plane, first: Stack | None, *, several: bool
) -> tuple[Channel, ...]:
    if several:
        names = [f"channel {c}" if c.isdigit() else c for c in grid.channels]
        if plane.samples == 1:
            return tuple(Channel(name) for name in names)
        return tuple(Channel(f"{name}.{i}") for name in names for i in range(plane.samples))
    if plane.rgb:
        return tuple(Channel(name) for name in ("red", "green", "blue"))
    if first is not None and len(first.channels) == plane.samples:
        return first.channels
    return tuple(Channel(f"channel {i}") for i in range(plane.samples))


def _remarks(grid: FileGrid, kinds: dict[str, Plane], source: str) -> list[str]:
    said: list[str] = []
    if alpha := [name for name, plane in kinds.items() if plane.alpha]:
        said.append(f"{source}: alpha channel of {len(alpha)} file(s) is left out, as {alpha[0]}")
    if len(grid.files[0][0]) == 1:
        counted = " and ".join(grid.axes.replace("z", ""))
        hint = f" (its file names count {counted}, none counts z)" if counted else ""
        said.append(f"{source} holds a single plane{hint}; there is nothing to choose from")
    if grid.gap:
        said.append(
            f"{source}: {grid.gap} is missing among its planes, which are taken as evenly spaced: "
            "depth in µm is wrong above the gap"
        )
    return said


def _is_ome(name: str) -> bool:
    return name.lower().endswith((".ome.tif", ".ome.tiff"))


def _no_planes(folder: Path) -> str:
    """Refuse a folder without planes; name sub-folders that have some."""
    below = sorted(
        (
            entry.name
            for entry in folder.iterdir()
            if entry.is_dir()
            and (
                entry.name.endswith(".zarr")
                or any(file.suffix.lower() in SUFFIXES for file in entry.iterdir())
            )
        ),
        key=natural,
    )
    if below:
        more = f" and {len(below) - 3} more" if len(below) > 3 else ""
        return (
            f"{folder} holds no planes, only folders of images: {', '.join(below[:3])}{more}; "
            f"give one of them, such as {folder / below[0]}"
        )
    return (
        f"{folder} holds no image; give an OME-Zarr, a TIFF, "
        "or a folder of TIFF, PNG, JPEG or BMP planes"
    )
