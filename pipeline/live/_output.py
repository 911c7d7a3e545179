"""Where a session's results go: an OME-Zarr that grows, and a record of what lies in it.

Duty: join the growing images, the folders they grow in and the manifest; refuse to go on with what
another session began with other settings. Must not know: frames, queues, how stacks are fused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline.core import (
    GrowingFolder,
    Manifest,
    NoPixels,
    Stack,
    disk_errors,
    output_kind,
)
from zfuse.pipeline.live._landmark import Landmark
from zfuse.pipeline.live._report import COMPLETE, FAILED, StackReport
from zfuse.pipeline.sinks import KEPT, GrowingImages, check_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live._frame import StackKey
    from zfuse.pipeline.live._series import Series

__all__ = ["LiveOutput"]


class LiveOutput:
    """The output of a session.

    Parameters
    ----------
    path
        Final path.
    overwrite
        An earlier output may be replaced, and one that was begun with other settings, too.

    Raises
    ------
    ZfuseError
        It may not be written, or is no OME-Zarr.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        if output_kind(path) != "ome-zarr":
            raise ZfuseError(
                f"output {path}: a session writes OME-Zarr, which can grow; name it like "
                "fused.ome.zarr, and convert it afterwards"
            )
        self.path = Path(path)
        self._overwrite = overwrite
        self._place = GrowingFolder(self.path, overwrite=overwrite)
        self._place.tidy()
        check_output(path, [], overwrite)

    def begin(
        self, series: Series, settings: Mapping[str, Any], *, each: bool
    ) -> dict[StackKey, StackReport]:
        """Take the place, go on with what is there.

        Parameters
        ----------
        series
            What will come.
        settings
            What the result depends on, as JSON values; also for the provenance.
        each
            Depth and confidence have the channels of the image.

        Returns
        -------
        dict
            What is there already, by key.

        Raises
        ------
        ZfuseError
            Another session has it or began it with other settings, or the disk refuses.
        """
        check_output(self.path, [series.source], self._overwrite)
        identity = {"version": zfuse.__version__, **settings, **_identity(series)}
        with disk_errors(self.path, kept=KEPT):
            self._place.claim()
        try:
            with disk_errors(self.path, kept=KEPT):
                self._manifest = self._continued(identity)
        except BaseException:
            self._place.release()
            raise
        self._series, self._settings = series, settings
        self._images = GrowingImages(
            self._place.folder,
            self._place.aside,
            self.path,
            collection=series.collection,
            each=each,
        )
        reports = (StackReport.of(e) for e in self._manifest.entries if "status" in e)
        self._done = {report.key: report for report in reports}
        return dict(self._done)

    def _continued(self, identity: dict[str, Any]) -> Manifest:
        manifest = Manifest(self._place.manifest, identity)
        differs = manifest.differences(_known_again(identity, manifest.identity))
        if differs and self._place.folder.is_dir() and not self._overwrite:
            manifest.close()
            raise ZfuseError(
                f"{self._place.folder} was begun with {'; '.join(differs)}: go on with what it was "
                "begun with, begin anew with overwrite, or choose another output name"
            )
        if differs or not manifest.entries or not self._place.folder.is_dir():
            manifest.close()
            self._place.clear()
            manifest = Manifest(self._place.manifest, identity)
        return manifest

    def frames(self) -> tuple[tuple[int, ...], str] | None:
        """Return shape and dtype of the frames, where an earlier session met them."""
        for entry in self._manifest.entries:
            if "shape" in entry:
                return tuple(entry["shape"]), str(entry["dtype"])
        return None

    def settle(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Record shape and dtype of the frames: all that come must be like this."""
        with disk_errors(self.path, kept=KEPT):
            self._manifest.add({"shape": list(shape), "dtype": dtype.name})

    def landmark(self) -> Landmark:
        """Return the plane by which the acquisition is known again."""
        known = next((e["landmark"] for e in self._manifest.entries if "landmark" in e), None)
        return Landmark(known, self._note, self._place.folder)

    def _note(self, landmark: dict[str, int]) -> None:
        with disk_errors(self.path, kept=KEPT):
            self._manifest.add({"landmark": landmark})

    def write(self, report: StackReport, fused: Fused) -> None:
        """Write one stack and record it.

        Raises
        ------
        ZfuseError
            The disk refuses, or the folder was removed.
        """
        p, t = report.key
        with disk_errors(self.path, kept=KEPT):
            if not self._place.held():
                raise ZfuseError(f"{self._place.folder} was removed while it grew")
            self._images.write(p, t, self._stack(p, t + 1), self._provenance([report]), fused)
            self._manifest.add(report.record())
        self._done[report.key] = report

    def finish(self, reports: Iterable[StackReport], *, cancelled: bool) -> None:
        """Complete the images and give them their final name.

        Parameters
        ----------
        reports
            All stacks, also those that failed or never came.
        cancelled
            What never began is left out, where that is possible.

        Raises
        ------
        ZfuseError
            Nothing was written, the disk refuses, or the final name is taken. What grew stays.
        """
        if not any(report.status != FAILED for report in self._done.values()):
            raise ZfuseError(f"no stack was fused: {self.path} was not written")
        by_image: dict[int, list[StackReport]] = {}
        for report in filter(self._has_place, reports):
            by_image.setdefault(report.key.p, []).append(report)
        with disk_errors(self.path, kept=KEPT):
            if not self._place.held():
                raise ZfuseError(f"{self._place.folder} was removed while it grew")
            for p, stacks in sorted(by_image.items()):
                written = {key.t for key in self._done if key.p == p}
                if cancelled and not written:
                    continue
                times = 1 + max(report.key.t for report in stacks)
                if not cancelled and self._series.times:
                    times = max(times, self._series.times)
                stack = self._stack(p, times, stacks)
                self._images.complete(p, stack, self._provenance(stacks), written)
            self._manifest.close()  # Windows removes no open file
            self._place.publish()

    def _has_place(self, report: StackReport) -> bool:
        (p, t), series = report.key, self._series
        return (p == 0 or (p > 0 and series.collection)) and (
            t == 0 or (t > 0 and series.times != 1)
        )

    def leave(self) -> None:
        """Let others go on with what is there; nothing is removed. May be called twice."""
        self._manifest.close()
        self._place.release()

    def _stack(self, p: int, times: int, reports: Sequence[StackReport] = ()) -> Stack:
        """Return what is known of one position, without pixels."""
        series = self._series
        known = self.frames()
        assert known is not None
        shape, dtype = known
        channels = 3 if series.rgb else len(series.channels)
        expected = [n for (key, _), n in series.planes.items() if key.p == p]
        planes = max([1, *expected, *(n for r in reports for n in r.planes)])
        name = series.name
        if series.collection:
            named = p < len(series.positions)
            name = series.positions[p] if named else f"{series.name} {p}".strip()
        return Stack(
            NoPixels((times, channels, planes, shape[-2], shape[-1]), np.dtype(dtype)),
            axes=("" if series.times == 1 else "t") + ("c" if channels > 1 else "") + "zyx",
            name=name,
            source=series.source,
            channels=() if series.rgb else tuple(series.channels),
            rgb=series.rgb,
            pixel_size=series.pixel_size,
            z_step=series.z_step,
            time_step=series.time_step,
        )

    def _provenance(self, reports: Sequence[StackReport]) -> dict[str, Any]:
        planes = [n for report in reports for n in report.planes]
        return {
            "version": zfuse.__version__,
            **self._settings,
            "source": self._series.source,
            "planes": max(planes, default=0),
            "z_step_um": self._series.z_step,
            "alignment": {"align": "none"},
            "complete": all(report.status == COMPLETE for report in reports),
            "stacks": [report.record() for report in sorted(reports, key=lambda r: r.key.t)],
        }


def _known_again(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with the positions of an earlier one, if it knew only the first ones."""
    then, names = before.get("positions", []), now["positions"]
    shared = min(len(then), len(names))
    return now | {"positions": then} if then[:shared] == names[:shared] else now


def _identity(series: Series) -> dict[str, Any]:
    return {
        "source": series.source,
        "collection": series.collection,
        "time_axis": series.times != 1,
        "positions": list(series.positions),
        "channels": [channel.name for channel in series.channels],
        "rgb": series.rgb,
        "pixel_size": series.pixel_size and list(series.pixel_size),
        "z_step_um": series.z_step,
    }
