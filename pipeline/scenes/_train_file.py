"""The file that `zfuse train` follows: a training run and where its scenes come from.

Duty: YAML, options over it, one-line errors, where the data came from. Must not know: how networks
learn, the terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from zfuse.engines.training import BatchSource, TrainConfig
from zfuse.errors import ZfuseError
from zfuse.pipeline.core import Settings, read_yaml
from zfuse.pipeline.scenes._pairs import PairScenes, RecomposedScenes
from zfuse.pipeline.scenes._stacks import MergedScenes, SharpScenes, SimulatedScenes
from zfuse.pipeline.scenes._validation import ValidationPairs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TrainFile", "describe_data", "load_train_file"]

AnyScenes = Annotated[
    PairScenes | RecomposedScenes | SharpScenes | SimulatedScenes | MergedScenes,
    Field(discriminator="kind"),
]


class BatchConfig(Settings):
    """Batches of one kind: scenes of the same size and number of planes."""

    share: float = Field(1.0, gt=0, description="how often a batch is of this kind")
    size: int = Field(8, ge=1, description="scenes in a batch")
    crop: int = Field(64, ge=16, description="edge of the scenes in px")
    planes: int = Field(2, ge=2, description="of a scene")
    sources: tuple[AnyScenes, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pairs_have_two(self) -> BatchConfig:
        pairs = PairScenes | RecomposedScenes
        if self.planes != 2 and any(isinstance(s, pairs) for s in self.sources):
            raise ValueError(f"planes = {self.planes}, but pairs have 2: give them their own batch")
        return self

    def open(self, root: Path) -> BatchSource:
        """Open the sources."""
        sources = [source.open(self.crop, self.planes, root) for source in self.sources]
        return BatchSource(sources, [s.weight for s in self.sources], self.size, self.share)


class TrainFile(TrainConfig, Settings):
    """A training run with its sources; folders are relative to the data root (``--data``)."""

    ready_made = "train"

    batches: tuple[BatchConfig, ...] = Field(min_length=1)
    held_out: ValidationPairs = ValidationPairs()

    @model_validator(mode="after")
    def _planes_fit(self) -> TrainFile:
        wanted = self.recipe.planes
        for batch in self.batches:
            if wanted is not None and batch.planes != wanted:
                raise ValueError(
                    f"planes = {batch.planes}, but {self.recipe.network} fuses {wanted} at a time"
                )
        return self


def load_train_file(
    path: Path, network: str, pairs: Sequence[str], options: dict[str, Any]
) -> TrainFile:
    """Read a config and lay options over it.

    Parameters
    ----------
    path
        YAML file, or a ready-made one by its name, e.g. ``train-umis``.
    network
        That the command names; the file must be for the same.
    pairs
        ``KEY=VALUE``; a key may be a path with dots: ``recipe.ssim=0.5``,
        ``batches.0.size=4``.
    options
        Keys that win over the file; None: not given.

    Raises
    ------
    ZfuseError
        One line: which key, which value, what is allowed.
    """
    values = TrainFile.read_file(path)
    for pair in pairs:
        _set(values, pair)
    values |= {key: value for key, value in options.items() if value is not None}
    config = TrainFile.checked(values, f"config {path}")
    if config.recipe.network != network:
        raise ZfuseError(
            f"config {path} trains {config.recipe.network!r}, not {network!r}: give its own config"
        )
    return config


def _set(values: dict[str, Any], pair: str) -> None:
    key, equals, text = pair.partition("=")
    if not equals:
        raise ZfuseError(f"--set {pair!r}: write KEY=VALUE, e.g. --set learning_rate=0.001")
    *path, last = key.strip().split(".")
    place: Any = values
    try:
        value = read_yaml(text, "the value")
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = value
    except ZfuseError as error:
        raise ZfuseError(f"--set {pair!r}: the value is no number, word or list") from error
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise ZfuseError(f"--set {pair!r}: there is no such key in the config") from error


def describe_data(config: TrainFile, root: Path) -> dict[str, list[str]]:
    """Return the text of each SOURCE.txt above the folders: whose data it is, which licence."""
    found: dict[str, list[str]] = {}
    for source in (source for batch in config.batches for source in batch.sources):
        values = source.model_dump()
        for folder in [values["folder"]] if "folder" in values else values.get("folders", ()):
            for place in (Path(folder), *Path(folder).parents):
                notes = root / place / "SOURCE.txt"
                if notes.is_file():
                    found[place.as_posix()] = notes.read_text(encoding="utf-8").splitlines()
                    break
    return found
