"""Fingerprints: what every method makes of a few small stacks, as hashes and coarse means.

    python tests/support/fingerprints.py FILE.json           # record
    python tests/support/fingerprints.py FILE.json --check   # compare, exit 1 if anything changed

Only the public face of zfuse is used, so that the same script runs on a tree before and after it
has been rearranged. Hashes hold where the arithmetic is the same (one machine, before and after a
change); on another kind of CPU vector units round differently, and there the coarse means are what
is compared (see `differences`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite.binding import get_host_cpu_name
from scipy.ndimage import gaussian_filter

NETWORKS = ("fusion2void", "fusionnet", "pdmnet", "rpsnn", "umis")
CLASSICAL = (
    "adaptive",
    "complex-wavelet",
    "gaussian",
    "guided",
    "laplacian",
    "select",
    "wavelet",
)
VARIANTS: dict[str, dict[str, Any]] = {
    "adaptive-quantitative": {"name": "adaptive", "quantitative": True},
    "select-least": {"name": "select", "measure": "tenengrad", "contrast": "least"},
}
TILINGS = {"whole": None, "tiles": 64}
_BLOCKS = 4  # coarse means of 4 x 4 blocks


def relief(planes: int, height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Return planes (C, Z, Y, X) float64 in 0..1: a slope and a step, blurred by their distance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    depth = (planes - 1) * np.clip(0.15 + 0.7 * x + 0.25 * (y > 0.45), 0, 1)
    stack = np.empty((channels, planes, height, width))
    for c in range(channels):
        texture = gaussian_filter(rng.standard_normal((height, width)), 0.7)
        texture = 0.45 + 0.12 * texture / texture.std()
        blurred = np.stack([gaussian_filter(texture, 0.9 * s) for s in range(planes)])
        for z in range(planes):
            away = np.abs(depth - z)
            below = np.clip(away.astype(int), 0, planes - 2)
            share = np.clip(away - below, 0, 1)
            low = np.take_along_axis(blurred, below[None], 0)[0]
            high = np.take_along_axis(blurred, below[None] + 1, 0)[0]
            stack[c, z] = low + share * (high - low)
        stack[c] += 0.004 * rng.standard_normal(stack[c].shape)
    return np.clip(stack, 0, 1)


def stacks() -> dict[str, Any]:
    """Return the stacks by name: arrays (Z, Y, X) or (C, Z, Y, X), ``rgb`` as (Z, Y, X, 3)."""
    made = {
        "u8": np.rint(relief(6, 96, 128, 1, 1)[0] * 255).astype(np.uint8),
        "u16": np.rint(relief(9, 128, 160, 1, 2)[0] * 4095).astype(np.uint16),
        "odd": np.rint(relief(5, 67, 101, 1, 3)[0] * 40000).astype(np.uint16),
        "two": np.rint(relief(5, 80, 96, 2, 4) * 3000).astype(np.uint16),
    }
    holes = (relief(6, 96, 96, 1, 5)[0] * 5000).astype(np.float32)
    holes[2, 20:24, 30:40] = np.nan
    holes[:, 60, 60] = np.nan
    holes[4, 80, 5] = np.inf
    made["float-nan"] = holes
    made["each"] = made["two"]  # each channel for itself; of all others channels decide together
    made["rgb"] = np.moveaxis(np.rint(relief(4, 80, 112, 3, 6) * 255).astype(np.uint8), 0, -1)
    return made


def fused(planes: np.ndarray, name: str, method: Any, tile: int | None, folder: Path) -> Any:
    """Fuse one stack; colour pictures go through a folder of files, which says that they are."""
    import zfuse

    if name != "rgb":
        who = "each" if name == "each" else "together"
        return zfuse.fuse(planes, method, tile=tile, channel=who)
    from PIL import Image

    place = folder / name
    if not place.exists():
        place.mkdir()
        for z, plane in enumerate(planes):
            Image.fromarray(plane).save(place / f"z{z:03d}.png")
    return zfuse.fuse(zfuse.open(str(place)), method, tile=tile)


def fingerprint(array: np.ndarray) -> dict[str, Any]:
    """Return hash, dtype, shape, and means of blocks (NaN left out) of one array."""
    array = np.ascontiguousarray(array)
    values = array.astype(np.float64)
    rows = np.array_split(values, _BLOCKS, axis=-2)
    means = [
        float(np.nanmean(np.where(np.isfinite(part), part, np.nan)))
        for row in rows
        for part in np.array_split(row, _BLOCKS, axis=-1)
    ]
    return {
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "means": [float(f"{m:.6g}") for m in means],
    }


def record(methods: tuple[str, ...] = CLASSICAL + NETWORKS + tuple(VARIANTS)) -> dict[str, Any]:
    """Fuse every stack with every method in every tiling, and return the fingerprints by name."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for stack, planes in stacks().items():
            for method in methods:
                for tiling, tile in TILINGS.items():
                    result = fused(planes, stack, VARIANTS.get(method, method), tile, Path(folder))
                    found[f"{stack}/{method}/{tiling}"] = {
                        part: fingerprint(np.asarray(getattr(result, part)))
                        for part in ("image", "depth", "confidence")
                    }
    return found


def differences(
    was: dict[str, Any], now: dict[str, Any], *, exact: bool, tolerance: float = 2e-3
) -> list[str]:
    """Return a line for everything that changed.

    Parameters
    ----------
    was, now
        Fingerprints of `record`.
    exact
        Compare hashes (networks: means all the same, their runtimes differ); otherwise means.
    tolerance
        Of a mean, as a share of the largest one.
    """
    lines = [f"{name}: missing" for name in was.keys() - now.keys()]
    for name, parts in was.items():
        for part, old in parts.items():
            new = now.get(name, {}).get(part)
            if new is None:
                continue
            if (old["dtype"], old["shape"]) != (new["dtype"], new["shape"]):
                lines.append(f"{name} {part}: {old['dtype']}{old['shape']} is now {new['dtype']}"
                             f"{new['shape']}")  # fmt: skip
            elif old["sha256"] != new["sha256"]:
                gap = np.abs(np.subtract(old["means"], new["means"])).max()
                gap /= max(np.abs(old["means"]).max(), 1e-30)
                if (exact and name.split("/")[1] not in NETWORKS) or gap > tolerance:
                    lines.append(f"{name} {part}: hash changed, means by {gap:.2g}")
    return lines


def main() -> int:
    """Record or check, by the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="compare instead of recording")
    parser.add_argument("--method", action="append", help="only this one (can be repeated)")
    options = parser.parse_args()
    methods = tuple(options.method) if options.method else CLASSICAL + NETWORKS + tuple(VARIANTS)
    now = record(methods)
    if not options.check:
        recorded = {"cpu": get_host_cpu_name()} | now
        if options.method:  # of the others what stands there is kept
            recorded = json.loads(options.file.read_text()) | recorded
        options.file.write_text(json.dumps(recorded, separators=(",", ":")) + "\n")
        return 0
    was = json.loads(options.file.read_text())
    was = {n: parts for n, parts in was.items() if "/" in n and n.split("/")[1] in methods}
    lines = differences(was, now, exact=True)
    print("\n".join(lines) or f"{len(was)} fingerprints are the same")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
