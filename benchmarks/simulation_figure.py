"""Draw docs/simulate.jpg: planes, truth and depth of one simulated stack of each kind.

python benchmarks/simulation_figure.py docs/simulate.jpg
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from zfuse.pipeline.figures._overview import (
    _VIRIDIS,
    _coloured,
    _mapped,
    _robust_range,
    _Scale,
    _text,
)
from zfuse.pipeline.simulation import make_settings, simulate

if TYPE_CHECKING:
    from zfuse.pipeline.simulation import Simulated

_SIZE, _GAP, _HEAD = 208, 6, 24
_KINDS: dict[str, dict[str, Any]] = {
    "relief": {"surface": "spheres", "seed": 3},
    "fluorescence": {},
    "section": {},
}


def row(stack: Simulated) -> list[Image.Image]:
    """Draw three planes, the true image and the true depth."""
    limits = [_robust_range(stack.image, 0.1, 99.8)]
    count = len(stack.planes)
    panels = [
        _coloured(stack.planes[n], limits, rgb=False) for n in (count // 4, count // 2, -count // 4)
    ]
    panels.append(_coloured(stack.image, limits, rgb=False))
    low, high = np.nanmin(stack.depth_um), np.nanmax(stack.depth_um)
    panels.append(_mapped(stack.depth_um, _Scale(float(low), float(high), _VIRIDIS, "µm")))
    return [
        Image.fromarray(p).resize((_SIZE, _SIZE), Image.Resampling.LANCZOS) for p in panels[:-1]
    ] + [Image.fromarray(panels[-1]).resize((_SIZE, _SIZE), Image.Resampling.NEAREST)]


def main() -> None:
    width = 5 * _SIZE + 4 * _GAP
    sheet = Image.new("RGB", (width, 3 * (_SIZE + _HEAD)), (16, 17, 20))
    draw = ImageDraw.Draw(sheet)
    for number, (kind, given) in enumerate(_KINDS.items()):
        stack = simulate(make_settings(kind, size=416, **given))
        top = number * (_SIZE + _HEAD)
        _text(draw, (4, top + 17), f"{stack.settings}"[:150], 13)
        for column, panel in enumerate(row(stack)):
            sheet.paste(panel, (column * (_SIZE + _GAP), top + _HEAD))
    sheet.save(sys.argv[1], quality=90, optimize=True)


if __name__ == "__main__":
    main()
