"""Draw docs/simulate.jpg: planes, truth and depth of one simulated stack of each kind.

python benchmarks/simulation_figure.py docs/simulate.jpg
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from zfuse.pipeline.figures import Sheet, coloured, contrast
from zfuse.pipeline.simulation import make_settings, simulate

_SIZE, _GAP, _HEAD = 208, 6, 24
_KINDS: dict[str, dict[str, Any]] = {
    "relief": {"surface": "spheres", "seed": 3},
    "fluorescence": {},
    "section": {},
}


def main() -> None:
    sheet = Sheet(5 * _SIZE + 4 * _GAP, 3 * (_SIZE + _HEAD))
    for number, (kind, given) in enumerate(_KINDS.items()):
        stack = simulate(make_settings(kind, size=416, **given))
        top = number * (_SIZE + _HEAD) + _HEAD
        sheet.text(4, top - 7, f"{stack.settings}"[:150], 13)
        count = len(stack.planes)
        limits = contrast(stack.image)
        pictures = [*(stack.planes[n] for n in (count // 4, count // 2, -count // 4)), stack.image]
        for column, picture in enumerate(pictures):
            box = (column * (_SIZE + _GAP), top, _SIZE, _SIZE)
            sheet.picture(box, coloured(picture, limits))
        low, high = np.nanmin(stack.depth_um), np.nanmax(stack.depth_um)
        box = (4 * (_SIZE + _GAP), top, _SIZE, _SIZE)
        sheet.map(box, stack.depth_um, (float(low), float(high)), unit=None)
    sheet.figure.savefig(sys.argv[1], dpi="figure", pil_kwargs={"quality": 90, "optimize": True})


if __name__ == "__main__":
    main()
