"""The widget *3-D relief*: choose depth and picture, see the surface, turn and exaggerate it.

Must not know: how a surface is made (see `_relief`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FloatSlider, FloatSpinBox, PushButton
from napari.utils.notifications import show_error, show_info
from superqt.utils import create_worker  # napari 0.9.2's own fails where its work fails

from zfuse.plugins._picker_layers import alike, depth_unit, extent, maps, pixel_size, stack_for
from zfuse.plugins._relief import TEXTURE_EDGE, Mesh, make_mesh, picture, slice_at

if TYPE_CHECKING:
    import numpy as np
    from napari.viewer import Viewer
    from numpy.typing import NDArray

__all__ = ["ReliefWidget"]

_MOST = 10.0  # times the true height
_TIMES = "height × {:.1f}"
_ROOM = 0.8  # of the zoom that fits it from above fits its corners, too
_SHARE = 0.25  # of the width is the height where sizes are unknown
_VIEW, _UP = (-0.62, -0.72, -0.3), (1.0, 0.0, 0.0)  # z, y, x: from above the lower edge


class ReliefWidget(Container):
    """Depth as a surface with the fused image laid over it.

    Parameters
    ----------
    napari_viewer
        Where it is shown.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._surface: Any = None
        self._middle = 0.0
        self.depth = ComboBox(
            label="depth", choices=self._depths, tooltip="The map that becomes the surface."
        )
        self.picture = ComboBox(
            label="picture", choices=self._pictures, tooltip="What is laid over the surface."
        )
        self.unit = FloatSpinBox(
            label="µm a unit of depth", value=0, min=0, max=10_000, step=0.001,
            tooltip="1 for depth in µm, the z step for depth in planes; 0: not known, "
            "then the relief is made a quarter as high as it is wide.",
        )  # fmt: skip
        self.times = FloatSlider(
            label=_TIMES.format(1.0), value=1, min=0.5, max=_MOST, step=0.1, readout=False,
            tooltip="1 is true to scale.",
        )  # fmt: skip
        self.show_relief = PushButton(text="Show relief")
        self.extend([self.depth, self.picture, self.unit, self.times, self.show_relief])
        self.depth.changed.connect(self._on_depth)
        self.times.changed.connect(self._on_height)
        self.show_relief.changed.connect(self._on_show)
        for event in (
            napari_viewer.layers.events.inserted,
            napari_viewer.layers.events.removed,
        ):
            event.connect(self._on_layers)
        self._on_depth()

    def _depths(self, _: Any = None) -> list[Any]:
        return maps(self._viewer.layers, "depth")

    def _pictures(self, _: Any = None) -> list[tuple[str, tuple[Any, ...]]]:
        depth = self.depth.value
        if depth is None:
            return []
        fitting = alike(self._viewer.layers, depth)
        named = [(one.name, (one,)) for one in (*fitting, depth)]
        return [("all channels", tuple(fitting)), *named] if len(fitting) > 1 else named

    def _on_layers(self, event: Any = None) -> None:
        self.depth.reset_choices()
        self.picture.reset_choices()

    def _on_depth(self, _: Any = None) -> None:
        self.picture.reset_choices()
        depth = self.depth.value
        if depth is not None:
            self.unit.value = depth_unit(depth, stack_for(self._viewer.layers, depth)) or 0

    def _on_show(self, _: Any = None) -> None:
        depth, shown = self.depth.value, self.picture.value
        if depth is None:
            show_error("no depth layer is open: fuse a stack, or open a fused OME-Zarr")
            return
        self.show_relief.enabled = False
        create_worker(
            _made, depth, shown or (depth,), self._viewer.dims.point,
            _connect={
                "returned": lambda made: self._on_made(depth, *made),
                "errored": lambda error: show_error(str(error)),
                "finished": self._on_finished,
            },
        )  # fmt: skip

    def _on_finished(self) -> None:
        self.show_relief.enabled = True

    def _on_made(self, depth: Any, mesh: Mesh, texture: NDArray[np.uint8]) -> None:
        """Add the surface; in the GUI's thread."""
        heights = mesh.vertices[:, 0]
        low, high = float(heights.min()), float(heights.max())
        pixel, known = pixel_size(depth), self.unit.value
        factor = known if pixel and known else _SHARE * extent(depth)[1] / ((high - low) or 1.0)
        if not (pixel and known):
            show_info("pixel size or z step unknown: the relief is not true to scale")
            factor *= float(depth.scale[-1])
        mesh.vertices[:, 0] *= factor
        self._middle = (low + high) / 2 * factor
        for layer in self._viewer.layers:
            layer.visible = False  # flat pictures would cut through the surface
        self._surface = self._viewer.add_surface(
            (mesh.vertices, mesh.faces),
            texture=texture,
            texcoords=mesh.texcoords,
            shading="smooth",
            name=f"{depth.name.partition(' depth')[0]} relief",
            units=(depth.units[-1],) * 3,
            metadata={"zfuse": {"quantity": "relief"}},
        )
        self._scale = tuple(depth.scale[-2:]), tuple(depth.translate[-2:])
        self._on_height()
        self._viewer.dims.ndisplay = 3
        self._viewer.reset_view()
        camera = getattr(self._viewer, "scene", self._viewer).camera  # napari 0.9, before
        camera.set_view_direction(_VIEW, _UP)
        camera.zoom *= _ROOM

    def _on_height(self, _: Any = None) -> None:
        """Scale the surface about its middle height."""
        self.times.label = _TIMES.format(self.times.value)
        if self._surface is None or self._surface not in self._viewer.layers:
            return
        times = float(self.times.value)
        scale, translate = self._scale
        self._surface.scale = (times, *scale)
        self._surface.translate = (self._middle * (1 - times), *translate)


def _made(
    depth: Any, shown: tuple[Any, ...], point: tuple[float, ...]
) -> tuple[Mesh, NDArray[np.uint8]]:
    return make_mesh(slice_at(depth, point, TEXTURE_EDGE)), picture(shown, point)
