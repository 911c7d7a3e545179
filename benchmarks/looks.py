"""Sheets to look at: each real stack at 100 %, beside enfuse, with its depth and its confidence.

    python benchmarks/looks.py LOOKS                            # what focus changes most
    python benchmarks/looks.py LOOKS --stacks gear,pcb --method pdmnet
    python benchmarks/looks.py BEFORE --python OTHER/bin/python # by another zfuse

One PNG a stack (a channel, where channels are no colours): fused, enfuse with its hard mask, depth,
confidence, of one crop that depends on the planes alone, so that sheets of different programs show
the same place. For eyes only: most of the stacks may not be redistributed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import trust_data
from quality import VARIANTS
from quality_data import real_stacks
from quality_peers import enfuse
from scipy import ndimage
from trust_fuse import Fuser

from zfuse.pipeline.evaluation import luma
from zfuse.pipeline.figures import Sheet, robust_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GAP, _HEAD, _BAR = 10, 30, 66  # px


def telling(planes: NDArray[Any], size: int) -> tuple[slice, slice]:
    """Find where focus changes most: slopes of the sharpest plane beyond those of the mean.

    Parameters
    ----------
    planes
        (Z, Y, X) or (Z, Y, X, 3).
    size
        Edge of the crop; an image that is smaller is taken whole.
    """
    grey = [luma(plane) for plane in planes]
    slopes = [np.hypot(*np.gradient(ndimage.gaussian_filter(p, 1.0))) for p in grey]
    gained = np.sqrt(np.max(slopes, 0) - np.mean(slopes, 0))  # one bright edge is not all
    window = [min(size, n) for n in gained.shape]
    found = ndimage.uniform_filter(gained, window, mode="constant")
    # Only windows that lie inside; `uniform_filter` centres them.
    inner = tuple(
        slice(w // 2, n - (w - w // 2) + 1) for w, n in zip(window, gained.shape, strict=True)
    )
    corner = np.unravel_index(int(found[inner].argmax()), found[inner].shape)
    return tuple(slice(int(c), int(c) + w) for c, w in zip(corner, window, strict=True))  # type: ignore[return-value]


def sheet(
    title: str,
    pictures: dict[str, NDArray[Any]],
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    planes: int,
) -> Sheet:
    """Lay crops side by side, in grey levels or colours of the first; the maps below."""
    rows, columns = depth.shape
    wide, high = columns + _BAR + _GAP, rows + _HEAD + _GAP
    drawn = Sheet(2 * wide + _GAP, 2 * high + _HEAD)
    drawn.text(_GAP, 20, title, 14)
    dark, bright = robust_range(luma(next(iter(pictures.values()))), 0.1, 99.9)
    for number, (name, picture) in enumerate(pictures.items()):
        light = (np.asarray(picture, float) - dark) / (bright - dark)
        shown = (light.clip(0, 1) * 255).astype(np.uint8)
        shown = shown if shown.ndim == 3 else shown[..., None].repeat(3, 2)
        drawn.picture((_GAP + number * wide, 2 * _HEAD, columns, rows), shown, name)
    top = 2 * _HEAD + high
    box = (_GAP, top, columns, rows)
    drawn.map(box, depth, (0, planes - 1), colours="turbo", title="depth", unit="planes")
    box = (_GAP + wide, top, columns, rows)
    drawn.map(box, confidence, (0, 1), colours="gray", title="confidence")
    return drawn


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of the sheets")
    parser.add_argument("--stacks", default="", help="parts of names; default: all")
    parser.add_argument("--method", default="adaptive", help="or a row of quality.py")
    parser.add_argument("--python", default=sys.executable, help="of another zfuse")
    parser.add_argument("--size", type=int, default=500, help="px of the crop")
    parser.add_argument("--shared", type=Path, default=root.parent / "shared" / "data")
    asked = parser.parse_args()

    asked.folder.mkdir(parents=True, exist_ok=True)
    only = [name for name in asked.stacks.split(",") if name]
    settings = VARIANTS.get(asked.method, {"name": asked.method})
    with Fuser(asked.python) as fuser:
        for name, stack in real_stacks(asked.shared):
            if only and not any(part in name for part in only):
                continue
            planes = trust_data.all_planes(stack)
            if stack.rgb:
                parts = {name: np.moveaxis(planes, 1, -1)}
                fused = {name: fuser.fuse(parts[name], settings)}
            else:
                several = planes.shape[1] > 1
                parts = {
                    f"{name}-{c}" if several else name: np.ascontiguousarray(planes[:, c])
                    for c in range(planes.shape[1])
                }
                whole = fuser.fuse(planes, settings, channels=True)
                fused = {part: _channel(whole, c) for c, part in enumerate(parts)}
            for part, pixels in parts.items():
                crop = telling(pixels, asked.size)
                image, depth, confidence = (array[crop] for array in fused[part])
                pictures = {asked.method: image}
                if shutil.which("enfuse"):
                    pictures["enfuse (hard mask)"] = enfuse(pixels, "--hard-mask")[crop]
                title = f"{part}, rows from {crop[0].start}, columns from {crop[1].start}"
                drawn = sheet(title, pictures, depth, confidence, len(pixels))
                drawn.figure.savefig(asked.folder / f"{part}.png", dpi="figure")
                print(part, flush=True)


def _channel(fused: Any, number: int) -> tuple[NDArray[Any], ...]:
    maps = (a[number] if a.ndim == 3 else a for a in (fused.depth, fused.confidence))
    return (fused.image[number], *maps)


if __name__ == "__main__":
    main()
