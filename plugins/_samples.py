"""Sample data of the plugin: small simulated stacks, with the calibration that a microscope gives.

Duty: two entries of napari's *File → Open Sample*, each rendered in a second or two. Must not know:
viewers, Qt, how stacks are fused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["demo_stack", "two_channel_stack"]

_EDGE, _PLANES = 400, 24  # of `zfuse demo`, at 400 instead of 512 px: 1 s of one core
_CELL_EDGE, _CELL_PLANES = 256, 16  # 0.6 s a channel
_CHANNELS = (("beads", {"filaments": 0.0}, "green"), ("filaments", {"beads": 0.0}, "magenta"))

LayerData = tuple[Any, dict[str, Any], str]


def demo_stack() -> list[LayerData]:
    """Return diatoms at several depths: the stack of `zfuse demo`, a little smaller.

    Returns
    -------
    list of layer data
        One image layer, (Z, Y, X) uint16, scale in µm.
    """
    from zfuse.pipeline.simulation import render_phantom

    phantom = render_phantom(_PLANES, _EDGE, relief="diatoms")
    size = (phantom.z_step, phantom.pixel_size, phantom.pixel_size)
    return [_layer(phantom.planes, "diatoms", size)]


def two_channel_stack() -> list[LayerData]:
    """Return beads and filaments, in focus at depths of their own.

    Returns
    -------
    list of layer data
        One image layer a channel, (Z, Y, X) uint16, scale in µm.
    """
    from zfuse.pipeline.simulation import make_settings, simulate

    found = []
    for name, specimen, colour in _CHANNELS:
        settings = make_settings(
            "fluorescence", size=_CELL_EDGE, planes=_CELL_PLANES, seed=1, **specimen
        )
        optics = settings.optics
        size = (optics.z_step, optics.pixel_size, optics.pixel_size)
        look = {"colormap": colour, "blending": "additive"}
        found.append(_layer(simulate(settings).planes, name, size, **look))
    return found


def _layer(
    planes: NDArray[Any], name: str, size: tuple[float, float, float], **look: Any
) -> LayerData:
    meta = {
        "name": name,
        "scale": size,
        "units": ("um", "um", "um"),
        "axis_labels": ("z", "y", "x"),
        **look,
    }
    return planes, meta, "image"
