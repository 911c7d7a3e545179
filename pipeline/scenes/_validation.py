"""Pairs that no training ever sees: the scenes that networks are validated on.

Must not know: networks, training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from zfuse.engines.training import Scene
from zfuse.pipeline.core import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ValidationPairs"]

_FOLDERS = ("source_1", "source_2", "full_clear")


class ValidationPairs(Settings):
    """Which pairs are kept for validation: as MFI-WHU names them, NUMBER.jpg in three folders."""

    folder: str = Field("pairs/mfi_whu", description="with source_1, source_2 and full_clear in it")
    numbers: tuple[int, int] = Field((71, 80), description="first and last pair")
    crop: int = Field(256, ge=16, description="px of the pictures' middle that are used")

    def scenes(self, root: Path) -> list[Scene]:
        """Read the pairs that are there: two planes each, RGB, no noise, no depth.

        Returns
        -------
        list of Scene
            Empty when the folder or all of its pairs are missing.
        """
        found = []
        for number in range(self.numbers[0], self.numbers[1] + 1):
            paths = [root / self.folder / folder / f"{number}.jpg" for folder in _FOLDERS]
            if all(path.is_file() for path in paths):
                first, second, truth = (_middle(path, self.crop) for path in paths)
                found.append(Scene(truth, np.stack([first, second]), None, (0.0, 0.0)))
        return found


def _middle(path: Path, crop: int) -> NDArray[np.float32]:
    """Read the middle of a picture, at most crop x crop and a multiple of 16, as (3, H, W)."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    cut = []
    for size in pixels.shape[:2]:
        length = min(size, crop) // 16 * 16  # networks that pool want multiples
        cut.append(slice((size - length) // 2, (size - length) // 2 + length))
    return np.ascontiguousarray(pixels[cut[0], cut[1]].transpose(2, 0, 1))
