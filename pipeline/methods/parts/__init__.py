"""What methods share: focus peaks, pyramids, noise, float planes, networks."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.methods.parts._band_average import (
        BandAverage as BandAverage,
        band_reach as band_reach,
    )
    from zfuse.pipeline.methods.parts._bands import (
        BandMethod as BandMethod,
        BandTransform as BandTransform,
    )
    from zfuse.pipeline.methods.parts._blending import (
        Blend as Blend,
        BlendingMethod as BlendingMethod,
        BlendingState as BlendingState,
        mix as mix,
    )
    from zfuse.pipeline.methods.parts._carried import Carried as Carried
    from zfuse.pipeline.methods.parts._clipping import ClipLevels as ClipLevels
    from zfuse.pipeline.methods.parts._decision import (
        DecisionPlanes as DecisionPlanes,
        to_signal as to_signal,
    )
    from zfuse.pipeline.methods.parts._depth_offset import (
        DepthOffset as DepthOffset,
        peak_width as peak_width,
    )
    from zfuse.pipeline.methods.parts._depth_search import (
        SEARCH_BYTES as SEARCH_BYTES,
        SEARCH_REACH as SEARCH_REACH,
        DepthSearch as DepthSearch,
        least_scores as least_scores,
    )
    from zfuse.pipeline.methods.parts._filters import (
        WaveletName as WaveletName,
        dual_tree as dual_tree,
        wavelet as wavelet,
    )
    from zfuse.pipeline.methods.parts._floats import (
        FILL_ALIGN as FILL_ALIGN,
        FILL_REACH as FILL_REACH,
        FloatPlanes as FloatPlanes,
        near as near,
    )
    from zfuse.pipeline.methods.parts._found_depth import (
        FoundDepth as FoundDepth,
    )
    from zfuse.pipeline.methods.parts._frame import inside_frame as inside_frame
    from zfuse.pipeline.methods.parts._measured_average import MeasuredAverage as MeasuredAverage
    from zfuse.pipeline.methods.parts._network import (
        Batch as Batch,
        Graph as Graph,
        NetworkMethod as NetworkMethod,
    )
    from zfuse.pipeline.methods.parts._noise import (
        CameraNoise as CameraNoise,
        camera_noise as camera_noise,
    )
    from zfuse.pipeline.methods.parts._pair import (
        PAIR_BYTES as PAIR_BYTES,
        PairDecision as PairDecision,
    )
    from zfuse.pipeline.methods.parts._patchwork import Patchwork as Patchwork, softness as softness
    from zfuse.pipeline.methods.parts._peak import (
        PEAK_BYTES as PEAK_BYTES,
        FocusPeak as FocusPeak,
        signal_bytes as signal_bytes,
    )
    from zfuse.pipeline.methods.parts._pyramid import (
        expanded as expanded,
        join_band as join_band,
        level_shapes as level_shapes,
        reduced as reduced,
        split_band as split_band,
    )
    from zfuse.pipeline.methods.parts._response import estimate_response as estimate_response
    from zfuse.pipeline.methods.parts._running import WeightedMean as WeightedMean
    from zfuse.pipeline.methods.parts._trust import (
        Evidence as Evidence,
        ScalePeak as ScalePeak,
        Trust as Trust,
        doubled as doubled,
        halved as halved,
    )
    from zfuse.pipeline.methods.parts._trusted_peak import (
        DEPTH_REACH as DEPTH_REACH,
        TRUST_BYTES as TRUST_BYTES,
        TRUST_REACH as TRUST_REACH,
        TrustedPeak as TrustedPeak,
        peak_evidence as peak_evidence,
    )
    from zfuse.pipeline.methods.parts._value_range import (
        ChannelRange as ChannelRange,
        DecisionRange as DecisionRange,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_band_average": ["BandAverage", "band_reach"],
        "_bands": ["BandMethod", "BandTransform"],
        "_blending": ["Blend", "BlendingMethod", "BlendingState", "mix"],
        "_carried": ["Carried"],
        "_clipping": ["ClipLevels"],
        "_decision": ["DecisionPlanes", "to_signal"],
        "_depth_offset": ["DepthOffset", "peak_width"],
        "_depth_search": ["DepthSearch", "SEARCH_BYTES", "SEARCH_REACH", "least_scores"],
        "_filters": ["WaveletName", "dual_tree", "wavelet"],
        "_floats": ["FILL_ALIGN", "FILL_REACH", "FloatPlanes", "near"],
        "_found_depth": ["FoundDepth"],
        "_measured_average": ["MeasuredAverage"],
        "_network": ["Batch", "Graph", "NetworkMethod"],
        "_frame": ["inside_frame"],
        "_noise": ["CameraNoise", "camera_noise"],
        "_pair": ["PAIR_BYTES", "PairDecision"],
        "_patchwork": ["Patchwork", "softness"],
        "_peak": ["FocusPeak", "PEAK_BYTES", "signal_bytes"],
        "_pyramid": ["expanded", "join_band", "level_shapes", "reduced", "split_band"],
        "_response": ["estimate_response"],
        "_running": ["WeightedMean"],
        "_trust": ["Evidence", "ScalePeak", "Trust", "doubled", "halved"],
        "_trusted_peak": [
            "DEPTH_REACH",
            "TRUST_BYTES",
            "TRUST_REACH",
            "TrustedPeak",
            "peak_evidence",
        ],
        "_value_range": ["ChannelRange", "DecisionRange"],
    },
)
