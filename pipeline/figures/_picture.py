"""Where a picture is written: a PNG that is new, and there whole or not at all.

Must not know: what is drawn.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_picture", "new_picture"]


def check_picture(output: str | Path, *, overwrite: bool = False) -> Path:
    """Return where a picture may be written.

    Parameters
    ----------
    output
        Path that ends in ``.png``.
    overwrite
        Replace a picture that exists.

    Raises
    ------
    ZfuseError
        It has another ending, or it exists.
    """
    target = Path(output)
    if target.suffix.lower() != ".png":
        raise ZfuseError(f"picture {target}: its name must end in .png")
    if target.exists() and not overwrite:
        raise ZfuseError(f"{target} exists; give another name, or --overwrite")
    return target


@contextmanager
def new_picture(target: Path) -> Iterator[Path]:
    """Yield the path of a new file that takes the place of `target` when it is complete.

    Raises
    ------
    ZfuseError
        The disk is full, or writing is not permitted.
    """
    from zfuse.files import replacing
    from zfuse.pipeline.core import disk_errors

    with disk_errors(target), replacing(target) as new:
        yield new
