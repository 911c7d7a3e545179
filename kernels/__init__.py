"""Pure array kernels. They know nothing of files, tiles or methods.

`cpu` holds those that numba compiles for processors; they are the ones that this face gives.
"""

from zfuse.kernels.cpu import *  # noqa: F403
from zfuse.kernels.cpu import __all__ as __all__
