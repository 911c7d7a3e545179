"""Fuse stacks while they are acquired: the public name of `zfuse.pipeline.live`.

Knows nothing of its own.
"""

from typing import TYPE_CHECKING

from zfuse.pipeline.live import *  # noqa: F403

if TYPE_CHECKING:  # for what reads sources: the face that is starred tells its names at run time
    from zfuse.pipeline.live import (
        Attachment as Attachment,
        Frame as Frame,
        Plan as Plan,
        Report as Report,
        Series as Series,
        Session as Session,
        SimulatedMicroscope as SimulatedMicroscope,
        StackKey as StackKey,
        StackReport as StackReport,
        TappedStream as TappedStream,
        attach as attach,
        tap as tap,
        watch as watch,
    )
