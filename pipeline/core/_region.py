"""Where one fold works: the pixels it answers for, and the pixels it is shown.

Must not know: how regions are chosen, what a fold does.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Region", "within"]


@dataclass(frozen=True)
class Region:
    """A core, and what is shown of the planes round it, both in pixels of the whole image.

    Attributes
    ----------
    image
        (Y, X) of the whole image.
    core
        (y, x) slices: the pixels that `finish` returns.
    shown
        (y, x) slices: the pixels that `add` is shown, the core and at least the method's halo round
        it, clipped at the image's edge. Several cores may be shown the same.
    """

    image: tuple[int, int]
    core: tuple[slice, slice]
    shown: tuple[slice, slice]

    @classmethod
    def whole(cls, height: int, width: int) -> Region:
        """Return the region that is the whole image."""
        full = (slice(0, height), slice(0, width))
        return cls((height, width), full, full)

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of the core."""
        y, x = self.core
        return y.stop - y.start, x.stop - x.start

    @property
    def offset(self) -> tuple[int, int]:
        """Where the core begins in what is shown."""
        y, x = within(self.core, self.shown)
        return y.start, x.start

    @staticmethod
    def grown(core: tuple[slice, slice], halo: int, image: tuple[int, int]) -> tuple[slice, slice]:
        """Return a core grown by `halo` on all sides and clipped at the image's edge."""
        y, x = (
            slice(max(0, c.start - halo), min(n, c.stop + halo))
            for c, n in zip(core, image, strict=True)
        )
        return y, x

    def padded(self, halo: int) -> tuple[slice, slice]:
        """Return the core grown by `halo`, clipped at the image's edge, in what is shown."""
        return within(self.grown(self.core, halo, self.image), self.shown)


def within(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return where a part of the image lies in a larger part."""
    y, x = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return y, x
