"""Tables of scores in Markdown, and whether what was asked is reached.

Duty: means, worst cases, layout, digits. Must not know: data, metrics, methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from quality_sets import DataSet

Scores = dict[str, float]
Results = dict[str, list[Scores]]  # by method, one entry a case


@dataclass(frozen=True)
class Target:
    """One figure that was asked for."""

    text: str
    value: Callable[[Results], float]
    limit: float
    at_most: bool = False

    def row(self, results: Results) -> str:
        """Return a Markdown row; NaN (its reference is missing) is not met."""
        value = self.value(results)
        met = value <= self.limit if self.at_most else value >= self.limit
        sign = "≤" if self.at_most else "≥"
        verdict = "not measured" if np.isnan(value) else "yes" if met else "**no**"
        return f"| {self.text} | {sign} {self.limit:g} | {value:.5g} | {verdict} |"


def mean(results: Results, method: str, score: str) -> float:
    """Mean over the cases; NaN when the method or the score is missing."""
    values = [scores[score] for scores in results.get(method, []) if score in scores]
    return float(np.mean(values)) if values else float("nan")


def markdown(data_set: DataSet, names: list[str], results: Results) -> str:
    """Return the tables of one data set, then its targets.

    Parameters
    ----------
    data_set
        What was measured.
    names
        Its cases.
    results
        Scores by method, one entry a case; empty where there is none.
    """
    scores = list(dict.fromkeys(key for rows in results.values() for row in rows for key in row))
    parts = []
    if data_set.relative_to:
        results = _relative(results, data_set.relative_to)
    if data_set.by_case:
        parts += _case_tables(scores, names, results, bool(data_set.relative_to))
    else:
        parts.append(_mean_table(data_set, scores, names, results))
    if data_set.targets:
        rows = [target.row(results) for target in data_set.targets]
        head = "| what was asked for | asked | reached | met |\n|---|---|---|---|"
        parts.append("\n".join([head, *rows]))
    return "\n\n".join(parts)


def _relative(results: Results, to: str) -> Results:
    """Divide all scores by those of one row; where it has none, nothing is left."""
    whole = results.get(to) or [{}] * len(next(iter(results.values())))
    return {
        method: [
            {score: value / one[score] for score, value in row.items() if one.get(score)}
            for row, one in zip(rows, whole, strict=True)
        ]
        for method, rows in results.items()
    }


def _case_tables(scores: list[str], names: list[str], results: Results, ratios: bool) -> list[str]:
    """Few cases: one table, the cases side by side in its cells. Many: a table a score.

    Cases of one name are averaged; ratios of all names have a geometric mean.
    """
    kinds = list(dict.fromkeys(names))

    def means(rows: list[Scores], score: str) -> list[float | None]:
        found = {
            kind: [
                row[score] for n, row in zip(names, rows, strict=True) if n == kind and score in row
            ]
            for kind in kinds
        }
        return [float(np.mean(f)) if f else None for f in found.values()]

    def values(rows: list[Scores], score: str) -> list[str]:
        return [_number(score, value) for value in means(rows, score)]

    def overall(rows: list[Scores], score: str) -> str:
        logs = [np.log(value) for value in means(rows, score) if value]
        return _number(score, float(np.exp(np.mean(logs))) if len(logs) == len(kinds) else None)

    if len(kinds) <= 4:
        lines = [f"| each cell: {' / '.join(kinds)} | " + " | ".join(scores) + " |"]
        lines.append("|---" * (len(scores) + 1) + "|")
        for method, rows in results.items():
            cells = (
                " / ".join(values(rows, score)).strip("/ ") or _blank(rows) for score in scores
            )
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        return ["\n".join(lines)]
    tables = []
    for score in scores:
        lines = [f"| {score} | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
        columns = zip(*(values(rows, score) for rows in results.values()), strict=True)
        lines += [
            f"| {kind} | " + " | ".join(cells) + " |"
            for kind, cells in zip(kinds, columns, strict=True)
        ]
        if ratios:
            cells = (overall(rows, score) for rows in results.values())
            lines.append("| **geometric mean** | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return tables


def _mean_table(data_set: DataSet, scores: list[str], names: list[str], results: Results) -> str:
    head = [f"{s} (worst)" if s in data_set.worst else s for s in scores]
    lines = [f"| mean of {len(names)} | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for method, rows in results.items():
        cells = []
        for score in scores:
            text = _number(score, mean(results, method, score))
            if text and score in data_set.worst:
                worst = data_set.worst[score](row[score] for row in rows if score in row)
                text += f" ({_number(score, worst)})"
            cells.append(text or _blank(rows))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _blank(rows: list[Scores]) -> str:
    """Return a dash for a method that was left out; nothing where a score does not apply."""
    return "" if any(rows) else "–"


_DECIMALS = {
    "PSNR dB": 2, "mean error": 1, "95 % of errors below": 1, "mean error in the first 1.5 px": 1,
    "noise": 2, "blotches": 2, "bias, % of the background": 1, "noise gain": 2,
    "spatial frequency": 2, "average gradient": 2, "noise in flat areas": 2,
}  # fmt: skip


def _number(score: str, value: float | None) -> str:
    """Four decimals unless the score is a coarser one."""
    if value is None or np.isnan(value):
        return ""
    return f"{value:.{_DECIMALS.get(score, 4)}f}"
