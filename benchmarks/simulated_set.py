"""The simulated stacks that quality figures are measured on: eight reliefs, seeds fixed.

16-bit, 12 to 24 planes, 600 to 3000 photons at full scale, blur growing 0.7 to 1.2 px a plane;
slopes, steps, fractals, spheres and all of them, with varied textures. Run it to see the set and
what copying the pixel of the true depth reaches:

    python benchmarks/simulated_set.py [PICTURE.png]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.simulation import render_phantom

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zfuse.pipeline.simulation import Phantom

# name, relief, texture, planes, photons, blur in px a plane, read noise in electrons
_CASES = (
    ("slope-fine", "slope", "fine", 12, 3000, 1.2, 2.0),
    ("steps-rough", "steps", "rough", 16, 1500, 1.0, 2.0),
    ("fractal-fine", "fractal", "fine", 24, 1000, 0.7, 1.6),
    ("spheres-rough", "spheres", "rough", 20, 2000, 0.9, 2.0),
    ("mixed-sparse", "mixed", "sparse", 16, 800, 1.0, 1.6),
    ("mixed-weak", "mixed", "weak", 12, 3000, 0.8, 2.0),
    ("spheres-spots", "spheres", "spots", 24, 1200, 1.1, 1.6),
    ("fractal-rough", "fractal", "rough", 18, 600, 0.8, 1.6),
)


def simulated_set(size: int = 320) -> list[tuple[str, Phantom]]:
    """Render the set.

    Parameters
    ----------
    size
        Height and width of the planes in pixels.

    Returns
    -------
    list
        Names and stacks with their truth.
    """
    return [
        (
            name,
            render_phantom(
                planes,
                size,
                photons,
                seed=1000 + number,
                relief=relief,
                texture=texture,
                blur=blur,
                read_noise=read_noise,
            ),
        )
        for number, (name, relief, texture, planes, photons, blur, read_noise) in enumerate(_CASES)
    ]


def copied_at_true_depth(phantom: Phantom) -> NDArray[np.uint16]:
    """Copy every pixel from the plane nearest to its true depth."""
    nearest = np.rint(phantom.depth).astype(np.intp)
    return np.take_along_axis(phantom.planes, nearest[None], 0)[0]


def main() -> None:
    from PIL import Image

    from zfuse.pipeline.evaluation import psnr, ssim

    rows = []
    print(f"{'case':<14} planes  range  true depth copied: SSIM  PSNR dB")
    scores = []
    for name, phantom in simulated_set():
        copied, span = copied_at_true_depth(phantom), float(np.ptp(phantom.image))
        score = [metric(copied, phantom.image, data_range=span) for metric in (ssim, psnr)]
        scores.append(score)
        print(
            f"{name:<14} {len(phantom.planes):>6} {span:>6.0f} {score[0]:>24.4f} {score[1]:>8.2f}"
        )
        middle = phantom.planes[len(phantom.planes) // 2]
        depth = phantom.depth / len(phantom.planes) * 40_000
        rows.append(np.hstack([np.asarray(a, float) for a in (phantom.image, middle, depth)]))
    print(
        f"{'mean':<14} {'':>6} {'':>6} {np.mean(scores, 0)[0]:>24.4f} {np.mean(scores, 0)[1]:>8.2f}"
    )
    if len(sys.argv) > 1:
        sheet = np.hstack([np.vstack(rows[:4]), np.vstack(rows[4:])])
        Image.fromarray((sheet / 42_000 * 255).clip(0, 255).astype(np.uint8)).save(sys.argv[1])


if __name__ == "__main__":
    main()
