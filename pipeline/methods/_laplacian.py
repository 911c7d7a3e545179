"""Laplacian pyramid: in every band the strongest detail wins, the coarsest level is averaged.

Burt & Kolczynski (Enhanced image capture through fusion, ICCV 1993): band-pass levels of Burt & Adelson's
pyramid (1983), the plane with most energy in 3 x 3 coefficients wins each coefficient. The low-pass
residual holds nothing that focus changes, so it is the mean of the planes, which is its quietest estimate.
All channels follow the decision signal's winner. Depth and confidence come from the SML peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from zfuse.kernels import add_expanded, keep_strongest, reduce_plane, subtract_expanded
from zfuse.pipeline._fused import Fused
from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods._peak import PEAK_BYTES, FocusPeak
from zfuse.pipeline.methods._signal import Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline._region import Region
    from zfuse.pipeline._sample import Sample

    Plane = NDArray[np.float32]

__all__ = ["Laplacian"]

_DEPTH_WINDOW = 9


class Laplacian(Method):
    """Merge planes band by band in a Laplacian pyramid."""

    family: ClassVar[str] = "transform"
    copies_pixels: ClassVar[bool] = False

    name: Literal["laplacian"] = "laplacian"
    levels: int = Field(5, ge=1, le=8, description="band-pass levels; each doubles the scale")

    @property
    def align(self) -> int:
        """A pixel of the coarsest level."""
        return int(2**self.levels)

    @property
    def halo(self) -> int:
        """Reach of the coarsest band, and of the depth's window where that is wider.

        With s = 2^levels: a coarsest coefficient sees 2(s - 1) pixels, subtracting its expansion
        adds s, choosing among 3 x 3 neighbours s/2, rebuilding the image s: 4.5 s. A multiple of s
        keeps windows aligned.
        """
        return max(5 * self.align, -(-(_DEPTH_WINDOW // 2 + 1) // self.align) * self.align)

    def state_bytes(self, channels: int, itemsize: int) -> float:
        """Kept bands and energies (4/3 of a plane), scratch of one plane, peak, result."""
        return 4 / 3 * 4 * (2 * channels + 3) + PEAK_BYTES + channels * (4 + itemsize)

    def calibrate(self, sample: Sample) -> Signal:
        """Choose the decision signal."""
        return Signal.calibrate(sample)

    def start(
        self, region: Region, channels: int, dtype: np.dtype[Any], calibration: Signal
    ) -> _State:
        """Allocate bands and peak."""
        return _State(self, region, channels, dtype, calibration)

    def add(self, state: _State, planes: NDArray[Any], z: int) -> None:
        """Fold a block of planes."""
        state.peak.add(planes, z)
        window = planes[:, :, state.window[0], state.window[1]]
        for plane in window:
            state.add_plane(plane)

    def finish(self, state: _State) -> Fused:
        """Rebuild the image from the kept bands."""
        depth, confidence = state.peak.finish()
        return Fused(state.rebuild(), depth, confidence)


class _State:
    """Kept coefficients of one region, halo included."""

    def __init__(
        self,
        method: Laplacian,
        region: Region,
        channels: int,
        dtype: np.dtype[Any],
        signal: Signal,
    ) -> None:
        self.peak = FocusPeak(region, signal, "sml", _DEPTH_WINDOW, 0, dtype)
        self.window = region.padded(method.halo)
        self._core = region
        self._dtype = dtype
        self._weights = np.array(signal.weights, np.float32)
        shape = tuple(s.stop - s.start for s in self.window)
        self._shapes = [shape]
        for _ in range(method.levels):
            shape = tuple((n + 1) // 2 for n in shape)
            self._shapes.append(shape)
        self._kept = [np.zeros((channels, *s), np.float32) for s in self._shapes]
        self._best = [np.full(s, -1, np.float32) for s in self._shapes[:-1]]
        self._finite_planes = np.zeros(self._shapes[0], np.uint16)
        self._base_weight = np.zeros(self._shapes[-1], np.float32)

    def add_plane(self, pixels: NDArray[Any]) -> None:
        """Fold one plane (C, Y, X)."""
        planes = pixels.astype(np.float32)
        unknown: Plane | None = None
        if pixels.dtype.kind == "f":
            finite = np.isfinite(planes).all(0)
            self._finite_planes += finite
            if not finite.all():
                planes[:, ~finite] = 0
                unknown = (~finite).astype(np.float32)
        for level, best in enumerate(self._best):
            coarse = np.empty((len(planes), *self._shapes[level + 1]), np.float32)
            for c, plane in enumerate(planes):
                reduce_plane(plane, coarse[c])
                subtract_expanded(plane, coarse[c], plane)
            keep_strongest(self._decision(planes, unknown), planes, best, self._kept[level])
            planes = coarse
            if unknown is not None:
                spread = np.empty(self._shapes[level + 1], np.float32)
                reduce_plane(unknown, spread)
                unknown = spread
        known = np.ones(planes.shape[1:], bool) if unknown is None else unknown == 0
        self._kept[-1] += np.where(known, planes, 0)
        self._base_weight += known

    def _decision(self, bands: NDArray[np.float32], unknown: Plane | None) -> Plane:
        """Band of the decision signal: the same weighted sum, since the pyramid is linear."""
        if len(bands) == 1:
            decision = bands[0]
        else:
            decision = np.zeros(bands.shape[1:], np.float32)
            for weight, band in zip(self._weights, bands, strict=True):
                decision += weight * band
        if unknown is not None:
            # A hole's rim would be the strongest detail of all: NaN energy never wins.
            decision = np.where(unknown > 0, np.float32(np.nan), decision)
        return decision

    def rebuild(self) -> NDArray[Any]:
        """Return the image (C, h, w) of the core in the input's dtype."""
        base = self._kept[-1] / np.maximum(self._base_weight, 1)
        top, left = (c.start - w for c, w in zip(self._core.core, self._origin(), strict=True))
        height, width = self._core.shape
        image = np.empty((len(base), height, width), self._dtype)
        for c, coarse in enumerate(base):
            plane = coarse
            for band in reversed([kept[c] for kept in self._kept[:-1]]):
                add_expanded(band, plane, band)
                plane = band
            image[c] = self._to_dtype(plane[top : top + height, left : left + width])
        if self._dtype.kind == "f":
            nowhere = self._finite_planes[top : top + height, left : left + width] == 0
            image[:, nowhere] = np.nan
        return image

    def _origin(self) -> tuple[int, int]:
        return tuple(s.start + w.start for s, w in zip(self.window, self._core.window, strict=True))  # type: ignore[return-value]

    def _to_dtype(self, plane: Plane) -> NDArray[Any]:
        if self._dtype.kind == "f":
            return plane.astype(self._dtype)
        limits = np.iinfo(self._dtype)
        return np.clip(np.rint(plane), limits.min, limits.max).astype(self._dtype)
