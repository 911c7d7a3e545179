"""All tiles of a run: taken from the plan as they are needed, stopped together, one error told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline import make_job
from zfuse.pipeline._plan import TilePlan
from zfuse.pipeline._tiles import run_job
from zfuse.pipeline.core import BaseReader, Channel, Progress, Stack
from zfuse.pipeline.methods import make_method


class Damaged(BaseReader):
    """Every plane of it is missing."""

    def fill(self, t: int, z: slice, y: slice, x: slice, out: Any) -> None:
        raise ZfuseError("a chunk is missing")


def test_a_wide_image_is_looked_at_before_all_its_tiles_are_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiles, made = TilePlan.tiles, []

    def counted(self: TilePlan) -> Any:
        for tile in tiles(self):
            made.append(tile)
            yield tile

    monkeypatch.setattr(TilePlan, "tiles", counted)
    reader = Damaged((1, 1, 3, 64, 10**9), np.dtype(np.uint16), (1, 64, 4096))
    stack = Stack(reader, "zyx", "wide", "", (Channel("channel 0"),))
    job = make_job(stack, make_method("select"), workers=2, tile=1024)
    with pytest.raises(ZfuseError, match="a chunk is missing"):
        run_job(job, lambda *_: None, Progress())
    assert len(made) < 1000
