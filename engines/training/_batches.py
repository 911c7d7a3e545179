"""Batches for every step, drawn ahead in the background.

Duty: mixes by share, sources by weight, one generator a step, a bounded number of batches in
memory. Must not know: networks, how scenes are made.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zfuse.engines.training._recipe import Batch, collate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from zfuse.engines.training._scenes import SceneSource

__all__ = ["BatchSource", "Batches"]


@dataclass(frozen=True)
class BatchSource:
    """Sources whose scenes fit into one batch: the same size and number of planes.

    Attributes
    ----------
    sources, weights
        Where scenes come from, and how often each is drawn from.
    size
        Scenes in a batch.
    share
        How often a batch is of this mix, beside others.
    """

    sources: Sequence[SceneSource]
    weights: Sequence[float]
    size: int
    share: float = 1.0


class Batches:
    """A context manager that gives the batch of each step in turn.

    The generator of a step is seeded by the run's seed and the step's number: batches are the same
    however many threads draw them, and a resumed run needs no generator's state.

    Parameters
    ----------
    mixes
        Each batch is of one mix.
    channels
        1 or 3, see `collate`.
    seed
        Of the run.
    first
        Number of the first step that is wanted.
    workers
        Threads that draw. With several, ``draw`` of a source is called concurrently.
    """

    def __init__(
        self,
        mixes: Sequence[BatchSource],
        *,
        channels: int,
        seed: int,
        first: int = 0,
        workers: int = 1,
    ) -> None:
        self._mixes = mixes
        self._channels = channels
        self._seed = seed
        self._next = first
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
        self._ahead: deque[Future[Batch]] = deque()
        self._depth = 2 * workers + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __next__(self) -> Batch:
        while len(self._ahead) <= self._depth:
            self._ahead.append(self._pool.submit(self._draw, self._next))
            self._next += 1
        return self._ahead.popleft().result()

    def __iter__(self) -> Self:
        return self

    def _draw(self, step: int) -> Batch:
        rng = np.random.default_rng([self._seed, step])
        mix = self._mixes[_choose(rng, [mix.share for mix in self._mixes], 1)[0]]
        chosen = _choose(rng, mix.weights, mix.size)
        return collate([mix.sources[index].draw(rng, step) for index in chosen], self._channels)


def _choose(rng: np.random.Generator, weights: Sequence[float], count: int) -> list[int]:
    shares = np.asarray(weights, np.float64)
    return [int(i) for i in rng.choice(len(shares), count, p=shares / shares.sum())]
