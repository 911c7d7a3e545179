"""The plane picker: depth, confidence and the focus curve of one pixel of a stack.

Duty: from a place in the world to numbers, reading no more of the stack than a small block round
the pixel. Must not know: Qt, viewers, how results are shown. Layers are those of napari.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.plugins._picker_layers import depth_unit, extent, z_axis, z_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["Latest", "Picked", "Picker", "Place", "focus_curve", "locate"]

_WINDOW = 9  # px: the default of the method select
_TILE, _TILES = 64, 8  # px and number: blocks of the stack that are kept to hover about in
_LUMA = np.array((0.299, 0.587, 0.114))  # colours decide on it, see `Signal`


@dataclass(frozen=True)
class Place:
    """A pixel of a stack: its layer's indices, and the layers that lie over it.

    Attributes
    ----------
    stack
        The layer that planes are read from.
    index
        One integer an axis of the stack's data, colours left out; that of z means nothing.
    depth, confidence
        Layers, or None.
    """

    stack: Any
    index: tuple[int, ...]
    depth: Any | None = None
    confidence: Any | None = None


@dataclass(frozen=True)
class Picked:
    """What is known of a pixel.

    Attributes
    ----------
    place
        The pixel.
    depth
        In the unit of its layer; NaN where it is blank, None without a layer.
    plane
        The same in planes of the stack, None where that cannot be told.
    confidence
        0 to 1, None without a layer.
    curve
        (Z,) focus measure of each plane.
    """

    place: Place
    depth: float | None
    plane: float | None
    confidence: float | None
    curve: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The plane to look at: the nearest to the depth, else where the focus measure peaks."""
        if self.plane is not None and np.isfinite(self.plane):
            return int(np.clip(round(self.plane), 0, len(self.curve) - 1))
        return int(np.argmax(self.curve))


def focus_curve(pixels: NDArray[Any], y: int, x: int, window: int = _WINDOW) -> NDArray[np.float64]:
    """Return how sharp each plane is at one pixel: the score that the method select goes by.

    The sum over `window` x `window` pixels of abs(2c - l - r) + abs(2c - u - d), the sum-modified
    Laplacian (Nayar & Nakagawa, IEEE PAMI 16, 1994); what is not finite counts as 0.

    Parameters
    ----------
    pixels
        (Z, h, w) or (Z, h, w, 3): all planes, cut to the window and a pixel more on each side,
        but where the image ends. There its last pixels go on.
    y, x
        The pixel, in what was cut.
    window
        Odd side in pixels.

    Returns
    -------
    NDArray
        (Z,) float64.
    """
    signal = pixels[..., :3] @ _LUMA if pixels.ndim == 4 else pixels.astype(np.float64)
    signal = np.where(np.isfinite(signal), signal, np.nan)
    wide = np.pad(signal, ((0, 0), (1, 1), (1, 1)), mode="edge")
    twice = 2 * signal
    across = np.abs(twice - wide[:, 1:-1, :-2] - wide[:, 1:-1, 2:])
    down = np.abs(twice - wide[:, :-2, 1:-1] - wide[:, 2:, 1:-1])
    reach = window // 2
    near = (slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1))
    return np.asarray(np.nansum((across + down)[:, *near], axis=(1, 2)))


def locate(stack: Any, point: Iterable[float]) -> tuple[int, ...] | None:
    """Return the indices of a stack layer at a point of the world, None outside its image."""
    at = [round(float(i)) for i in stack.world_to_data(tuple(point))][-stack.ndim :]
    height, width = extent(stack)
    if not (0 <= at[-2] < height and 0 <= at[-1] < width):
        return None
    data = stack.data[0] if stack.multiscale else stack.data
    lengths = data.shape[: stack.ndim]
    return tuple(min(max(i, 0), n - 1) for i, n in zip(at, lengths, strict=True))


