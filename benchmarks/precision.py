"""Do networks keep their scores in half precision? SSIM on held-out pairs, float32 beside float16.

python benchmarks/precision.py                 # MFI-WHU 71 to 80, the middle 256 px, all networks
python benchmarks/precision.py rpsnn --last 71 # on a CPU half precision is emulated, and slow
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import zfuse
from zfuse.engines import MODELS
from zfuse.pipeline import evaluation as metrics
from zfuse.pipeline.sources import from_array

ROOT = Path(__file__).parents[2] / "shared" / "data" / "pairs" / "mfi_whu"
MIDDLE = (slice(64, 320), slice(64, 320))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(MODELS))
    parser.add_argument("--first", type=int, default=71)
    parser.add_argument("--last", type=int, default=80)
    arguments = parser.parse_args()
    for name in arguments.networks:
        scores = []
        for number in range(arguments.first, arguments.last + 1):
            folders = ("source_1", "source_2", "full_clear")
            *sources, truth = (
                np.asarray(Image.open(ROOT / f / f"{number}.jpg").convert("RGB"))[MIDDLE]
                for f in folders
            )
            stack = from_array(np.moveaxis(np.stack(sources), -1, 1).copy(), axes="ZCYX")
            row = []
            for precision in ("fp32", "fp16"):
                how = {"name": name, "runner": "onnxruntime", "precision": precision}
                fused = np.moveaxis(
                    np.asarray(zfuse.fuse(stack, how, channel="together").image), 0, -1
                )
                row.append(metrics.ssim(metrics.luma(fused), metrics.luma(truth), data_range=255))
            scores.append(row)
        fp32, fp16 = np.mean(scores, 0)
        apart = float(np.abs(np.diff(scores)).max())
        print(
            f"{name:12} fp32 {fp32:.6f}  fp16 {fp16:.6f}  most apart in a pair {apart:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
