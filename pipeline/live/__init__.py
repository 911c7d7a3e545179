"""Live: planes as they come, from a microscope in this process or from a growing data set."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.live._attach import attach as attach
    from zfuse.pipeline.live._attachment import Attachment as Attachment
    from zfuse.pipeline.live._frame import Frame as Frame, StackKey as StackKey
    from zfuse.pipeline.live._microscope import SimulatedMicroscope as SimulatedMicroscope
    from zfuse.pipeline.live._report import Report as Report, StackReport as StackReport
    from zfuse.pipeline.live._series import Series as Series
    from zfuse.pipeline.live._session import Session as Session
    from zfuse.pipeline.live._tap import TappedStream as TappedStream, tap as tap
    from zfuse.pipeline.live._useq import Plan as Plan
    from zfuse.pipeline.live._watch import watch as watch

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_attach": ["attach"],
        "_attachment": ["Attachment"],
        "_frame": ["Frame", "StackKey"],
        "_microscope": ["SimulatedMicroscope"],
        "_report": ["Report", "StackReport"],
        "_series": ["Series"],
        "_session": ["Session"],
        "_tap": ["TappedStream", "tap"],
        "_useq": ["Plan"],
        "_watch": ["watch"],
    },
)
