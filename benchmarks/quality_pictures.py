"""Pictures of fused simulated stacks at 100 %, for docs/quality.md.

Duty: crops side by side with labels, each sheet below 300 kB. Only simulated stacks: the others may
not be redistributed. Must not know: scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import quality_data
from quality_memory import has_weights

import zfuse
from zfuse.pipeline import evaluation as metrics
from zfuse.pipeline.figures import Sheet, robust_range

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from quality_data import Case
    from quality_peers import Peer

_SIZE, _GAP, _HEAD = 200, 4, 22
_PEERS = {"enfuse (hard mask)": "enfuse", "DTCWT (5 levels)": "DTCWT"}
_METHODS = ("select", "laplacian", "adaptive", "umis", "pdmnet", "fusionnet")
_DEPTHS = ("select", "guided", "adaptive", "umis", "pdmnet")
# data set, case, top left corner of the crop, gamma
_SHEETS = (
    ("simulated", "mixed-sparse", (60, 60), 1.0),
    ("simulated", "spheres-spots", (60, 60), 0.6),
    ("optics", "fluorescence", (60, 60), 0.5),
    ("optics", "section", (60, 60), 1.0),
)


def draw_all(folder: Path, peers: list[Peer]) -> None:
    """Draw one sheet of images for each of `_SHEETS`, and one of depth maps."""
    folder.mkdir(parents=True, exist_ok=True)
    by_name = {peer.name: peer for peer in peers}
    cases: dict[tuple[str, str], Case] = {}
    for kind in {sheet[0] for sheet in _SHEETS}:
        for case in getattr(quality_data, kind)():
            cases.setdefault((kind, case.name), case)
    for kind, name, corner, gamma in _SHEETS:
        case = cases[kind, name]
        sheet = _sheet(_images(case, by_name), corner, gamma)
        sheet.figure.savefig(folder / f"{name}.png", dpi="figure")
    sheet = _depth_sheet(cases["simulated", "mixed-sparse"])
    sheet.figure.savefig(folder / "depth.png", dpi="figure")


def _images(case: Case, peers: dict[str, Peer]) -> list[tuple[str, NDArray[Any]]]:
    assert case.image is not None
    best = max(case.planes, key=lambda p: metrics.psnr(p, case.image, data_range=65_535))
    rows = [("truth", case.image), ("best single plane", best)]
    rows += [(label, peers[n].fuse(case.planes)) for n, label in _PEERS.items() if n in peers]
    return rows + [(name, zfuse.fuse(case.planes, name).image) for name in _there(_METHODS)]


def _there(names: tuple[str, ...]) -> list[str]:
    """Leave out networks without weights."""
    return [name for name in names if has_weights(name)]


def _sheet(images: list[tuple[str, NDArray[Any]]], corner: tuple[int, int], gamma: float) -> Sheet:
    """Cut the same crop of all, in grey levels of the first."""
    crop = tuple(slice(start, start + _SIZE) for start in corner)
    low, high = robust_range(images[0][1][crop], 0.1, 99.9)
    sheet = _Grid(len(images))
    for name, image in images:
        light = ((np.asarray(image[crop], float) - low) / (high - low)).clip(0, 1) ** gamma
        grey = (light * 255).astype(np.uint8)[..., None].repeat(3, 2)
        sheet.picture(sheet.next_box(), grey, name)
    return sheet


def _depth_sheet(case: Case) -> Sheet:
    assert case.depth is not None
    found = {name: zfuse.fuse(case.planes, name) for name in _there(_DEPTHS)}
    maps = {"true depth": case.depth, **{name: fused.depth for name, fused in found.items()}}
    crop = (slice(60, 60 + _SIZE), slice(60, 60 + _SIZE))
    sheet = _Grid(len(maps))
    for name, depth in maps.items():
        limits = (0, len(case.planes) - 1)
        sheet.map(sheet.next_box(), depth[crop], limits, title=name, unit=None)
    return sheet


class _Grid(Sheet):
    """A sheet of panels of one size, row by row."""

    def __init__(self, panels: int) -> None:
        self._columns = 4 if panels in (4, 8) else 5 if panels > 8 else 3
        self._used = 0
        rows = -(-panels // self._columns)
        super().__init__(self._columns * (_SIZE + _GAP) - _GAP, rows * (_SIZE + _HEAD))

    def next_box(self) -> tuple[int, int, int, int]:
        row, column = divmod(self._used, self._columns)
        self._used += 1
        return column * (_SIZE + _GAP), row * (_SIZE + _HEAD) + _HEAD, _SIZE, _SIZE
