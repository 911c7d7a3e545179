"""Sources: whatever lies on disk or in memory, opened lazily as a `Stack`.

Duty: the public face of the readers. Must not know: any one format; each lives in its own module,
which is imported when a path of its kind is opened, so that importing this package costs nothing.
"""

from zfuse.pipeline.sources._array import from_array
from zfuse.pipeline.sources._open import open_stack, open_stacks

__all__ = ["from_array", "open_stack", "open_stacks"]
