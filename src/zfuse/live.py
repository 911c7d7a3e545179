"""Fuse stacks while they are acquired: the public name of `zfuse.pipeline.live`.

Knows nothing of its own.
"""

from zfuse.pipeline.live import *  # noqa: F403
