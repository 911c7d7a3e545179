"""The tables of trust in Markdown: what was asked, what is reached, and the cases behind it.

Must not know: data, metrics, methods.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure that was asked for, by who fused: this zfuse first, the one before second."""

    text: str
    values: dict[str, float]
    limit: float
    at_most: bool = True

    def line(self) -> str:
        """Return a Markdown row."""
        value, *before = self.values.values()
        met = value <= self.limit if self.at_most else value >= self.limit
        verdict = "not measured" if not isfinite(value) else "yes" if met else "**no**"
        sign = "≤" if self.at_most else "≥"
        cells = [self.text, _digits(before[0]) if before else "", f"{sign} {self.limit:g}"]
        return "| " + " | ".join([*cells, _digits(value), verdict]) + " |"


@dataclass(frozen=True)
class Row:
    """One kind of figure, and the cases behind it as a table."""

    figures: list[Figure]
    head: list[str]
    cells: list[list[str]]

    def table(self) -> str:
        """Return the cases in Markdown."""
        lines = ["| " + " | ".join(self.head) + " |", "|---" * len(self.head) + "|"]
        return "\n".join([*lines, *("| " + " | ".join(line) + " |" for line in self.cells)])

    def beside(self, earlier: Row) -> Row:
        """Return the same with an earlier run's figures as those before."""
        known = {figure.text: next(iter(figure.values.values())) for figure in earlier.figures}
        figures = [
            replace(f, values=f.values | {"before": known[f.text]}) if f.text in known else f
            for f in self.figures
        ]
        return replace(self, figures=figures)

    def as_json(self) -> dict[str, Any]:
        """Return what `of_json` takes."""
        return asdict(self)

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Row:
        """Return a row that was kept."""
        return cls([Figure(**f) for f in found["figures"]], found["head"], found["cells"])


def summary(rows: list[Row]) -> str:
    """Return all figures that were asked for."""
    head = "| what | before | asked | reached | met |\n|---|---|---|---|---|"
    return "\n".join([head, *(figure.line() for row in rows for figure in row.figures)])


def _digits(value: float) -> str:
    return f"{value:.4g}" if isfinite(value) else "–"
