"""One file, written whole or not at all: what pipeline and engines share.

Must not know: what is in it, outputs of several files (those are staged by the pipeline's core).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write one file whole or not at all.

    Parameters
    ----------
    path
        Final name. What has it is replaced when the block ends well, and kept otherwise.

    Yields
    ------
    Path
        A name beside it, with the same suffix, that nobody else uses: write there.
    """
    new = path.with_name(f".{path.stem}.{uuid4().hex[:8]}{path.suffix}")
    try:
        yield new
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
