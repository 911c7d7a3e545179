"""Channels decide each for themselves, together, or one for all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from support.method_names import CLASSICAL, NETWORKS
from support.runs import TCZYX, fuse_to, read_zarr, write_image
from support.same import assert_same
from typer.testing import CliRunner

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline._channels import Decisions
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.evaluation import evaluate
from zfuse.pipeline.figures import overview
from zfuse.pipeline.figures._relief import render_relief
from zfuse.pipeline.methods._select import Select
from zfuse.pipeline.simulation import render_phantom
from zfuse.pipeline.sources import from_array, open_fused, open_stack

if TYPE_CHECKING:
    from pathlib import Path

DEEP = render_phantom(7, 96, photons=2000, seed=4).planes
TWO = np.stack([DEEP, DEEP[::-1, ::-1] // 3])  # what lies deep in one lies high in the other
MAPS = ("depth", "confidence")


def alone(planes: np.ndarray, method: Any, **more: Any) -> zfuse.Fused:
    """Fuse each channel as a stack of its own, and join."""
    each = [zfuse.fuse(channel, method, **more) for channel in planes]
    return zfuse.Fused(*(np.stack([getattr(f, k) for f in each]) for k in ("image", *MAPS)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("name", CLASSICAL)
def test_each_is_what_the_channel_gives_alone(name: str, dtype: str) -> None:
    planes = TWO.astype(dtype) if dtype != "u1" else (TWO // 256).astype(dtype)
    truth = alone(planes, name)
    assert_same(zfuse.fuse(planes, name), truth)
    assert_same(zfuse.fuse(planes, name, tile=64, workers=3), truth)
    assert not np.array_equal(truth.depth[0], truth.depth[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_what_the_channel_gives_alone_to_a_network(name: str) -> None:
    planes = TWO[:, :4]
    assert_same(zfuse.fuse(planes, name, workers=2), alone(planes, name, workers=2))


@pytest.mark.parametrize("name", ["select", "adaptive"])
def test_planes_that_come_one_after_another(name: str) -> None:
    fold = zfuse.Fold(TWO, name)
    for z in (1, 0, *range(2, TWO.shape[1])):
        fold.add(TWO[:, z], z)
    assert_same(fold.finish(), alone(TWO, name))


def test_colours_decide_together() -> None:
    planes = (np.concatenate([TWO, TWO[:1] // 2]) // 256).astype(np.uint8)
    colours = from_array(planes, rgb=True)
    fused = zfuse.fuse(colours, "select")
    assert_same(fused, zfuse.fuse(colours, "select", channel="together"))
    assert fused.depth.shape == planes.shape[2:]
    with pytest.raises(ZfuseError, match="colours are 3"):
        from_array(TWO, rgb=True)


def test_one_channel_with_an_axis_has_maps_without() -> None:
    fused = zfuse.fuse(TWO[:1], "select")
    assert fused.image.shape == (1, 96, 96)
    assert fused.depth.shape == fused.confidence.shape == (96, 96)


@pytest.mark.parametrize("who", ["together", 1, "channel 1"])
def test_one_decision_has_maps_without_channels(who: int | str) -> None:
    fused = zfuse.fuse(TWO, "select", channel=who)
    assert fused.image.shape == TWO.shape[:1] + TWO.shape[2:]
    assert fused.depth.shape == fused.confidence.shape == TWO.shape[2:]


def test_only_who_decides_costs_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, ...]] = []
    plain = Select.add

    def add(self: Select, state: Any, planes: np.ndarray, z: int) -> None:
        shown.append(planes.shape)
        plain(self, state, planes, z)

    monkeypatch.setattr(Select, "add", add)
    for who, wanted in (
        ("each", [(7, 1, 96, 96)] * 2),
        ("together", [(7, 2, 96, 96)]),
        (0, [(7, 2, 96, 96)]),
    ):
        shown.clear()
        zfuse.fuse(TWO, "select", channel=who, workers=1)
        assert shown == wanted


def test_the_sample_is_read_once_for_all_channels() -> None:
    class Counting:
        def __init__(self, reader: Any) -> None:
            self._reader, self.voxels = reader, 0
            self.shape, self.dtype, self.chunk = reader.shape, reader.dtype, reader.chunk

        def read(self, *where: Any, **more: Any) -> Any:
            got = self._reader.read(*where, **more)
            self.voxels += got.size
            return got

        def close(self) -> None: ...

    read = {}
    for who in ("each", "together"):
        reader = Counting(from_array(TWO).reader)
        stack = replace(from_array(TWO), reader=reader)
        Decisions.of(stack, who).calibrate(zfuse.RunConfig(input="", output="").method, stack)
        read[who] = reader.voxels
    assert read["each"] == read["together"]


NAMED = from_array(TWO, channel_names=["1", "each"])


@pytest.mark.parametrize(
    ("channel", "wanted"),
    [
        ("each", None),
        ("together", None),
        ("1", 0),  # a name comes before the index that it looks like
        ("0", 0),
        (1, 1),  # a number that is no text is an index
    ],
)
def test_names_that_are_words_or_numbers(channel: int | str, wanted: int | None) -> None:
    found = Decisions.of(NAMED, channel)
    assert found.channel == wanted
    assert found.each == (channel == "each")


@pytest.mark.parametrize("channel", ["eahc", "2", "-1", 2, None])
def test_a_channel_that_is_not_there_is_refused(channel: Any) -> None:
    with pytest.raises(ZfuseError, match="it has 0: 1, 1: each; or each, together"):
        zfuse.fuse(NAMED, "select", channel=channel)


def test_without_words_in_names_the_nearest_is_suggested() -> None:
    with pytest.raises(ZfuseError, match="did you mean 'together'"):
        zfuse.fuse(TWO, "select", channel="togther")


@pytest.mark.parametrize("name", ["adaptive", "select", "gaussian"])
def test_the_command_line_writes_what_each_gives_alone(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "in.zarr", TCZYX)
    for c in range(2):
        write_image(tmp_path / f"{c}.zarr", TCZYX[:, c : c + 1])
    for stem, suffix in ((s, x) for s in ("in", "0", "1") for x in (".ome.zarr", ".ome.tif")):
        arguments = ["fuse", f"{tmp_path}/{stem}.zarr", f"{tmp_path}/{stem}{suffix}"]
        done = CliRunner().invoke(app, [*arguments, "--method", name])
        assert done.exit_code == 0, done.output
    together = read_zarr(tmp_path / "in.ome.zarr")
    for c in range(2):
        own = read_zarr(tmp_path / f"{c}.ome.zarr")
        np.testing.assert_array_equal(together["0"][:, c : c + 1], own["0"])
        for part in ("depth/0", "confidence/0"):
            np.testing.assert_array_equal(together[part][:, c], own[part])
    for part in ("ome", "depth", "confidence"):
        whole, *own = (
            tifffile.imread(tmp_path / f"{stem}.{part}.tif").reshape(2, -1, 150, 200)
            for stem in ("in", "0", "1")
        )
        np.testing.assert_array_equal(whole, np.concatenate(own, 1))
    said = zarr.open_group(tmp_path / "in.ome.zarr", mode="r").attrs["zfuse"]
    assert said["decision_channel"] == "each"


def test_files_name_the_channels_of_their_maps(tmp_path: Path) -> None:
    stains = {"channels": [{"label": n, "color": c} for n, c in (("DNA", "0000FF"), ("Actin", ""))]}
    write_image(tmp_path / "in.zarr", TCZYX[0], "czyx", omero=stains)
    for name in ("a.ome.zarr", "a.tif"):
        fuse_to(tmp_path / "in.zarr", tmp_path / name, method="select")
    for part in MAPS:
        stack = open_stack(tmp_path / "a.ome.zarr" / part)
        assert [channel.name for channel in stack.channels] == ["DNA", "Actin"]
        with tifffile.TiffFile(tmp_path / f"a.{part}.tif") as file:
            assert file.imagej_metadata is not None
            assert file.imagej_metadata["Labels"] == ["DNA", "Actin"]
    for name in ("a.ome.zarr", "a.tif"):
        opened = open_fused(tmp_path / name)
        assert opened.depth is not None
        assert opened.depth.shape == (2, 150, 200)


def test_a_recorded_decision(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TCZYX[0], "czyx")
    for who, said in (("together", "together"), ("1", "channel 1"), (0, "channel 0")):
        fuse_to(tmp_path / "in.zarr", tmp_path / f"{who}.ome.zarr", method="select", channel=who)
        group = zarr.open_group(tmp_path / f"{who}.ome.zarr", mode="r")
        assert group.attrs["zfuse"]["decision_channel"] == said
        assert group["depth/0"].shape == (1, 150, 200)


def test_evaluate_scores_the_depth_of_the_channel(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TWO, "czyx")
    fuse_to(tmp_path / "in.zarr", tmp_path / "both.ome.zarr", tile=64)
    for c in range(2):
        write_image(tmp_path / f"{c}.zarr", TWO[c], "zyx")
        fuse_to(tmp_path / f"{c}.zarr", tmp_path / f"{c}.ome.zarr", tile=64)
    for c in range(2):
        truth = tmp_path / "0.ome.zarr"
        got = evaluate(tmp_path / "both.ome.zarr", truth, channel=c).scores
        wanted = evaluate(tmp_path / f"{c}.ome.zarr", truth).scores
        assert got == pytest.approx(wanted, nan_ok=True)
    assert got["depth_mae"] > 0.5  # of 0.5 µm a plane


def test_pictures_show_every_depth(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", TWO, "czyx")
    fuse_to(tmp_path / "in.zarr", tmp_path / "both.ome.zarr", method="select")
    render_relief(tmp_path / "both.ome.zarr", tmp_path / "relief.png")
    fused = zfuse.fuse(TWO, "select")
    drawn = overview({0: TWO[:, 0]}, 0, fused.image, fused.depth, fused.confidence,
                     channels=["DNA", "actin"])  # fmt: skip
    titles = {axes.get_title(loc="left") for axes in drawn.axes}
    for what in ("Depth of DNA", "Confidence of DNA", "Depth of actin", "Confidence of actin"):
        assert what in titles
    from PIL import Image

    with Image.open(tmp_path / "relief.png") as picture:
        assert picture.width == 2 * (96 + 48)


def test_depth_below_the_least_confidence_is_blank_in_each() -> None:
    fused = zfuse.fuse(TWO, "select")
    limit = float(np.median(fused.confidence))
    blank = fused.blanked(limit)
    np.testing.assert_array_equal(np.isnan(blank.depth), fused.confidence < limit)


def test_what_no_plane_reaches_is_unsure_in_each_channel() -> None:
    moving = np.stack([np.roll(plane, 6 * z, axis=1) for z, plane in enumerate(DEEP)])
    fused = zfuse.fuse(np.stack([moving, moving]), "select", align="translation")
    one = zfuse.fuse(moving, "select", align="translation")
    np.testing.assert_array_equal(fused.confidence[0] == 0, one.confidence == 0)
    np.testing.assert_array_equal(fused.confidence[0], fused.confidence[1])
