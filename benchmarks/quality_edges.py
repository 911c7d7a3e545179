"""What Q^AB/F is worth as a goal: the same picture, edited until the measure likes it better.

    python benchmarks/quality_edges.py                  # MFI-WHU 71 to 76, middle 256 px

Four numbers a pair: Q^AB/F of the truth itself and of `select`; how far edits of less than one
grey level raise the latter, and what that does to PSNR; and the same without restraint. The
measure counts gradients by their strength in both sources, so most of it is noise in flat regions.
Needs torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import zfuse
from zfuse.pipeline import evaluation as metrics
from zfuse.pipeline.sources import from_array

ROOT = Path(__file__).parents[2] / "shared" / "data" / "pairs" / "mfi_whu"
SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def edges(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return strength and direction of the gradient, with slopes that are finite everywhere."""
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None]
    x, y = F.conv2d(F.pad(image[None, None], (1, 1, 1, 1), mode="reflect"), kernels)[0]
    safe = x + 1e-3 * torch.where(x >= 0, 1.0, -1.0)
    return (x * x + y * y + 1e-6).sqrt(), torch.atan(y / safe)


def preserved(image: Tensor, sources: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return Q^AB/F (Xydeas & Petrovic 2000)."""
    strength, angle = edges(image)
    kept, weight = torch.zeros(()), torch.zeros(())
    for source, towards in sources:
        ratio = torch.minimum(source, strength) / torch.maximum(source, strength)
        aligned = 1 - (towards - angle).abs() / (torch.pi / 2)
        of_strength = 0.9994 / (1 + torch.exp(-15 * (ratio - 0.5)))
        of_angle = 0.9879 / (1 + torch.exp(-22 * (aligned - 0.8)))
        kept = kept + (source * of_strength * of_angle).sum()
        weight = weight + source.sum()
    return kept / weight


def raised(start: Tensor, sources: list[tuple[Tensor, Tensor]], by: float, rate: float) -> Tensor:
    """Climb the measure until it is higher by so much, 300 steps at most."""
    image = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([image], rate)
    first = float(preserved(start, sources))
    for _ in range(300):
        optimiser.zero_grad()
        value = preserved(image, sources)
        if value.item() > first + by:
            break
        (-value).backward()
        optimiser.step()
    return image.detach()


def tensor(image: np.ndarray) -> Tensor:
    return torch.tensor(image, dtype=torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=71)
    parser.add_argument("--last", type=int, default=76)
    arguments = parser.parse_args()
    print("pair  truth  select   +.006: mean change  PSNR dB   without restraint  PSNR dB")
    for number in range(arguments.first, arguments.last + 1):
        folders = ("source_1", "source_2", "full_clear")
        one, two, truth = (
            np.asarray(Image.open(ROOT / f / f"{number}.jpg").convert("RGB"))[100:356, 100:356]
            for f in folders
        )
        stack = from_array(np.moveaxis(np.stack([one, two]), -1, 1).copy(), axes="ZCYX")
        fused = np.moveaxis(
            np.asarray(zfuse.fuse(stack, "select", channel="together").image), 0, -1
        )
        a, b, wanted, start = (metrics.luma(x) for x in (one, two, truth, fused))
        sources = [edges(tensor(x)) for x in (a, b)]
        little = raised(tensor(start), sources, 0.006, 0.03).numpy()
        much = raised(tensor(start), sources, 1, 1.0).numpy()
        value = [float(preserved(tensor(x), sources)) for x in (wanted, start, much)]
        psnr = [metrics.psnr(x, wanted, data_range=255) for x in (start, little, much)]
        changed = float(np.abs(little - start).mean())
        print(
            f"{number:4}  {value[0]:.4f} {value[1]:.4f}   {changed:.2f} grey levels  "
            f"{psnr[0]:.1f} -> {psnr[1]:.1f}       {value[2]:.4f}       {psnr[2]:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
