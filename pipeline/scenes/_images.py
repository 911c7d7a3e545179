"""Images that training scenes are made of: read, cut out, turned.

Must not know: what is made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ScenesConfig", "cropped", "images_in", "read", "sharp_images", "turned"]

_BEYOND = 8  # px: networks take multiples of 8
_IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


class ScenesConfig(Settings):
    """What all entries of a config's ``sources`` have."""

    weight: float = Field(1.0, gt=0, description="how often this source is drawn from")


def cropped(
    images: NDArray[Any], crop: int, rng: np.random.Generator, edges: float = 0.0
) -> NDArray[Any]:
    """Cut the same random square out of images (n, Y, X, C); small ones are mirrored first.

    With the probability `edges` (in rows and in columns) it is moved to the image's edge, at the
    far one beyond it by 0 to 7 px, which are mirrored: as the pipeline does with images that are no
    multiple of 8. A network pads every crop with zeros, so it takes each crop's border for the
    image's; where real borders are rare it never learns what happens there.
    """
    rows, columns = (_places(n, crop, rng, edges) for n in images.shape[1:3])
    return images[:, rows[:, None], columns]


def _places(size: int, crop: int, rng: np.random.Generator, edges: float) -> NDArray[np.intp]:
    room = max(0, size - crop)
    start = int(rng.integers(room + 1))
    if rng.random() < edges:
        start = room + int(rng.integers(_BEYOND)) if rng.random() < 0.5 else 0
    at = np.arange(start, start + crop) % (2 * size)
    return np.minimum(at, 2 * size - 1 - at)


def turned(images: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Turn by a random right angle and mirror at random."""
    images = np.rot90(images, int(rng.integers(4)), axes=(1, 2))
    return images[:, ::-1] if rng.random() < 0.5 else images


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder; one line where there are none."""
    if not folder.is_dir():
        raise ZfuseError(f"no training images: {folder} is not a folder; see --data")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES)
    if not found:
        raise ZfuseError(f"no training images in {folder}: expected {', '.join(_IMAGES)}")
    return found


def sharp_images(
    folders: tuple[Path, ...], root: Path, numbers: tuple[int, int] | None
) -> list[NDArray[np.uint8]]:
    """Read the images of folders; with numbers, only those of such names."""
    paths = [path for folder in folders for path in images_in(root / folder)]
    if numbers is not None:
        wanted = range(numbers[0], numbers[1] + 1)
        paths = [p for p in paths if not p.stem.isdigit() or int(p.stem) in wanted]
    return [read(path) for path in paths]


def read(path: Path) -> NDArray[np.uint8]:
    """Read an image as (Y, X, 3)."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
