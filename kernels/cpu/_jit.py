"""How every CPU kernel is compiled: no GIL, no exceptions, cached on disk.

Must not know: what the kernels compute.

The machine code is cached beside the source, or in the user's cache folder when the installation is
read-only (numba's own rule), or where ``NUMBA_CACHE_DIR`` says. Where none can be written (a
container with a read-only home) numba refuses to start; then a private temporary folder serves.

numba knows a kernel by its own file alone. Code inlined from another module would be found again
after that module has changed, by an upgrade for instance, and give the results of before. So the
cache's folder is named after the content of all kernel modules.

Processes that compile at the same moment share the cache: see `_CacheFiles`.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

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


def _cache_folder() -> Path:
    """Return where the machine code of these kernel modules is kept."""
    from numba.misc.appdirs import AppDirs

    here = Path(__file__).parent
    sources = hashlib.sha256()
    for module in sorted(here.glob("*.py")):
        sources.update(module.read_bytes())
    usual = (here / "__pycache__", Path(AppDirs(appname="numba", appauthor=False).user_cache_dir))
    chosen = [Path(numba.config.CACHE_DIR)] if numba.config.CACHE_DIR else usual
    base = next((f for f in chosen if _writable(f)), None) or _private_temporary_folder()
    return base / f"zfuse-{sources.hexdigest()[:16]}"


_FOLDER = _cache_folder()


class _CacheFiles(IndexDataCacheFile):  # type: ignore[misc]
    """One kernel's index and files of machine code, which a cluster's workers fill side by side.

    numba counts the files. Two processes that compile for different dtypes at the same moment both
    take the same number, and one dtype runs the other one's machine code (numba issue 4807). Here a
    file is named after what it is for, and is there before the index tells of it. What is left of
    the race is an entry that the index loses: it is compiled once more.
    """

    def save(self, key: Any, data: Any) -> None:
        name = hashlib.sha256(pickle.dumps(key)).hexdigest()[:16]
        file = f"{self._index_name.removesuffix('.nbi')}.{name}.nbc"
        self._save_data(file, data)
        self._save_index(self._load_index() | {key: file})


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache of one kernel, with these files."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _CacheFiles(self.cache_path, self._impl.filename_base, stamp)


def _compiled(function: F, options: dict[str, Any]) -> F:
    """Hand a kernel to numba, which asks for the cache's folder now and never again."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_FOLDER)
    try:
        compiled: F = numba.njit(**options)(function)
        if not numba.config.DISABLE_JIT:
            compiled._cache = _Cache(function)  # type: ignore[attr-defined] # noqa: SLF001
    finally:
        numba.config.CACHE_DIR = before
    return compiled


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
    return _compiled(function, _OPTIONS | {"_nrt": False})


def jit_allocating(function: F) -> F:
    """Like `jit`, for the outer function that allocates scratch."""
    return _compiled(function, _OPTIONS)
