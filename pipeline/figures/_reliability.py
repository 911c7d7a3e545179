"""The reliability diagram: how often depth is right, beside what confidence says.

Duty: one chart from counts and means of bins. Must not know: how they were counted, what makes
depth right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zfuse.pipeline.figures._picture import check_picture, new_picture
from zfuse.pipeline.figures._sheet import Sheet

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["draw_reliability", "reliability_diagram"]

_SIZE, _BELOW = 440, 90  # px: edge of the chart, height of the histogram under it
_LEFT, _TOP, _GAP, _MARGIN = 76, 84, 16, 24
_BARS, _LINE = "#35618f", "#ffb454"


def reliability_diagram(
    samples: ArrayLike, confidence: ArrayLike, right: ArrayLike, *, title: str = "", said: str = ""
) -> Figure:
    """Draw how often samples of about one confidence were right; calibrated ones lie on the line.

    Parameters
    ----------
    samples
        (bins,) how many there are in each bin of equal width over 0..1.
    confidence, right
        (bins,) their mean confidence, and which part of them was right; NaN in empty bins.
    title
        One line above the chart.
    said
        A smaller one under it, for scores.

    Returns
    -------
    matplotlib.figure.Figure
        Its canvas is Agg's.
    """
    counts, sure, hit = (np.asarray(a, np.float64) for a in (samples, confidence, right))
    edges = np.linspace(0, 1, len(counts) + 1)
    sheet = Sheet(_LEFT + _SIZE + _MARGIN, _TOP + _SIZE + _GAP + _BELOW + 52)
    sheet.text(_LEFT, 34, title, 18)
    sheet.text(_LEFT, 62, said, 12)
    axes = sheet.chart((_LEFT, _TOP, _SIZE, _SIZE), "depth within one plane of the truth")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticklabels=[])
    there = counts > 0
    axes.bar(
        edges[:-1][there], hit[there], np.diff(edges)[there], align="edge",
        color=_BARS, edgecolor=axes.get_facecolor(),
    )  # fmt: skip
    axes.plot((0, 1), (0, 1), "--", color="#969ca6", linewidth=1, zorder=3)
    axes.plot(
        sure[there],
        hit[there],
        "o-",
        color=_LINE,
        linewidth=1.5,
        markersize=5,
        zorder=4,
        clip_on=False,
    )
    below = sheet.chart((_LEFT, _TOP + _SIZE + _GAP, _SIZE, _BELOW), "of pixels", "confidence")
    part = counts / max(1.0, counts.sum())
    below.bar(
        edges[:-1], part, np.diff(edges), align="edge", color=_BARS,
        edgecolor=below.get_facecolor(),
    )  # fmt: skip
    top = float(part.max()) or 1.0
    below.set(xlim=(0, 1), ylim=(0, 1.1 * top), yticks=[0, top], yticklabels=["", f"{top:.0%}"])
    return sheet.figure


def draw_reliability(
    samples: ArrayLike,
    confidence: ArrayLike,
    right: ArrayLike,
    output: str | Path,
    *,
    title: str = "",
    said: str = "",
    overwrite: bool = False,
) -> Path:
    """Draw the reliability diagram to a PNG.

    Parameters
    ----------
    samples, confidence, right, title, said
        See `reliability_diagram`.
    output
        Path that ends in ``.png``.
    overwrite
        Replace a picture that exists.

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    ZfuseError
        The picture exists or cannot be written.
    """
    target = check_picture(output, overwrite=overwrite)
    figure = reliability_diagram(samples, confidence, right, title=title, said=said)
    with new_picture(target) as new:
        figure.savefig(new, dpi="figure", format="png")
    return target
