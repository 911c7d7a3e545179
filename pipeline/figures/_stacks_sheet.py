"""One picture of an acquisition: every stack's fused image and depth, as far as it has come.

Duty: what goes where. Must not know: files, microscopes, methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.figures._contrast import coloured, contrast
from zfuse.pipeline.figures._sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["stacks_sheet"]

_PANEL = 232  # px, its height
_MARGIN, _GAP, _BETWEEN, _TITLE, _HEAD, _BAR = 24, 4, 22, 44, 30, 66
_EMPTY = np.full((1, 1, 3), 26, np.uint8)


def stacks_sheet(
    columns: Sequence[str],
    rows: Sequence[str],
    channels: Sequence[str],
    stacks: Mapping[tuple[int, int], Mapping[int, tuple[NDArray[Any], NDArray[np.float32]]]],
    *,
    shape: tuple[int, int],
    depth_range: tuple[float, float],
    unit: str = "µm",
    pixel_size: float | None = None,
    title: str = "",
    notes: Mapping[tuple[int, int], str] | None = None,
) -> Figure:
    """Draw the stacks that are there, and room for those that will come.

    Parameters
    ----------
    columns, rows
        Names of the positions and of the time points.
    channels
        Their names.
    stacks
        By column and row, then by channel: fused image (Y, X) and depth (Y, X) in `unit`. All
        images of a channel have the contrast of the first.
    shape
        Height and width of the images.
    depth_range
        Of the colours.
    unit
        Of depth.
    pixel_size
        µm, for the scale bar; none is drawn when unknown.
    title
        One line above everything.
    notes
        A few words on a stack, by column and row.

    Returns
    -------
    matplotlib.figure.Figure
        Its canvas is Agg's.
    """
    wide = round(_PANEL * shape[1] / shape[0])
    cell = len(channels) * (wide + _GAP) - _GAP + _BETWEEN
    tall = _HEAD + 2 * _PANEL + _GAP + _BETWEEN
    top = _MARGIN + (_TITLE if title else 0)
    sheet = Sheet(
        2 * _MARGIN + len(columns) * cell - _BETWEEN + _BAR,
        top + len(rows) * tall - _BETWEEN + _MARGIN,
    )
    if title:
        sheet.text(_MARGIN, _MARGIN + 18, title, 22)
    limits: dict[int, list[tuple[float, float]]] = {}
    for at in sorted(stacks, key=lambda at: at[::-1]):
        for c, (image, _) in stacks[at].items():
            limits.setdefault(c, contrast(image))
    for row, its_row in enumerate(rows):
        for column, its_column in enumerate(columns):
            done = stacks.get((column, row), {})
            note = (notes or {}).get((column, row), "")
            x, y = _MARGIN + column * cell, top + row * tall + _HEAD
            sheet.text(x, y - 9, " · ".join(s for s in (its_column, its_row, note) if s), 15)
            for c, name in enumerate(channels):
                box = (x + c * (wide + _GAP), y, wide, _PANEL)
                below = (box[0], y + _PANEL + _GAP, wide, _PANEL)
                if c not in done:
                    sheet.label(sheet.picture(box, _EMPTY), f"{name}: to come")
                    sheet.picture(below, _EMPTY)
                    continue
                image, depth = done[c]
                shown = sheet.picture(box, coloured(image, limits[c]))
                sheet.label(shown, name)
                last = column == len(columns) - 1 and c == len(channels) - 1
                mapped = sheet.map(below, depth, depth_range, unit=unit if last else None)
                if pixel_size and (column, row, c) == (0, 0, 0):
                    sheet.scale_bar(mapped, pixel_size)
    return sheet.figure
