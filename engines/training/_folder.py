"""What a training run leaves on disk: checkpoints, a log, the result.

Duty: every file is written whole or not at all. Must not know: how networks learn.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import torch

from zfuse.engines._differences import differences
from zfuse.errors import ZfuseError
from zfuse.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RunFolder", "read_weights"]


class RunFolder:
    """The folder of one run: ``last.pt``, ``best.pt``, ``log.csv``, ``result.json``.

    Parameters
    ----------
    path
        Made anew; or, to resume, one with a checkpoint in it.

    Raises
    ------
    ZfuseError
        It is there already and ``resume`` is false; or it holds no checkpoint to resume.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self._last = path / "last.pt"
        if resume and not self._last.is_file():
            raise ZfuseError(f"nothing to resume in {path}: no last.pt there; leave out --resume")
        if path.exists() and not resume:
            raise ZfuseError(f"{path} exists already: add --resume, or give another --out")
        path.mkdir(parents=True, exist_ok=True)

    def save(self, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Write ``last.pt``, bound to a config."""
        self._write_torch("last.pt", {"config": json.dumps(identity), **state})

    def load(self, identity: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """Read ``last.pt``.

        Raises
        ------
        ZfuseError
            It is damaged, or was made with another config: one line says which key.
        """
        try:
            state: dict[str, Any] = torch.load(self._last, map_location=device, weights_only=True)
            before = json.loads(state.pop("config"))
        except Exception as error:  # torch raises many kinds for a damaged file
            raise ZfuseError(
                f"checkpoint {self._last} is damaged or none of ours; start anew in another folder"
            ) from error
        for key, old, new in differences(before, json.loads(json.dumps(identity))):
            raise ZfuseError(
                f"checkpoint {self._last} was made with {key} = {old!r}, now {new!r}: resume with "
                "the same config, or start anew in another folder"
            )
        return state

    def save_best(
        self, weights: Mapping[str, Any], config: Mapping[str, Any], scores: Mapping[str, float]
    ) -> None:
        """Write ``best.pt``: {"networks": {name: state}, "config": JSON, "scores": …}."""
        content = {"networks": weights, "config": json.dumps(config), "scores": dict(scores)}
        self._write_torch("best.pt", content)

    def log(self, row: Mapping[str, float]) -> None:
        """Append one row to ``log.csv``; rows of the same or a later step are replaced."""
        path = self.path / "log.csv"
        rows = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [r for r in csv.DictReader(file) if int(r["step"]) < row["step"]]
        names = dict.fromkeys([name for r in (*rows, row) for name in r])
        with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(names), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Write ``result.json``, from which model cards are made."""
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        with replacing(self.path / "result.json") as new:
            new.write_text(text, encoding="utf-8")

    def _write_torch(self, name: str, content: Mapping[str, Any]) -> None:
        with replacing(self.path / name) as new:
            torch.save(dict(content), new)


def read_weights(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Read the networks of a ``best.pt``.

    Raises
    ------
    ZfuseError
        It cannot be read, or is none of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content["networks"])
    except OSError as error:
        raise ZfuseError(f"cannot read weights {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ZfuseError(f"weights {path} are damaged or none of ours: give a best.pt") from error
