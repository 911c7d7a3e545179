"""Pure array kernels for NVIDIA GPUs (numba-cuda): twins of `zfuse.kernels`, on device arrays.

Never imported unless asked for. Names and signatures are those of the CPU; all arrays lie on the
device (`__cuda_array_interface__`), and kernels run on the stream of `on_stream`.
"""

from zfuse.kernels.cpu import (
    ACTIVITY_GAIN,
    GIVEN,
    INVALID,
    MEASURES,
    NO_FRAME,
    NO_WEIGHT,
    RUN,
    WARP_REACH,
    DepthClues,
    FineLimits,
    FocusWeights,
    RunningOffset,
    RunningPeak,
    ScaleVariance,
    accumulator,
    downsampled_shape,
)
from zfuse.kernels.cuda._band_average import (
    add_focused,
    add_focused_norms,
    extend_range,
    hold_within,
)
from zfuse.kernels.cuda._device import on_stream
from zfuse.kernels.cuda._downsample import downsample
from zfuse.kernels.cuda._fine import place_fine
from zfuse.kernels.cuda._focus import fold_focus
from zfuse.kernels.cuda._guided import guided_filter
from zfuse.kernels.cuda._majority import majority_filter
from zfuse.kernels.cuda._offset import add_offset, settle_offset
from zfuse.kernels.cuda._peak import finish_focus, fit_ends
from zfuse.kernels.cuda._pyramid import (
    add_expanded,
    reduce_plane,
    reduce_planes,
    reduce_signal,
    subtract_expanded,
)
from zfuse.kernels.cuda._signal import mix_signal
from zfuse.kernels.cuda._smooth import smooth_signal
from zfuse.kernels.cuda._soft import add_weighted, log_activity, log_energy
from zfuse.kernels.cuda._strongest import keep_strongest, reduce_by_strength
from zfuse.kernels.cuda._trust import (
    collect_evidence,
    compare_sides,
    interpolate_doubled,
    interpolate_where,
    probability,
)
from zfuse.kernels.cuda._vote import choose_scale, vote_depth
from zfuse.kernels.cuda._warp import invalidate_unreached, warp_plane
from zfuse.kernels.cuda._wavelet import analyse_plane, synthesise_plane
from zfuse.kernels.cuda._wiener import settle_band

__all__ = [
    "ACTIVITY_GAIN",
    "GIVEN",
    "INVALID",
    "MEASURES",
    "NO_FRAME",
    "NO_WEIGHT",
    "RUN",
    "WARP_REACH",
    "DepthClues",
    "FineLimits",
    "FocusWeights",
    "RunningOffset",
    "RunningPeak",
    "ScaleVariance",
    "accumulator",
    "add_expanded",
    "add_focused",
    "add_focused_norms",
    "add_offset",
    "add_weighted",
    "analyse_plane",
    "choose_scale",
    "collect_evidence",
    "compare_sides",
    "downsample",
    "downsampled_shape",
    "extend_range",
    "finish_focus",
    "fit_ends",
    "fold_focus",
    "guided_filter",
    "hold_within",
    "interpolate_doubled",
    "interpolate_where",
    "invalidate_unreached",
    "keep_strongest",
    "log_activity",
    "log_energy",
    "majority_filter",
    "mix_signal",
    "on_stream",
    "place_fine",
    "probability",
    "reduce_by_strength",
    "reduce_plane",
    "reduce_planes",
    "reduce_signal",
    "settle_band",
    "settle_offset",
    "smooth_signal",
    "subtract_expanded",
    "synthesise_plane",
    "vote_depth",
    "warp_plane",
]
