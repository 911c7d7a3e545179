"""Pure array kernels for the CPU (numba). They know nothing of files, tiles or methods."""

from zfuse.kernels._focus_cpu import MEASURES, NOT_FINITE, accumulator, finish_focus, fold_focus
from zfuse.kernels._pyramid_cpu import add_expanded, keep_strongest, reduce_plane, subtract_expanded
from zfuse.kernels._signal_cpu import mix_signal

__all__ = [
    "MEASURES",
    "NOT_FINITE",
    "accumulator",
    "add_expanded",
    "finish_focus",
    "fold_focus",
    "keep_strongest",
    "mix_signal",
    "reduce_plane",
    "subtract_expanded",
]
