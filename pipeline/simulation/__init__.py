"""Simulation: focal stacks whose truth is known, for tests, benchmarks and training.

Duty: the public face of specimens, optics and camera. Must not know: methods, tiles, the command
line.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.simulation._camera import Camera as Camera
    from zfuse.pipeline.simulation._layers import (
        PER_PLANE as PER_PLANE,
        layer_count as layer_count,
        render_surface as render_surface,
        render_surface_fast as render_surface_fast,
    )
    from zfuse.pipeline.simulation._phantom import (
        Phantom as Phantom,
        render_phantom as render_phantom,
    )
    from zfuse.pipeline.simulation._relief import (
        ReliefKind as ReliefKind,
        TextureKind as TextureKind,
        make_relief as make_relief,
        make_texture as make_texture,
    )
    from zfuse.pipeline.simulation._settings import (
        SimulationSettings as SimulationSettings,
        make_settings as make_settings,
    )
    from zfuse.pipeline.simulation._simulate import (
        SimulatedStack as SimulatedStack,
        simulate as simulate,
    )
    from zfuse.pipeline.simulation._write import (
        check_place as check_place,
        write_image as write_image,
        write_simulated as write_simulated,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_camera": ["Camera"],
        "_layers": ["PER_PLANE", "layer_count", "render_surface", "render_surface_fast"],
        "_phantom": ["Phantom", "render_phantom"],
        "_relief": ["ReliefKind", "TextureKind", "make_relief", "make_texture"],
        "_settings": ["SimulationSettings", "make_settings"],
        "_simulate": ["SimulatedStack", "simulate"],
        "_write": ["check_place", "write_image", "write_simulated"],
    },
)
