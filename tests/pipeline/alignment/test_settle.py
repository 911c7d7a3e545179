"""What a run does about drift: aligned if sure, else left bit for bit, with a warning at need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings, strategies as st
from support.moved import injected, moved, still
from support.runs import Listener, fuse_to, read_zarr, write_image

import zfuse
from zfuse.pipeline.alignment import settle_drift
from zfuse.pipeline.core import Progress
from zfuse.pipeline.methods import make_method
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

few = settings(deadline=None, max_examples=8, derandomize=True)


class Notes(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def drifting(amount: float = 16.0, size: int = 320) -> NDArray[np.uint16]:
    planes = moved(still("section", size, seed=4), injected("shift", amount, size))
    return np.ascontiguousarray(planes[:, 32:-32, 32:-32])


def provenance(output: Path) -> dict[str, Any]:
    said: Any = dict(zarr.open_group(output, mode="r").attrs)["zfuse"]
    return dict(said)


@pytest.mark.parametrize("what", ["shift", "scale", "jump"])
def test_what_surely_moves_is_aligned(what: str) -> None:
    planes = moved(still("section", 256, seed=4), injected(what, 12.0, 256))
    aligned = settle_drift(from_array(planes), "auto")
    assert aligned.reader is not None
    assert "planes moved by up to 1" in aligned.summary
    assert aligned.record["align"] == "auto"
    assert aligned.record["model"] == ("similarity" if what == "scale" else "translation")
    found = np.array([(p["dy"], p["dx"], p["scale"]) for p in aligned.record["times"][0]["planes"]])
    truth = np.array(
        [
            (p["dy"], p["dx"], p["scale"])
            for p in (t.inverse().described((256, 256)) for t in injected(what, 12.0, 256))
        ]
    )
    np.testing.assert_allclose(found[1:-1, :2], truth[1:-1, :2], atol=0.3)
    np.testing.assert_allclose(found[1:-1, 2], truth[1:-1, 2], atol=2e-3)


@few
@given(
    kind=st.sampled_from(["relief", "section", "fluorescence"]),
    seed=st.integers(0, 1000),
    photons=st.sampled_from([50.0, 500.0, 20000.0]),
    method=st.sampled_from(["adaptive", "select", "guided"]),
)
def test_what_lies_still_is_fused_bit_for_bit_as_without(
    kind: str, seed: int, photons: float, method: str
) -> None:
    planes = still(kind, 96, seed, 6, photons)
    auto, none = (zfuse.fuse(planes, method, align=align) for align in ("auto", "none"))
    np.testing.assert_array_equal(auto.image, none.image)
    np.testing.assert_array_equal(auto.depth, none.depth)
    np.testing.assert_array_equal(auto.confidence, none.confidence)


def test_files_are_aligned_by_default_and_tiles_change_nothing(tmp_path: Path) -> None:
    planes = drifting()
    write_image(tmp_path / "in.zarr", planes, "zyx")
    notes = Notes()
    for tile in (64, 256):
        fuse_to(tmp_path / "in.zarr", tmp_path / f"{tile}.ome.zarr", notes, tile=tile,
                method="guided")  # fmt: skip
    small, large = (read_zarr(tmp_path / f"{tile}.ome.zarr") for tile in (64, 256))
    for part in ("0", "depth/0", "confidence/0"):
        np.testing.assert_array_equal(small[part], large[part])
    assert [line for line in notes.lines if "planes" in line] == []
    assert len([line for line in notes.notes if "planes moved by up to 1" in line]) == 2
    record = provenance(tmp_path / "64.ome.zarr")["alignment"]
    assert record["align"] == "auto"
    assert record["resampled"]
    assert record["check"]["found_px"] == pytest.approx(16, abs=1)
    same = zfuse.fuse(planes, "guided", align="auto")
    np.testing.assert_array_equal(np.squeeze(large["0"]), same.image)


@pytest.mark.parametrize(
    "method", ["select", {"name": "adaptive", "quantitative": True}, {"name": "umis", "feather": 0}]
)
def test_methods_that_keep_values_only_warn(method: Any) -> None:
    stack = from_array(drifting())
    chosen = make_method(method)
    assert chosen.measures
    settled = settle_drift(
        stack, "auto", method=chosen.name, keeps_values=chosen.copies_pixels or chosen.measures
    )
    assert settled.stack is stack
    (warning,) = settled.warnings
    assert f"method {chosen.name} promises" in warning
    assert "--align translation" in warning


def test_runs_that_copy_or_do_not_align_warn_and_leave_every_bit(tmp_path: Path) -> None:
    planes = drifting()
    write_image(tmp_path / "in.zarr", planes, "zyx")
    for align, method in (("auto", "select"), ("none", "select"), ("none", "guided")):
        notes, output = Notes(), tmp_path / f"{align}-{method}.ome.zarr"
        fuse_to(tmp_path / "in.zarr", output, notes, align=align, method=method)
        (warning,) = [line for line in notes.lines if "off each other" in line]
        assert "16 px" in warning
        fused = zfuse.fuse(planes, method)
        np.testing.assert_array_equal(np.squeeze(read_zarr(output)["0"]), fused.image)
        said = provenance(output)
        assert said["alignment"]["align"] == align
        assert said["alignment"]["check"]["surely_moved_px"] > 10
        assert not said["alignment"]["resampled"]


def test_a_harmless_motion_is_said_and_left() -> None:
    stack = from_array(drifting(2.4))
    settled = settle_drift(stack, "auto")
    assert settled.stack is stack
    assert "too little to resample" in settled.summary
    assert settle_drift(stack, "none").summary == ""


def test_all_channels_move_alike(tmp_path: Path) -> None:
    planes = drifting()
    faint = np.random.default_rng(0).poisson(4, planes.shape).astype(np.uint16)
    both = np.stack([planes, planes // 2 + faint])
    aligned = settle_drift(from_array(both), "auto")
    assert aligned.reader is not None
    alone = settle_drift(from_array(planes), "auto").record["times"][0]["planes"]
    for one, other in zip(aligned.record["times"][0]["planes"], alone, strict=True):
        assert one["dx"] == pytest.approx(other["dx"], abs=0.1)
    read = aligned.stack.reader.read(0, slice(0, 9), slice(60, 190), slice(60, 190))
    # one transform: the second channel is half of the first, wherever it was moved to
    np.testing.assert_allclose(read[:, 1].mean((1, 2)), read[:, 0].mean((1, 2)) / 2 + 4, rtol=0.01)


def test_one_plane_is_not_looked_at(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", still(size=64)[:1], "zyx")
    fuse_to(tmp_path / "in.zarr", tmp_path / "out.ome.zarr", Progress())
    assert provenance(tmp_path / "out.ome.zarr")["alignment"] == {"align": "none"}


def test_of_which_methods_values_are_those_of_planes() -> None:
    for name, measures in (
        ("adaptive", False),
        ("guided", False),
        ("umis", False),
        ("select", True),
    ):
        assert make_method(name).measures is measures
