"""Simulation: focal stacks whose truth is known, for tests, benchmarks and training.

Duty: the public face of specimens, optics and camera. Must not know: methods, tiles, the command
line.
"""

from zfuse.pipeline.simulation._settings import SimulationSettings, make_settings
from zfuse.pipeline.simulation._simulate import Simulated, simulate
from zfuse.pipeline.simulation._write import check_place, write_simulated

__all__ = [
    "Simulated",
    "SimulationSettings",
    "check_place",
    "make_settings",
    "simulate",
    "write_simulated",
]
