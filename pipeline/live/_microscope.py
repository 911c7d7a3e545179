"""A microscope without hardware: its camera renders what lies in focus at the stage's height.

Duty: Python devices for pymmcore-plus, a specimen whose relief and texture are known, and the
sequence that scans it. Must not know: sessions, fusion.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.simulation import Camera, render_phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.live._frame import StackKey
    from zfuse.pipeline.simulation import Phantom

__all__ = ["SimulatedMicroscope"]

_T = TypeVar("_T", bound=np.generic)
_FINE = (
    2  # rendered planes for one of the stage's: what the specimen rises in one time point is one
)
_MOST_DRIFT = 3  # fine planes
_CHANNELS = ("Reflected", "Fluorescence")


class SimulatedMicroscope:
    """A pymmcore-plus core with a simulated camera, stage, focus drive and filter wheel.

    Two channels show different things at different depths: shells of diatoms, and spheres. From
    one time point to the next the specimen rises by half a plane, as focus drifts on a real rig.

    Parameters
    ----------
    positions, times, planes
        Of the `sequence`.
    size
        Height and width of the camera in pixels, at least 32.
    exposure
        Milliseconds that a frame takes at least.
    seed
        Of specimen and noise.

    Attributes
    ----------
    core
        A `pymmcore_plus.experimental.unicore.UniMMCore`.
    sequence
        A `useq.MDASequence` over all of it: time, position, channel, z.
    shape
        Height and width of the camera in pixels.
    z_step, z_range, pixel_size
        In µm; the range is from the first plane to the last.

    Raises
    ------
    ZfuseError
        pymmcore-plus is not installed.
    """

    def __init__(
        self,
        *,
        positions: int = 3,
        times: int = 2,
        planes: int = 12,
        size: int = 512,
        exposure: float = 10.0,
        seed: int = 0,
    ) -> None:
        try:
            import useq
            from pymmcore_plus.experimental.unicore import UniMMCore
        except ImportError as error:
            raise ZfuseError(
                "the simulated microscope needs pymmcore-plus; install it with: "
                'pip install "zfuse[rig]"'
            ) from error
        from zfuse.pipeline.live._devices import FilterWheel, FocusDrive, RenderingCamera, XYStage

        self.z_step, self.pixel_size = 2.0, 0.5
        self.shape, self.z_range = (size, size), (planes - 1) * self.z_step
        self._drift = min(times - 1, _MOST_DRIFT)
        self._spacing = 1.2 * size * self.pixel_size
        fine = _FINE * (planes - 1) + 1 + self._drift
        with ThreadPoolExecutor(len(_CHANNELS)) as pool:
            made = [pool.submit(_specimen, c, fine, size, seed) for c in range(len(_CHANNELS))]
            self._specimens = tuple(specimen.result() for specimen in made)
        self._camera = Camera(photons=2000, read_noise=2, offset=400)
        self._rng = np.random.default_rng(seed)
        self._time = 0
        self.core = UniMMCore()
        self._z, self._xy, self._wheel = FocusDrive(), XYStage(), FilterWheel(_CHANNELS)
        devices: dict[str, Any] = {
            "Focus": self._z,
            "Stage": self._xy,
            "Filter wheel": self._wheel,
            "Camera": RenderingCamera(self.render, self.shape, exposure),
        }
        for name, device in devices.items():
            self.core.loadPyDevice(name, device)
        self.core.initializeAllDevices()
        self.core.setCameraDevice("Camera")
        self.core.setFocusDevice("Focus")
        self.core.setXYStageDevice("Stage")
        self.core.setAutoShutter(False)
        for name in _CHANNELS:
            self.core.defineConfig("Channel", name, "Filter wheel", "Label", name)
        self.core.setChannelGroup("Channel")
        self.core.definePixelSizeConfig("20x")
        self.core.setPixelSizeUm("20x", self.pixel_size)
        self.core.setPixelSizeConfig("20x")
        self._listener = self._begin_event  # signals hold methods by weak references
        self.core.mda.events.eventStarted.connect(self._listener)
        self.sequence = useq.MDASequence(
            axis_order="tpcz",
            time_plan={"interval": 0, "loops": times} if times > 1 else None,
            stage_positions=[
                useq.Position(x=n * self._spacing, y=0, z=0, name=f"field {n + 1}")
                for n in range(positions)
            ],
            channels=[{"config": name, "exposure": exposure} for name in _CHANNELS],
            z_plan=useq.ZTopBottom(bottom=0, top=self.z_range, step=self.z_step),
        )

    def truth(self, key: StackKey, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what fusing a stack of the sequence should give.

        Parameters
        ----------
        key, c
            The stack and its channel.

        Returns
        -------
        image
            (Y, X) float32 counts: everything in focus, without noise.
        depth
            (Y, X) float32 planes.
        """
        specimen = self._specimens[c]
        raised = min(key.t, self._drift) - self._drift
        depth = (specimen.depth + np.float32(raised)) / np.float32(_FINE)
        return _field(specimen.image, key.p), _field(depth, key.p)

    def render(self) -> NDArray[np.uint16]:
        """Take a frame of what is in front of the objective now."""
        specimen = self._specimens[self._wheel.get_state()]
        height = self._z.get_position_um() / self.z_step * _FINE
        at = round(height) + self._drift - min(self._time, self._drift)
        plane = specimen.planes[min(max(at, 0), len(specimen.planes) - 1)]
        field = round(self._xy.get_position_um()[0] / self._spacing)
        light = (_field(plane, field).astype(np.float32) - self._camera.offset) / np.float32(
            self._camera.full_scale
        )
        return self._camera.expose(light, self._rng)

    def _begin_event(self, event: Any) -> None:
        self._time = int(event.index.get("t", 0))


def _specimen(kind: int, planes: int, size: int, seed: int) -> Phantom:
    """Render without noise: the camera adds it to each frame."""
    blur = 1 / _FINE
    if kind == 0:
        return render_phantom(planes, size, 1e9, seed, relief="diatoms", blur=blur, read_noise=0)
    return render_phantom(
        planes, size, 1e9, seed + 1, relief="spheres", texture="rough", blur=blur, read_noise=0
    )


def _field(image: NDArray[_T], number: int) -> NDArray[_T]:
    """Fields of view are the same specimen, turned and mirrored."""
    turned = np.rot90(image, number % 4)
    return turned if number % 8 < 4 else turned[:, ::-1]
