"""Live pictures: fused stacks as they come, kept as films that grow.

Duty: take results from the thread that fuses, keep them within a budget, say how a viewer should
show them. Must not know: Qt, viewers, where planes come from.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live import Series, StackKey

__all__ = ["Film", "LiveImages", "Rate", "Shown"]

MEMORY = 2_000_000_000  # bytes of results that are kept; older ones are in the output
_COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")
_SAMPLE = 512  # px an edge: what display limits are estimated from


class Shown(NamedTuple):
    """One layer of a position: what it is, of which channel (None: of all)."""

    quantity: str
    channel: int | None


class Film:
    """Images of one kind at one position, (T, 1, Y, X) or (T, 1, Y, X, 3), growing along T.

    An array for a viewer: it has `shape`, `dtype`, `ndim`, and can be sliced. Where no image is
    there (yet, or any more) it is blank.

    Parameters
    ----------
    first
        An image of the kind, (Y, X) or (Y, X, 3).
    """

    def __init__(self, first: NDArray[Any]) -> None:
        self.dtype = first.dtype
        self._frame = (1, *first.shape)
        self._blank = np.nan if first.dtype.kind == "f" else 0
        self.frames: dict[int, NDArray[Any]] = {}
        self.length = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of all axes."""
        return (self.length, *self._frame)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._frame) + 1

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, slice):
            images = [self._image(t) for t in range(*first.indices(self.length))]
            empty = np.empty((0, *self._frame), self.dtype)
            return np.asarray((np.stack(images) if images else empty)[(slice(None), *rest)])
        return np.asarray(self._image(int(first))[tuple(rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a film is joined when it becomes an array")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def _image(self, t: int) -> NDArray[Any]:
        image = self.frames.get(t)
        if image is None:
            return np.broadcast_to(np.asarray(self._blank, self.dtype), self._frame)
        return image[np.newaxis]


class LiveImages:
    """Results of one acquisition. Taken from any thread.

    Parameters
    ----------
    series
        What is acquired.
    memory
        Bytes that results may have; the earliest time points are let go of.

    Attributes
    ----------
    films
        By position, then by what is shown, in the order from bottom to top.
    blanked
        Whether a time point was let go of: it is blank from then on.
    """

    def __init__(self, series: Series, memory: int = MEMORY) -> None:
        self.series = series
        self.blanked = False
        self.films: dict[int, dict[Shown, Film]] = {}
        self._memory, self._used = memory, 0
        self._lock = threading.Lock()
        self._latest: StackKey | None = None
        self._order: deque[tuple[Film, int, int]] = deque()
        self.stacks = 0
        self._planes = 1  # as many as the depth so far needs, where nobody says how many come

    def put(self, key: StackKey, c: int | None, fused: Fused) -> None:
        """Take a result, as `Session` gives it: depth in planes."""
        step = self.series.z_step or 1.0
        parts: list[tuple[Shown, NDArray[Any]]] = [
            (Shown("confidence", c), fused.confidence),
            (Shown("depth", c), fused.depth * np.float32(step)),
        ]
        if self.series.rgb:
            parts.append((Shown("image", None), np.moveaxis(fused.image, 0, -1)))
        elif fused.image.ndim == 3:
            parts += [(Shown("image", i), image) for i, image in enumerate(fused.image)]
        else:
            parts.append((Shown("image", c), fused.image))
        with self._lock:
            films = self.films.setdefault(key.p, {})
            for shown, image in parts:
                if image.ndim == 3 and shown.quantity != "image":  # a map a channel, all at once
                    for i, one in enumerate(image):
                        self._keep(films, Shown(shown.quantity, i), key.t, one)
                else:
                    self._keep(films, shown, key.t, image)
            while self._used > self._memory and len(self._order) > len(parts):
                film, t, size = self._order.popleft()
                film.frames.pop(t, None)
                self._used -= size
                self.blanked = True
            if not self.series.planes:
                highest = np.nanmax(fused.depth, initial=0)
                self._planes = max(self._planes, int(np.ceil(highest)) + 1)
            self._latest = key
            self.stacks += 1

    def take_news(self) -> StackKey | None:
        """Return the latest stack of which something came since the last call, or None."""
        with self._lock:
            latest, self._latest = self._latest, None
        return latest

    def is_whole(self, key: StackKey) -> bool:
        """Whether all channels of a stack are there that will come."""
        series = self.series
        wanted = {c for c in range(len(series.channels)) if series.planes.get((key, c), 1)}
        films = dict(self.of(key.p))
        there = {s.channel for s, film in films.items() if key.t in film.frames and s[0] == "image"}
        return series.rgb or wanted <= there

    def of(self, p: int) -> list[tuple[Shown, Film]]:
        """Return what there is of a position, from bottom to top."""
        order = ("confidence", "depth", "image")
        with self._lock:
            films = list(self.films.get(p, {}).items())
        return sorted(films, key=lambda item: (order.index(item[0].quantity), item[0].channel or 0))

    def _keep(self, films: dict[Shown, Film], shown: Shown, t: int, image: NDArray[Any]) -> None:
        film = films.get(shown)
        if film is None:
            film = films[shown] = Film(image)
        if (1, *image.shape) != film.shape[1:]:  # the last stack of the acquisition before
            return
        film.frames[t] = image
        film.length = max(film.length, t + 1)
        self._order.append((film, t, image.nbytes))
        self._used += image.nbytes

    def look(self, p: int, shown: Shown, film: Film) -> dict[str, Any]:
        """Return how a layer of napari shows a film: name, place, colour, limits, metadata."""
        series = self.series
        planes = max(series.planes.values(), default=0) or self._planes
        step, (y, x) = series.z_step or 1.0, series.pixel_size or (1.0, 1.0)
        unit = "um" if series.pixel_size else "pixel"
        several, c = len(series.channels) > 1, shown.channel
        named = several and c is not None and c < len(series.channels)
        of = f" {series.channels[c].name}" if named and c is not None else ""
        depth_unit = "micrometer" if series.z_step else "plane"
        look: dict[str, Any] = {
            "scale": (series.time_step or 1.0, planes * step, y, x),
            "translate": (0.0, (planes - 1) / 2 * step, 0.0, 0.0),
            "units": ("s" if series.time_step else "pixel", unit, unit, unit),
            "axis_labels": ("t", "z", "y", "x"),
            "metadata": {"zfuse": {"source": series.source, "quantity": shown.quantity}},
        }
        if shown.quantity == "confidence":
            return look | {
                "name": f"{series.name} confidence{of}", "colormap": "gray",
                "contrast_limits": (0.0, 1.0), "visible": False,
            }  # fmt: skip
        if shown.quantity == "depth":
            look["metadata"]["zfuse"]["unit"] = depth_unit
            last = max(planes - 1, 1) * step
            return look | {
                "name": f"{series.name} depth{of} ({'µm' if series.z_step else 'planes'})",
                "colormap": "viridis", "contrast_limits": (0.0, last), "visible": False,
            }  # fmt: skip
        look["name"] = f"{series.name} fused{of}"
        if series.rgb:
            return look | {"rgb": True}
        look |= {"contrast_limits": _limits(film), "colormap": "gray"}
        look["blending"] = "additive" if several else "translucent_no_depth"
        if named and c is not None:
            colour = str(series.channels[c].omero.get("color", "")).lstrip("#")
            usual = _COLOURS[c % len(_COLOURS)]
            look["colormap"] = f"#{colour}" if len(colour) == 6 else usual
        return look


def _limits(film: Film) -> tuple[float, float]:
    """Return display limits that hold all but 0.1 % of the latest image's pixels."""
    image = film.frames[max(film.frames)]
    step = max(1, max(image.shape[:2]) // _SAMPLE)
    values = image[::step, ::step]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.9)))
    return (low, high) if high > low else (low, low + 1.0)


class Rate:
    """How fast frames are taken up, over the last seconds."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, now: float, frames: int) -> float:
        """Return frames a second, given the time and how many frames there were so far."""
        if self._seen and frames < self._seen[-1][1]:  # another acquisition
            self._seen.clear()
        self._seen.append((now, frames))
        while len(self._seen) > 2 and self._seen[1][0] < now - self._seconds:
            self._seen.popleft()
        begun, before = self._seen[0]
        return (frames - before) / (now - begun) if now > begun else 0.0
