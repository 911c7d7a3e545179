"""A dark sheet with pictures whose size is given in pixels of the screen.

Duty: panels, their titles, colour bars and scale bars, by matplotlib's objects; no state of pyplot
is touched. Must not know: what is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["BACKGROUND", "Sheet", "round_length"]

BACKGROUND = "#101114"
_INK, _FAINT, _UNKNOWN = "#eceef1", "#969ca6", "#46141e"
_BAR = 14  # px
_DPI = 100
_POINT = 72 / _DPI  # of one pixel


class Sheet:
    """A figure that is laid out in pixels, from its upper left corner.

    Attributes
    ----------
    figure
        matplotlib's figure.
    """

    def __init__(self, width: int, height: int) -> None:
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=BACKGROUND)
        FigureCanvasAgg(self.figure)
        self._size = (width, height)

    def text(self, left: float, baseline: float, text: str, pixels: float = 16) -> None:
        """Write one line, from its left end on its base line; dollar signs are no formulas."""
        width, height = self._size
        self.figure.text(
            left / width, 1 - baseline / height, text, color=_INK, fontsize=pixels * _POINT,
            parse_math=False,
        )  # fmt: skip

    def picture(
        self, box: tuple[int, int, int, int], pixels: NDArray[np.uint8], title: str = ""
    ) -> Axes:
        """Draw a picture.

        Parameters
        ----------
        box
            Left, top, width and height.
        pixels
            (Y, X, 3) uint8.
        title
            One line above it.
        """
        axes = self._axes(box, title)
        axes.imshow(pixels, aspect="auto", interpolation=_interpolation(box, pixels))
        return axes

    def map(
        self,
        box: tuple[int, int, int, int],
        values: NDArray[Any],
        limits: tuple[float, float],
        *,
        colours: str = "viridis",
        title: str = "",
        unit: str | None = "",
    ) -> Axes:
        """Draw a map in false colours, with a bar on its right.

        Parameters
        ----------
        box
            Left, top, width and height of the map; the bar needs 66 px more.
        values
            (Y, X); NaN is dark red.
        limits
            Values at both ends of the bar.
        colours
            Name of a colour map of matplotlib.
        title
            One line above it.
        unit
            Above the bar; None leaves the bar out.
        """
        axes = self._axes(box, title)
        shown = axes.imshow(
            values, colormaps[colours].with_extremes(bad=_UNKNOWN), vmin=limits[0], vmax=limits[1],
            aspect="auto", interpolation=_interpolation(box, values),
        )  # fmt: skip
        if unit is not None:
            left, top, width, height = box
            beside = self._axes((left + width + 6, top, _BAR, height), unit, faint=True)
            beside.set_axis_on()
            drawn = self.figure.colorbar(shown, cax=beside, ticks=MaxNLocator(6))
            beside.tick_params(colors=_FAINT, labelsize=13 * _POINT, length=3)
            drawn.outline.set_visible(False)
        return axes

    def chart(self, box: tuple[int, int, int, int], vertical: str, level: str = "") -> Axes:
        """Return an empty chart whose axes are drawn.

        Parameters
        ----------
        box
            Left, top, width and height of its inside; labels need 66 px on the left, 48 below.
        vertical, level
            What its axes show.
        """
        axes = self._axes(box, "")
        axes.set_axis_on()
        axes.set_facecolor(BACKGROUND)
        axes.tick_params(colors=_FAINT, labelsize=13 * _POINT, length=3)
        axes.set_ylabel(vertical, color=_INK, fontsize=14 * _POINT)
        axes.set_xlabel(level, color=_INK, fontsize=14 * _POINT)
        for spine in axes.spines.values():
            spine.set_color(_FAINT)
        return axes

    def label(self, axes: Axes, text: str) -> None:
        """Write one line into the lower left corner of a picture; legible on any."""
        shadow = withStroke(linewidth=2, foreground=BACKGROUND)
        axes.annotate(
            text, (0, 0), (6, 6), "axes fraction", "offset pixels", color=_INK,
            fontsize=13 * _POINT, path_effects=[shadow], parse_math=False,
        )  # fmt: skip

    def scale_bar(self, axes: Axes, microns: float) -> None:
        """Draw a bar of a round length, about a fifth of the picture, with its length above.

        Parameters
        ----------
        axes
            Of a picture or a map.
        microns
            Size of one of its pixels.
        """
        low, high = axes.get_xlim()
        length = round_length((high - low) * microns / 5)
        label = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
        height = abs(np.subtract(*axes.get_ylim())) / 150
        bar = AnchoredSizeBar(
            axes.transData, length / microns, label, "lower left", pad=0.4, sep=4, color=_INK,
            label_top=True, size_vertical=height,
            fontproperties={"size": 15 * _POINT},
        )  # fmt: skip
        bar.patch.set(facecolor=BACKGROUND, alpha=0.55, linewidth=0)
        axes.add_artist(bar)

    def _axes(self, box: tuple[int, int, int, int], title: str, *, faint: bool = False) -> Axes:
        left, top, width, height = box
        full = self._size
        axes = self.figure.add_axes(
            (left / full[0], 1 - (top + height) / full[1], width / full[0], height / full[1])
        )
        axes.set_axis_off()
        colour, size = (_FAINT, 13) if faint else (_INK, 16)
        axes.set_title(
            title, loc="left", color=colour, fontsize=size * _POINT, pad=8 * _POINT,
            parse_math=False,
        )  # fmt: skip
        return axes


def _interpolation(box: tuple[int, int, int, int], pixels: NDArray[Any]) -> str:
    """Whole pixels as they are; else antialiased, by matplotlib's own rule."""
    rows, columns = pixels.shape[:2]
    return "nearest" if (columns, rows) == box[2:] else "auto"


def round_length(value: float) -> float:
    """Round down to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(n for n in (1, 2, 5) if n * power <= value * (1 + 1e-9)) * power)
