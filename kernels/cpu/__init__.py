"""Pure array kernels for the CPU (numba). They know nothing of files, tiles or methods."""

from zfuse.kernels.cpu._band_average import (
    RUN,
    FocusWeights,
    add_focused,
    add_focused_norms,
    extend_range,
    hold_within,
)
from zfuse.kernels.cpu._downsample import downsample, downsampled_shape
from zfuse.kernels.cpu._fine import FineLimits, place_fine
from zfuse.kernels.cpu._focus import NO_FRAME, fold_focus
from zfuse.kernels.cpu._guided import guided_filter
from zfuse.kernels.cpu._majority import majority_filter
from zfuse.kernels.cpu._measures import GIVEN, INVALID, MEASURES, accumulator
from zfuse.kernels.cpu._offset import RunningOffset, add_offset, settle_offset
from zfuse.kernels.cpu._peak import RunningPeak, finish_focus, fit_ends
from zfuse.kernels.cpu._pyramid import (
    add_expanded,
    reduce_plane,
    reduce_planes,
    reduce_signal,
    subtract_expanded,
)
from zfuse.kernels.cpu._signal import mix_signal
from zfuse.kernels.cpu._smooth import smooth_signal
from zfuse.kernels.cpu._soft import ACTIVITY_GAIN, NO_WEIGHT, add_weighted, log_activity, log_energy
from zfuse.kernels.cpu._strongest import keep_strongest, reduce_by_strength
from zfuse.kernels.cpu._trust import (
    DepthClues,
    collect_evidence,
    compare_sides,
    interpolate_doubled,
    interpolate_where,
    probability,
)
from zfuse.kernels.cpu._vote import ScaleVariance, choose_scale, vote_depth
from zfuse.kernels.cpu._warp import REACH as WARP_REACH, invalidate_unreached, warp_plane
from zfuse.kernels.cpu._wavelet import analyse_plane, synthesise_plane
from zfuse.kernels.cpu._wiener import settle_band

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
