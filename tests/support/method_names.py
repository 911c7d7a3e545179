"""The methods of `METHODS`, by what a test may ask of them.

Classical methods give the same bits however a stack is cut; networks the same picture within a grey
level, and they take their time: what is asked of them is in test_network_methods.py.
"""

from __future__ import annotations

from zfuse.pipeline.methods import METHODS
from zfuse.pipeline.methods.parts._network import NetworkMethod

__all__ = ["CLASSICAL", "NETWORKS"]

NETWORKS = sorted(name for name in METHODS if issubclass(METHODS[name].load(), NetworkMethod))
CLASSICAL = sorted(METHODS.keys() - set(NETWORKS))
