"""Indices of numbered things of which more may come.

Duty: where a count begins and how wide its steps are, once that is certain. Must not know: what is
counted.
"""

from __future__ import annotations

import itertools
import math

__all__ = ["Labels", "Numbers"]

_MOST_MISSING = 999  # a count that begins above it is a date or the like, not one with a late begin


class Numbers:
    """Turns the numbers in names (1, 2, 3 … or 0, 5, 10 …) into indices from 0.

    With 0 and 1 seen there is only one way to count. Before that the caller says when what was seen
    is all that one stack has.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._base: int | None = None
        self._step = 1

    def see(self, number: int) -> None:
        """Take note of a number."""
        self._seen.add(number)
        if self._base is None and {0, 1} <= self._seen and min(self._seen) == 0:
            self._base = 0

    def settle(self) -> None:
        """Take it that the first number and the smallest step have been seen."""
        if self._base is None and self._seen:
            numbers = sorted(self._seen)
            self._base = numbers[0]
            self._step = math.gcd(*(b - a for a, b in itertools.pairwise(numbers))) or 1

    @property
    def settled(self) -> bool:
        """Whether indices are certain."""
        return self._base is not None

    def index(self, number: int) -> int | None:
        """Return the index of a number; None when it lies below the first or between two steps."""
        if self._base is None or number < self._base or (number - self._base) % self._step:
            return None
        return (number - self._base) // self._step

    def number(self, index: int) -> int:
        """Return the number that has an index."""
        return (self._base or 0) + index * self._step


class Labels:
    """Turns the names of channels, positions or time points into indices.

    Numbers keep their distances, as those that lie between may still come; a count from 1 begins at
    index 0. Words are counted in natural order as far as they are known when the series begins,
    then in the order in which they come.

    Parameters
    ----------
    known
        All of them, in order, where someone knows.
    """

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        self._words: list[str] = list(known)
        self._base: int | None = None
        self.settled = bool(known)

    def settle(self, seen: list[str]) -> None:
        """Begin the series with these, given in natural order."""
        if self.settled or not seen:
            return
        self.settled = True
        if all(label.isdecimal() for label in seen):
            least = min(map(int, seen))
            self._base = least if least <= 1 or least > _MOST_MISSING else 0
        else:
            self._words = list(seen)

    def index(self, label: str) -> int | None:
        """Return the index of a label, the next of a new word; None of a number below the first."""
        if self._base is not None:
            number = int(label) if label.isdecimal() else -1
            return number - self._base if number >= self._base else None
        if label not in self._words:
            self._words.append(label)
        return self._words.index(label)

    def names(self, seen: list[str]) -> tuple[str, ...]:
        """Return the names of all indices up to the last one seen."""
        if self._base is None:
            return tuple(self._words)
        last = max((int(label) for label in seen), default=self._base)
        return tuple(str(number) for number in range(self._base, last + 1))
