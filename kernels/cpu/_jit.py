"""How every CPU kernel is compiled: no GIL, no exceptions, cached on disk.

Must not know: what the kernels compute.

The machine code is cached beside the source, or in the user's cache folder when the installation is
read-only (numba's own rule). Where neither can be written (a container with a read-only home) numba
refuses to start; then a private folder in the temporary directory serves.

numba compiles a kernel again when its own file changes, not when another module that it calls does:
after an edit of such a module (`_rows`, `_measures`, …) delete ``kernels/cpu/__pycache__``. A
NamedTuple that a kernel takes is named in the cache and can't be read back under another name.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

__all__ = ["jit", "jit_allocating"]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_temporary_folder() -> Path:
    """Return a folder that only this user can write: cached machine code is trusted code."""
    folder = Path(tempfile.gettempdir()) / f"zfuse-kernels-{os.environ.get('USERNAME', 'user')}"
    if hasattr(os, "getuid"):
        folder = folder.with_name(f"zfuse-kernels-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="zfuse-kernels-"))
    foreign = hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077)
    return Path(tempfile.mkdtemp(prefix="zfuse-kernels-")) if foreign else folder


def _choose_cache_folder() -> None:
    if numba.config.CACHE_DIR:
        return  # the user's own choice
    from numba.misc.appdirs import AppDirs

    candidates = (
        Path(__file__).parent / "__pycache__",
        Path(AppDirs(appname="numba", appauthor=False).user_cache_dir),
    )
    if not any(_writable(folder) for folder in candidates):
        numba.config.CACHE_DIR = str(_private_temporary_folder())


_choose_cache_folder()


_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}
# fastmath stays off: without it LLVM neither reorders sums nor contracts a multiply-add, so a
# pixel's result does not depend on where in a row, tile or vector register it was computed. That is
# what makes tiled equal whole to the last bit.


def jit(function: F) -> F:
    """Compile `function` on its first call for the dtypes it meets, and cache the machine code.

    Reference counting is off, so such a function must not allocate: counting the slices of every
    row cost a third of the time, and two threads fought for the counter of the array that they
    share.
    """
    compiled: F = numba.njit(**_OPTIONS, _nrt=False)(function)
    return compiled


def jit_allocating(function: F) -> F:
    """Like `jit`, for the outer function that allocates scratch."""
    compiled: F = numba.njit(**_OPTIONS)(function)
    return compiled