class Picker:
    """Reads pixels of stacks and of what lies over them. For one thread at a time.

    Blocks of 64 x 64 pixels of the stack are kept, eight of them: files decode a chunk for one
    pixel as for many.
    """

    def __init__(self) -> None:
        self._tiles: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def forget(self) -> None:
        """Drop what is kept: layers changed."""
        self._tiles.clear()

    def pick(self, place: Place) -> Picked:
        """Read what is known of a pixel."""
        y, x = place.index[-2:]
        depth = _value(place.depth, place)
        return Picked(
            place=place,
            depth=depth,
            plane=_plane(depth, place),
            confidence=_value(place.confidence, place),
            curve=focus_curve(*self._window(place, y, x)),
        )

    def _window(self, place: Place, y: int, x: int) -> tuple[NDArray[Any], int, int]:
        """Return the planes round a pixel, and where in them it lies."""
        reach = _WINDOW // 2 + 1
        height, width = extent(place.stack)
        top, left = y // _TILE * _TILE, x // _TILE * _TILE
        rows = slice(max(top - reach, 0), min(top + _TILE + reach, height))
        columns = slice(max(left - reach, 0), min(left + _TILE + reach, width))
        data = place.stack.data[0] if place.stack.multiscale else place.stack.data
        axis = z_axis(place.stack)
        leading = tuple(slice(None) if i == axis else n for i, n in enumerate(place.index[:-2]))
        key = (id(data), leading[:axis], leading[axis + 1 :], top, left)
        tile = self._tiles.pop(key, None)
        if tile is None:
            tile = np.asarray(data[(*leading, rows, columns)])
        self._tiles[key] = tile
        while len(self._tiles) > _TILES:
            self._tiles.popitem(last=False)
        y, x = y - rows.start, x - columns.start
        top, left = max(y - reach, 0), max(x - reach, 0)
        return tile[:, top : y + reach + 1, left : x + reach + 1], y - top, x - left


def _value(layer: Any | None, place: Place) -> float | None:
    """Return what a map says of a pixel: its axes are y, x, and before them those of the stack."""
    if layer is None or extent(layer) != extent(place.stack):
        return None
    data = layer.data[0] if layer.multiscale else layer.data
    axis = z_axis(place.stack)
    others = (*place.index[:axis], *place.index[axis + 1 : -2])
    whole = place.index[:-2]
    leading = whole if data.ndim - 2 == len(whole) else others if data.ndim > 2 else ()
    lengths = data.shape[:-2]
    if len(leading) != len(lengths):
        return None
    at = (min(i, n - 1) for i, n in zip(leading, lengths, strict=True))
    return float(np.asarray(data[(*at, *place.index[-2:])]))


def _plane(depth: float | None, place: Place) -> float | None:
    if depth is None:
        return None
    step, unit = z_step(place.stack), depth_unit(place.depth, place.stack)
    if unit is None:  # of a layer that says nothing: planes
        return depth
    return depth * unit / step if step else None


class Latest:
    """Works off requests in a thread of its own; of those that wait only the latest is kept.

    Parameters
    ----------
    work
        Makes a result of a request, in the thread.
    done, failed
        Called in the thread with the result, or with what `work` raised.
    """

    def __init__(
        self,
        work: Callable[[Any], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._work, self._done, self._failed = work, done, failed
        self._lock = threading.Lock()
        self._waiting: list[Any] = []
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, request: Any) -> None:
        """Hand in a request; returns at once."""
        with self._lock:
            if self._closed:
                return
            self._waiting = [request]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="zfuse-picker", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Drop what waits; nothing is done or told any more."""
        with self._lock:
            self._closed = True
            self._waiting = []

    def _run(self) -> None:
        """Work until nothing waits: a thread that sleeps would keep its widget alive."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                request = self._waiting.pop()
            tell: Callable[[Any], None] = self._done
            try:
                said = self._work(request)
            except Exception as error:
                tell, said = self._failed, error
            with self._lock:
                if self._closed:
                    return
            tell(said)
