"""A session fuses what comes as a run would, and what goes wrong stays with its stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

import zfuse
from tests.support.live import Acquisition
from zfuse.live import Session, StackKey

if TYPE_CHECKING:
    from pathlib import Path


def run(acquisition: Acquisition, output: Path | None, **settings: Any) -> Any:
    session = Session(output, workers=2, **settings)
    session.begin(acquisition.series())
    for frame in acquisition.frames():
        session.put(frame)
    return session.end()


@pytest.mark.parametrize("method", ["select", "adaptive"])
def test_stacks_are_fused_as_a_whole_stack_is(tmp_path: Path, method: str) -> None:
    acquisition = Acquisition(positions=2, times=2, channels=2)
    acquisition.planes = {(StackKey(1, 0), 1): 3, (StackKey(0, 1), 0): 6}
    report = run(acquisition, tmp_path / "f.ome.zarr", method=method)
    assert not report.problem
    assert [stack.status for stack in report.stacks] == ["complete"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["f.ome.zarr"]
    group = zarr.open_group(tmp_path / "f.ome.zarr", mode="r")
    for key in acquisition.keys():
        for c in range(2):
            fused = zfuse.fuse(acquisition.stack(key, c), method)
            at = (key.t, c, 0)
            np.testing.assert_array_equal(group[f"{key.p}/0"][at], fused.image)
            np.testing.assert_allclose(
                group[f"{key.p}/depth/0"][at], fused.depth * 0.5, atol=1 / 512
            )


def test_without_output_results_go_to_the_callback() -> None:
    told = {}
    report = run(Acquisition(times=2), None, on_fused=lambda key, c, fused: told.update({key: c}))
    assert told == {StackKey(0, 0): 0, StackKey(0, 1): 0}
    assert len(report.stacks) == 2
    assert report.output is None
