"""One training run from its first step to its result.

Duty: when to validate, to write, to stop. Must not know: what a network learns, files of configs
and images, the terminal.
"""

from __future__ import annotations

import math
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from zfuse.engines.training._batches import Batches, BatchSource
from zfuse.engines.training._folder import RunFolder, read_weights
from zfuse.engines.training._trainer import Trainer
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zfuse.engines.training._config import TrainConfig
    from zfuse.engines.training._scenes import Scene

__all__ = ["Watcher", "train"]


class Watcher(Protocol):
    """Who is told how a run goes."""

    def stepped(self, fraction: float) -> None:
        """Take how much of the run, 0..1, is done; called after every step."""

    def validated(self, row: Mapping[str, float], *, best: bool) -> None:
        """Take a row of the log; ``best``: its score is the highest so far."""


def train(
    config: TrainConfig,
    sources: Sequence[BatchSource],
    held_out: Sequence[Scene],
    out: Path,
    watcher: Watcher,
    *,
    start: Path | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a network.

    Parameters
    ----------
    config
        What is trained, and how.
    sources
        Where batches come from.
    held_out
        Scenes that decide which weights are best; none: the negative training loss decides.
    out
        Folder that is made; with ``resume`` one that a former run left.
    watcher
        Is told of steps and validations.
    start
        A ``best.pt`` whose weights are the first ones, to fine-tune them; None: random ones.
    resume
        Go on from ``out/last.pt``. Where sources keep nothing between draws, the numbers are those
        of a run that was never stopped (on a CPU, with steps and not minutes).
    stop
        Asked after every step; true ends the run with a checkpoint that can be resumed.
    about
        Written into ``result.json`` as it is, e.g. where data came from.

    Returns
    -------
    dict
        What ``result.json`` holds; ``ended`` says why: steps, minutes, patience or stopped.

    Raises
    ------
    ZfuseError
        The folder, checkpoint or device will not do, or the loss is no longer finite.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    trainer = Trainer(config)
    if start is not None:
        trainer.start_from(read_weights(start))
    folder = RunFolder(out, resume=resume)
    run = _Run(config, trainer, folder, held_out, watcher)
    if resume:
        run.restore()
    run.save()
    with Batches(
        sources,
        channels=config.recipe.channels,
        seed=config.seed,
        first=trainer.step,
        workers=config.workers,
    ) as batches:
        ended = run.follow(batches, stop)
    result = {
        "network": config.recipe.network,
        "ended": ended,
        "steps": trainer.step,
        "seconds": round(run.seconds(), 1),
        "best": run.best,
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
        "hardware": _hardware(trainer.device),
        "torch": torch.__version__,
        **(about or {}),
    }
    folder.save_result(result)
    return result


class _Run:
    """The clock, the best score, and the decisions that hang on them."""

    def __init__(
        self,
        config: TrainConfig,
        trainer: Trainer,
        folder: RunFolder,
        held_out: Sequence[Scene],
        watcher: Watcher,
    ) -> None:
        self._config = config
        self._trainer = trainer
        self._folder = folder
        self._held_out = held_out
        self._watcher = watcher
        self._began = time.monotonic()
        self._earlier = 0.0  # seconds of the runs that this one resumes
        self._logged = 0  # step of the last row
        self._stale = 0  # validations since the best one
        self.best: dict[str, float] = {}

    def seconds(self) -> float:
        """Return how long the run has taken, all its parts together."""
        return self._earlier + time.monotonic() - self._began

    def fraction(self) -> float:
        """Return how much of the run is done, by steps or by the clock, whichever is nearer."""
        config = self._config
        by_steps = self._trainer.step / config.steps if config.steps else 0.0
        by_clock = self.seconds() / (60 * config.minutes) if config.minutes else 0.0
        return max(by_steps, by_clock)

    def follow(self, batches: Batches, stop: Callable[[], bool]) -> str:
        """Train until something ends the run, and return what."""
        config, trainer = self._config, self._trainer
        ended = self._ended()
        while ended is None:
            trainer.advance(next(batches), self.fraction())
            self._watcher.stepped(min(self.fraction(), 1.0))
            if trainer.step % config.validate_every == 0:
                self._validate()
            ended = self._ended()
            if ended is None and stop():
                ended = "stopped"
        if ended != "stopped" and self._logged < trainer.step:
            self._validate()
        self.save()
        return ended

    def _ended(self) -> str | None:
        config = self._config
        if config.patience is not None and self._stale >= config.patience:
            return "patience"
        if self.fraction() < 1:
            return None
        return "steps" if config.steps and self._trainer.step >= config.steps else "minutes"

    def _validate(self) -> None:
        trainer = self._trainer
        means = trainer.mean_losses()
        held_out = self._held_out
        scores = dict(trainer.validate(held_out)) if held_out else {"score": -means["loss"]}
        better = scores["score"] > self.best.get("score", -math.inf)
        row = {
            "step": trainer.step,
            "seconds": round(self.seconds(), 1),
            "learning_rate": trainer.learning_rate(self.fraction()),
            **{name if name == "loss" else f"loss_{name}": v for name, v in means.items()},
            **scores,
        }
        self._logged = trainer.step
        self._stale = 0 if better else self._stale + 1
        if better:
            self.best = {"step": trainer.step, **scores}
            whole = self._config.model_dump(mode="json")
            self._folder.save_best(trainer.weights(), whole, self.best)
        self._folder.log(row)
        self.save()
        self._watcher.validated(row, best=better)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "trainer": self._trainer.state(),
            "seconds": self.seconds(),
            "logged": self._logged,
            "stale": self._stale,
            "best": self.best,
        }
        self._folder.save(state, self._config.identity())

    def restore(self) -> None:
        """Read the checkpoint."""
        state = self._folder.load(self._config.identity(), self._trainer.device)
        try:
            self._trainer.restore(state["trainer"])
            self._earlier = state["seconds"]
            self._logged, self._stale, self.best = state["logged"], state["stale"], state["best"]
        except (KeyError, RuntimeError) as error:
            raise ZfuseError(
                f"the checkpoint in {self._folder.path} is of another version of zfuse: start anew "
                "in another folder"
            ) from error


def _hardware(device: torch.device) -> str:
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}; {cores}"
    return f"{_processor()}, {cores}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # elsewhere platform knows the name
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
