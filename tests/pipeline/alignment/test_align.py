"""Drift is found and undone; what does not drift is left alone; tiles don't change a bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings, strategies as st
from scipy import ndimage
from skimage.metrics import structural_similarity
from support.runs import Listener, fuse_to, read_zarr, write_image
from support.shared import STACKS, needs_stacks

import zfuse
from zfuse.pipeline.alignment._align import align_stack
from zfuse.pipeline.alignment._reader import AlignedReader
from zfuse.pipeline.alignment._similarity import IDENTITY, Similarity, common_area
from zfuse.pipeline.core._region import Region
from zfuse.pipeline.simulation import make_settings, simulate
from zfuse.pipeline.sources import from_array

if TYPE_CHECKING:
    from pathlib import Path

    from zfuse.pipeline.alignment._similarity import MotionModel
    from zfuse.pipeline.simulation import SimulatedStack

real = needs_stacks
few = settings(deadline=None, max_examples=25, derandomize=True)
SIZE = (256, 256)


def simulated(kind: str, drift: float, **more: Any) -> SimulatedStack:
    return simulate(make_settings(kind, size=SIZE[0], planes=9, drift=drift, **more))


def found(stack: Any, model: MotionModel) -> list[dict[str, float]]:
    planes: list[dict[str, float]] = align_stack(stack, model).record["times"][0]["planes"]
    return planes


@pytest.mark.parametrize("kind", ["relief", "section"])
@pytest.mark.parametrize("drift", [3.0, 25.0])
def test_simulated_drift_is_found(kind: str, drift: float) -> None:
    truth = simulated(kind, drift, seed=2)
    planes = found(from_array(truth.planes), "translation")
    shifts = np.array([(p["dy"], p["dx"]) for p in planes])
    # the first and last planes of a stack hold next to nothing that is in focus
    np.testing.assert_allclose(shifts[2:-2], truth.shifts[2:-2], atol=0.1)
    np.testing.assert_allclose(shifts, truth.shifts, atol=0.5)


def test_breathing_and_rotation_are_found() -> None:
    sharp = simulated("section", 0.0, seed=4).image
    rng = np.random.default_rng(0)
    planes, truth = [], []
    for z in range(5):
        scale, angle = 1 + 0.006 * (z - 2), 0.004 * (z - 2)
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = np.array([127.5, 127.5])
        shift = np.array([2.0, -1.5]) * (z - 2)
        back = np.linalg.inv(turn)  # the specimen of the reference's place lies at turn · place
        plane = ndimage.affine_transform(sharp, back, centre - back @ (centre + shift), order=3,
                                         mode="nearest")  # fmt: skip
        planes.append((plane + rng.normal(0, 300, SIZE)).clip(0).astype(np.uint16))
        truth.append((*shift, scale, np.degrees(angle)))
    got = found(from_array(np.stack(planes)), "similarity")
    for plane, (dy, dx, scale, angle) in zip(got, truth, strict=True):
        assert plane["dy"] == pytest.approx(dy, abs=0.1)
        assert plane["dx"] == pytest.approx(dx, abs=0.1)
        assert plane["scale"] == pytest.approx(scale, abs=1e-3)
        assert plane["angle"] == pytest.approx(angle, abs=0.05)


@pytest.mark.parametrize("model", ["translation", "similarity"])
@pytest.mark.parametrize("kind", ["relief", "section", "fluorescence"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_stack_that_does_not_drift_is_left_alone(
    kind: str, seed: int, model: MotionModel
) -> None:
    stack = from_array(simulated(kind, 0.0, seed=seed).planes)
    aligned = align_stack(stack, model)
    assert aligned.stack is stack
    assert "no drift" in aligned.summary


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_noise_and_emptiness_are_left_alone(dtype: str) -> None:
    planes = np.random.default_rng(1).integers(0, 200, (6, 120, 90)).astype(dtype)
    empty = np.full((4, 120, 90), 7, dtype)
    tiny = planes[:, :9, :5]
    for pixels in (planes, empty, tiny):
        assert align_stack(from_array(pixels), "similarity").reader is None


def test_whole_pixels_are_copied_bit_for_bit() -> None:
    rng = np.random.default_rng(3)
    field = np.kron(rng.integers(0, 4000, (100, 100)), np.ones((3, 3), int)).astype(np.uint16)
    shifts = [(4, -6), (2, -3), (0, 0), (-1, 2), (-3, 4)]
    planes = np.stack([field[30 - y : 230 - y, 30 - x : 240 - x] for y, x in shifts])
    aligned = align_stack(from_array(planes), "similarity", copies=True)
    assert not aligned.record["resampled"]
    area = aligned.record["times"][0]["area_in_all_planes"]
    assert area == {"y": [3, 196], "x": [6, 206]}
    read = aligned.stack.reader.read(0, slice(0, 5), slice(*area["y"]), slice(*area["x"]))
    assert (read[:, 0] == planes[2, 3:196, 6:206]).all()


@st.composite
def readers(draw: st.DrawFn) -> AlignedReader:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (draw(st.integers(1, 2)), 3, draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    pixels = rng.integers(0, 250, shape).astype(draw(st.sampled_from(["u1", "i2", "f4"])))
    moved = []
    for _ in range(2):
        factor = 1 + complex(*rng.normal(0, draw(st.sampled_from([0.0, 0.02])), 2))
        shift = complex(*rng.normal(0, draw(st.sampled_from([0.2, 4.0, 60.0])), 2))
        whole = complex(round(shift.real), round(shift.imag))
        moved.append(Similarity(factor, whole if draw(st.booleans()) else shift))
    if pixels.dtype == np.float32:
        pixels[rng.random(shape) < 0.001] = np.nan
    fade = draw(st.sampled_from([0.0, 5.0, 32.0]))
    return AlignedReader(from_array(pixels).reader, [[moved[0], IDENTITY, moved[1]]], 1, fade)


@few
@given(reader=readers(), data=st.data())
def test_any_window_reads_the_same_bits(reader: AlignedReader, data: st.DataObject) -> None:
    height, width = reader.shape[3:]
    whole = reader.read(0, slice(0, 3), slice(0, height), slice(0, width))
    z, y, x = (
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))))
        for n in (3, height, width)
    )
    np.testing.assert_array_equal(reader.read(0, z, y, x), whole[z, :, y, x])
    depth = np.random.default_rng(0).uniform(0, 2, (height, width)).astype(np.float32)

    def marked(rows: slice, columns: slice) -> zfuse.Fused:
        maps = depth[rows, columns].copy()
        region = Region((height, width), (rows, columns), (rows, columns))
        return reader.mark(0, region, zfuse.Fused(whole[0], maps, np.ones_like(maps)))

    full = marked(slice(0, height), slice(0, width))
    if y.start < y.stop and x.start < x.stop:
        part = marked(y, x)
        np.testing.assert_array_equal(part.depth, full.depth[y, x])
        np.testing.assert_array_equal(part.confidence, full.confidence[y, x])
    # the reference plane is what is shown where another does not reach
    area = common_area([IDENTITY, *reader._transforms[0]], (height, width))
    inside = np.zeros((height, width), np.bool_)
    inside[slice(*area["y"]), slice(*area["x"])] = True
    assert (full.confidence[inside] == 1).all()


def test_a_warp_is_as_good_as_lanczos_can_be() -> None:
    y, x = np.mgrid[:80, :90].astype(float)
    plane = 100 + 50 * np.sin(0.7 * x + 0.2) * np.cos(0.5 * y)
    transform = Similarity(1.01 + 0.003j, 2.3 - 1.6j)
    reader = AlignedReader(from_array(np.stack([plane, plane]).astype("f4")).reader,
                           [[IDENTITY, transform]], 0)  # fmt: skip
    got = reader.read(0, slice(1, 2), slice(10, 70), slice(10, 80))[0, 0]
    place = transform(x + 1j * y)
    truth = 100 + 50 * np.sin(0.7 * place.real + 0.2) * np.cos(0.5 * place.imag)
    np.testing.assert_allclose(got, truth[10:70, 10:80], atol=0.5)


def test_fusing_a_drifting_stack_is_nearly_as_good_as_a_still_one() -> None:
    still, drifting = (simulated("relief", drift, seed=5, photons=3000.0) for drift in (0.0, 12.0))

    def score(stack: SimulatedStack, align: Any) -> float:
        image = zfuse.fuse(stack.planes, "guided", align=align).image
        cut = (slice(16, -16),) * 2
        low, high = np.percentile(stack.image, (0.1, 99.9))
        return float(
            structural_similarity(
                image[cut].astype(float), stack.image[cut].astype(float), data_range=high - low
            )
        )

    best, aligned, none = (
        score(still, "none"), score(drifting, "translation"), score(drifting, "none")
    )  # fmt: skip
    assert aligned > best - 0.01
    assert none < best - 0.1


def test_a_run_records_and_tells_what_it_moved(tmp_path: Path) -> None:
    moving = simulated("relief", 12.0, seed=6).planes
    still = np.repeat(simulated("relief", 0.0, seed=7).planes[4:5], 9, axis=0)
    noise = np.random.default_rng(0).integers(0, 9, moving.shape).astype(np.uint16)
    channels = [np.stack([moving, moving[::-1, ::-1] + noise]), np.stack([still, still])]
    write_image(tmp_path / "in.zarr", np.stack(channels))
    progress = Listener()
    for tile in (64, 256):
        fuse_to(tmp_path / "in.zarr", tmp_path / f"{tile}.ome.zarr", progress, tile=tile,
                align="similarity", channel=0, method="select")  # fmt: skip
    small, large = (read_zarr(tmp_path / f"{tile}.ome.zarr") for tile in (64, 256))
    for part in ("0", "depth/0", "confidence/0"):
        np.testing.assert_array_equal(small[part], large[part])
    said = dict(zarr.open_group(tmp_path / "64.ome.zarr", mode="r").attrs)["zfuse"]
    record: Any = said["alignment"]  # type: ignore[index, call-overload]
    assert record["align"] == "similarity"
    assert [time["moved_px"] > 4 for time in record["times"]] == [True, False]
    assert said["pixels"] == "resampled"  # type: ignore[index, call-overload]
    # at the corners some planes are not seen: they can't be sure which is in focus
    corners = large["confidence/0"][0, 0][[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).any()
    np.testing.assert_array_equal(large["0"][1, 0, 0], still[0])


@real
@pytest.mark.slow
@pytest.mark.parametrize("model", ["translation", "similarity"])
@pytest.mark.parametrize(
    "name",
    ["brightfield_cells_sephace_set1", "fluor_beads_2ch_faim_E08s1", "synthetic_relief_cou_1"],
)
def test_real_registered_stacks_are_left_alone(name: str, model: MotionModel) -> None:
    assert align_stack(zfuse.open(STACKS / name), model).reader is None


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "least", "most"),
    [
        ("mineral_zstackr", "similarity", 12, 25),
        ("reflected_metal_gear_he", "translation", 6, 12),
        ("reflected_pcb_focusstack", "similarity", 80, 140),
        ("reflected_pcb_tagarno", "similarity", 5, 20),
    ],
)
def test_real_drift_is_found(name: str, model: MotionModel, least: float, most: float) -> None:
    stack = zfuse.open(STACKS / name)
    aligned = align_stack(replace(stack), model)
    assert least < aligned.record["times"][0]["moved_px"] < most
