"""`zfuse demo --live`: a simulated microscope acquires, zfuse fuses meanwhile, a picture grows.

Duty: the three outputs in the demo's folder, a line a stack, the scores. Must not know: how fusion
and acquisition work.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.files import replacing
from zfuse.pipeline.cli._console import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zfuse.pipeline.core import Fused
    from zfuse.pipeline.live import Report, SimulatedMicroscope, StackKey

__all__ = ["LiveDemoResult", "run_live_demo"]

_PLANES, _FUSED, _PICTURE = "live-planes.ome.zarr", "live-fused.ome.zarr", "live.png"
_SHOWN = 256  # px of a panel
_TRUSTED = 0.5  # depth that is more likely wrong than right is drawn as unknown
_MARK = ".zfuse-demo-live"  # tells our own outputs from somebody else's of the same names


@dataclass(frozen=True)
class LiveDemoResult:
    """Where the demo wrote, and how well fusing kept up.

    Attributes
    ----------
    planes, fused, picture
        Paths of what the microscope wrote, of the fused OME-Zarr and of the picture.
    frames, lost
        Frames that were acquired, and how many of them no stack got.
    latencies
        Milliseconds from the last plane of each stack and channel to its result.
    depth_mae
        Mean error of all depths in planes.
    z_step
        µm a plane.
    seconds
        From the first frame to the last result on disk.
    """

    planes: Path
    fused: Path
    picture: Path
    frames: int
    lost: int
    latencies: tuple[float, ...]
    depth_mae: float
    z_step: float
    seconds: float

    def __str__(self) -> str:
        um = self.depth_mae * self.z_step
        median, most = np.median(self.latencies), max(self.latencies)
        return "\n".join(
            (
                f"{len(self.latencies)} stacks acquired, fused and written in {self.seconds:.1f} s",
                f"after a stack's last plane   {median:.0f} ms (median), at most {most:.0f} ms",
                f"depth                        MAE {self.depth_mae:.2f} planes = {um:.2f} µm "
                "against the truth",
                f"planes lost                  {self.lost} of {self.frames}",
                f"wrote {self.planes}, {self.fused} and {self.picture}",
            )
        )


def run_live_demo(
    directory: Path,
    *,
    method: str = "select",
    positions: int = 3,
    times: int = 2,
    planes: int = 12,
    size: int = 512,
    seed: int = 0,
) -> LiveDemoResult:
    """Acquire, fuse meanwhile, draw and score.

    Parameters
    ----------
    directory
        Folder for the three outputs; made when missing. What an earlier demo left there is
        replaced, nothing else is touched.
    method
        Name of the fusion method.
    positions, times, planes, size, seed
        Of the `SimulatedMicroscope`.

    Returns
    -------
    LiveDemoResult
        Paths and scores.

    Raises
    ------
    ZfuseError
        pymmcore-plus is missing, the folder holds something with the name of an output that no
        demo wrote or cannot be written, or the acquisition was not fused.
    """
    from zfuse.pipeline.core import alone
    from zfuse.pipeline.live import SimulatedMicroscope

    microscope = SimulatedMicroscope(
        positions=positions, times=times, planes=planes, size=size, seed=seed
    )
    outputs = directory / _PLANES, directory / _FUSED, directory / _PICTURE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory / ".zfuse-demo"):
            found = [path for path in outputs if path.exists()]
            if found and not (directory / _MARK).exists():
                raise ZfuseError(
                    f"{found[0]} exists and was not written by a demo: nothing was changed. "
                    "Give the demo another folder."
                )
            (directory / _MARK).touch()
            return _Demo(microscope, *outputs).run(method)
    except OSError as error:
        raise ZfuseError(
            f"the demo cannot write to {directory}: {error}. Give it a folder that you may write "
            "to, with 200 MB of free space."
        ) from error


@dataclass
class _Demo:
    """The demo while it runs."""

    microscope: SimulatedMicroscope
    planes: Path
    fused: Path
    picture: Path
    frames: int = 0
    last: dict[tuple[StackKey, int], float] = field(default_factory=dict)
    results: dict[tuple[StackKey, int], Fused] = field(default_factory=dict)
    latencies: dict[tuple[StackKey, int], float] = field(default_factory=dict)
    news: threading.Event = field(default_factory=threading.Event)
    over: bool = False

    def run(self, method: str) -> LiveDemoResult:
        from zfuse.pipeline.live import Plan, attach

        core, sequence = self.microscope.core, self.microscope.sequence
        plan = Plan(sequence)
        self.series = plan.series
        say(
            f"a simulated microscope acquires {len(self.series.positions)} fields of view x "
            f"{self.series.times} time points x {len(self.series.channels)} channels; "
            f"watch {self.picture}"
        )

        def came(image: Any, event: Any, about: Any) -> None:
            place = plan.place(event)
            assert place is not None
            self.frames += 1
            self.last[place.key, place.c] = time.perf_counter()

        core.mda.events.frameReady.connect(came)
        with (
            _quiet(),
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
            attach(core, method, self.fused, overwrite=True, on_fused=self._take) as attachment,
        ):
            pool.submit(_draw, self.picture, self._state()).result()
            drawing = threading.Thread(target=self._keep_drawing, args=(pool,), daemon=True)
            drawing.start()
            started = time.perf_counter()
            core.mda.run(sequence, output=self.planes, overwrite=True)
            reports = attachment.wait()
            seconds = time.perf_counter() - started
            self.over = True
            self.news.set()
            drawing.join()
            pool.submit(_draw, self.picture, self._state()).result()
        if not reports or reports[0].output is None:
            raise ZfuseError(f"the acquisition was not fused: {_problem(reports)}")
        return self._scored(reports[0], seconds)

    def _take(self, key: StackKey, c: int | None, fused: Fused) -> None:
        """Take a result, in the session's thread."""
        assert c is not None
        ms = (time.perf_counter() - self.last[key, c]) * 1e3
        self.results[key, c], self.latencies[key, c] = fused, ms
        say(
            f"{self.series.positions[key.p]}, time {key.t + 1}, {self.series.channels[c].name}: "
            f"fused {ms:.0f} ms after its last plane"
        )
        self.news.set()

    def _keep_drawing(self, pool: ProcessPoolExecutor) -> None:
        """Draw whenever there is something new; what came meanwhile is in the next picture."""
        while not self.over:
            self.news.wait()
            self.news.clear()
            pool.submit(_draw, self.picture, self._state()).result()

    def _state(self) -> dict[str, Any]:
        """Return what the picture shows now."""
        microscope, series = self.microscope, self.series
        step = max(1, microscope.shape[0] // _SHOWN)
        thin = (slice(None, None, step),) * 2
        stacks: dict[tuple[int, int], dict[int, Any]] = {}
        for (key, c), fused in list(self.results.items()):
            depth = fused.depth[thin] * np.float32(microscope.z_step)
            depth[fused.confidence[thin] < _TRUSTED] = np.nan
            stacks.setdefault((key.p, key.t), {})[c] = fused.image[thin], depth
        latencies = list(self.latencies.values())
        said = f" · {np.median(latencies):.0f} ms after the last plane" if latencies else ""
        times = series.times or 1
        done = sum(len(stack) == len(series.channels) for stack in stacks.values())
        return {
            "columns": series.positions,
            "rows": [f"time {t + 1}" for t in range(times)],
            "channels": [channel.name for channel in series.channels],
            "stacks": stacks,
            "shape": np.empty(microscope.shape, bool)[thin].shape,
            "depth_range": (0, microscope.z_range),
            "pixel_size": microscope.pixel_size * step,
            "title": f"{done} of {len(series.positions) * times} stacks fused while they are "
            f"acquired{said}",
        }

    def _scored(self, report: Report, seconds: float) -> LiveDemoResult:
        from zfuse.pipeline.evaluation import depth_mae

        errors = [
            depth_mae(fused.depth, self.microscope.truth(key, c)[1])
            for (key, c), fused in self.results.items()
        ]
        return LiveDemoResult(
            self.planes,
            self.fused,
            self.picture,
            self.frames,
            self.frames - sum(sum(stack.planes) for stack in report.stacks),
            tuple(self.latencies.values()),
            float(np.mean(errors)),
            self.microscope.z_step,
            seconds,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pymmcore-plus from telling of every frame."""
    logger = logging.getLogger("pymmcore-plus")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _problem(reports: tuple[Report, ...]) -> str:
    return reports[0].problem if reports else "see the lines above"


def _draw(path: Path, state: dict[str, Any]) -> None:
    """Draw, in a process of its own: matplotlib would keep Python to itself for a second."""
    from zfuse.pipeline.figures import stacks_sheet

    figure = stacks_sheet(**state)
    with replacing(path) as new:
        figure.savefig(new, dpi="figure", pil_kwargs={"compress_level": 1})
