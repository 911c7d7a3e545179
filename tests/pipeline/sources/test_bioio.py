"""Vendors' formats through bioio's plugins: real CZI and LIF files, and plugins that misbehave."""

import sys
import types
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from support.vendors import write_czi, write_lif

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_stack, open_stacks

Sizes = namedtuple("Sizes", "Z Y X")


@pytest.fixture
def czi(tmp_path):
    pytest.importorskip("bioio_czi", reason="zfuse[formats] is not installed")
    pixels = np.random.default_rng(1).integers(0, 6000, (2, 2, 3, 40, 50), np.uint16)
    write_czi(tmp_path / "a.czi", pixels)
    return tmp_path / "a.czi", pixels


def test_czi(czi):
    path, pixels = czi
    with open_stack(path) as stack:
        assert np.array_equal(np.asarray(stack), pixels)
        assert stack.z_step == pytest.approx(0.5)
        assert stack.pixel_size == pytest.approx((0.1, 0.1))
        assert [channel.name for channel in stack.channels] == ["DAPI", "GFP"]
        assert "bioio-czi" in stack.kind


def test_windows_and_threads_read_what_one_thread_reads(czi):
    path, pixels = czi
    with open_stack(path) as stack, ThreadPoolExecutor(8) as pool:
        cuts = [(n % 2, slice(n % 3, 3), slice(n, 30 + n), slice(5, 50 - n)) for n in range(10)] * 8
        for (t, *cut), got in zip(
            cuts, pool.map(lambda c: stack.reader.read(*c), cuts), strict=True
        ):
            assert np.array_equal(got, pixels[t].swapaxes(0, 1)[cut[0], :, cut[1], cut[2]])


def test_format_is_known_by_its_bytes(czi, tmp_path):
    path, pixels = czi
    renamed = path.rename(tmp_path / "no-suffix")
    with open_stack(renamed) as stack:
        assert stack.shape == pixels.shape


def test_colours_of_a_czi_are_stored_blue_first(tmp_path):
    pytest.importorskip("bioio_czi", reason="zfuse[formats] is not installed")
    blue_first = np.zeros((1, 1, 3, 20, 30, 3), np.uint8)
    blue_first[..., 2] = 200
    write_czi(tmp_path / "rgb.czi", blue_first, names=("bright",))
    with open_stack(tmp_path / "rgb.czi") as stack:
        assert stack.rgb
        assert [channel.name for channel in stack.channels] == ["red", "green", "blue"]
        assert stack.reader.read(0, slice(0, 1), slice(0, 1), slice(0, 1)).ravel().tolist() == [
            200,
            0,
            0,
        ]


def test_truncated_czi_is_refused_in_one_line(czi):
    path, _ = czi
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ZfuseError, match="damaged") as caught:
        np.asarray(open_stack(path))
    assert "\n" not in str(caught.value)


def test_lif_and_its_planes_that_go_down(tmp_path):
    pytest.importorskip("bioio_lif", reason="zfuse[formats] is not installed")
    pixels = np.random.default_rng(1).integers(0, 6000, (2, 3, 2, 40, 50), np.uint16)
    write_lif(tmp_path / "l.lif", {"up": pixels}, z_step=0.5)
    with open_stack(tmp_path / "l.lif") as stack:
        assert np.array_equal(np.asarray(stack), pixels.swapaxes(1, 2))
        assert stack.z_step == pytest.approx(0.5)
        assert [channel.name for channel in stack.channels] == ["Green", "Red"]
    write_lif(tmp_path / "l.lif", {"down": pixels}, z_step=-0.5)
    with open_stack(tmp_path / "l.lif") as stack:
        assert np.array_equal(np.asarray(stack), pixels.swapaxes(1, 2)[:, :, ::-1])
        assert stack.z_step == pytest.approx(0.5)
        assert any("fall" in line for line in stack.warnings)


class Dims:
    def __init__(self, order, shape):
        self.order, self.shape = order, shape
        self.__dict__.update(zip(order, shape, strict=True))


class Image:
    """A plugin's reader; each test makes of it what its plugin might be."""

    order, pixels = "TCZYX", np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(1, 2, 3, 4, 5)
    scenes = ("only",)
    physical_pixel_sizes = Sizes(0.5, 0.1, 0.1)
    time_interval = timedelta(seconds=2)
    channel_names = ("a", "b")
    positions: tuple = ()

    def __init__(self, path, **_):
        self.dims = Dims(self.order, self.pixels.shape)
        self.dtype = self.pixels.dtype

    def set_scene(self, scene):
        pass

    def _read_indexed(self):  # that it has one says that it reads windows
        raise NotImplementedError

    def get_mosaic_tile_positions(self, **_):
        return self.positions

    def get_image_data(self, order, **wanted):
        cut = self.pixels[tuple(wanted.get(axis, slice(None)) for axis in self.order)]
        left = [a for a in self.order if not isinstance(wanted.get(a, slice(None)), int)]
        for axis in set(order) - set(left):
            cut, left = cut[None], [axis, *left]
        return cut.transpose([left.index(axis) for axis in order])

    @property
    def metadata(self):
        raise RuntimeError("no metadata")

    @property
    def ome_metadata(self):
        raise NotImplementedError


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """Return what opens a file with a plugin of these attributes."""

    def opened(magic=b"\xda\xce\xbe\n", module="bioio_nd2", **attributes):
        made = types.ModuleType(module)
        made.Reader = type("Reader", (Image,), attributes)
        made.__spec__ = types.SimpleNamespace(name=module)
        monkeypatch.setitem(sys.modules, module, made)
        (tmp_path / "image").write_bytes(magic + bytes(100))
        return open_stacks(tmp_path / "image")

    return opened


def test_plugin(plugin):
    [stack] = plugin()
    assert np.array_equal(np.asarray(stack), Image.pixels)
    assert stack.z_step == 0.5
    assert stack.time_step == 2


def test_scenes_are_images(plugin):
    def set_scene(self, scene):
        self.pixels = Image.pixels + scene

    stacks = plugin(scenes=("A1", "B2"), set_scene=set_scene)
    assert [stack.name for stack in stacks] == ["image A1", "image B2"]
    for scene, stack in enumerate(stacks):
        assert np.array_equal(np.asarray(stack), Image.pixels + scene)


def failing(_):
    raise RuntimeError("the vendor changed it")


@pytest.mark.parametrize(
    ("attributes", "z_step", "names"),
    [
        ({"physical_pixel_sizes": property(failing)}, None, ["a", "b"]),
        ({"physical_pixel_sizes": Sizes(float("nan"), 0, -1)}, None, ["a", "b"]),
        ({"physical_pixel_sizes": Sizes(0.0, "x", None)}, None, ["a", "b"]),
        ({"physical_pixel_sizes": Sizes(1e300, 1e300, 1e300)}, None, ["a", "b"]),
        ({"channel_names": property(failing)}, 0.5, ["channel 0", "channel 1"]),
        ({"channel_names": ("a",)}, 0.5, ["channel 0", "channel 1"]),
        ({"channel_names": (None, "\x1b[31m")}, 0.5, ["None", "[31m"]),
        ({"time_interval": property(failing)}, 0.5, ["a", "b"]),
        ({"time_interval": "soon"}, 0.5, ["a", "b"]),
    ],
)
def test_metadata_that_fail_are_unknown(plugin, attributes, z_step, names):
    [stack] = plugin(**attributes)
    assert stack.z_step == z_step
    assert [channel.name for channel in stack.channels] == names
    assert np.array_equal(np.asarray(stack), Image.pixels)


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"scenes": property(failing)}, "damaged"),
        ({"set_scene": lambda *_: failing(0)}, "damaged"),
        ({"get_image_data": lambda *_, **__: failing(0)}, "the vendor changed it"),
        ({"get_image_data": lambda *_, **__: np.zeros((1, 2, 4, 4), "u2")}, "announced"),
        ({"get_image_data": lambda *_, **__: np.zeros((1, 2, 4, 5), "u1")}, "announced"),
        ({"pixels": Image.pixels[:, :, :1]}, "single plane"),
        ({"order": "TCZYX", "pixels": Image.pixels.astype(complex)}, "complex"),
        ({"order": "HCZYX", "pixels": np.zeros((4, 2, 3, 4, 5), "u1")}, "axis H of length 4"),
        ({"order": "CZYXS", "pixels": np.zeros((2, 3, 4, 5, 3), "u1")}, "split"),
        ({"order": "MZYX", "pixels": np.zeros((2, 3, 4, 5), "u1")}, None),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(plugin, attributes, match):
    if match is None:  # tiles that say nothing of their places are images of their own
        assert len(plugin(**attributes)) == 2
        return
    with pytest.raises(ZfuseError, match=match) as caught:
        np.asarray(plugin(**attributes)[0])
    assert "\n" not in str(caught.value)


def test_tiles_of_a_czi_lie_where_it_says(plugin):
    tiles = np.stack([np.full((3, 4, 5), n + 1, np.uint16) for n in range(3)])
    places = ((10, 20), (10, 24), (13, 20))  # one column of overlap, one row of overlap
    attributes = {"order": "MZYX", "pixels": tiles, "positions": places, "channel_names": None}
    [stack] = plugin(b"ZISRAWFILE", "bioio_czi", **attributes)
    whole = np.asarray(stack)
    assert whole.shape == (3, 7, 9)
    want = np.zeros((7, 9))
    for n, (y, x) in enumerate(places):
        want[y - 10 : y - 6, x - 20 : x - 15] = n + 1
    assert np.array_equal(whole[1], want)
    part = stack.reader.read(0, slice(1, 3), slice(2, 6), slice(3, 8))
    assert np.array_equal(part[0, 0], want[2:6, 3:8])
    with pytest.raises(ZfuseError, match="3 tiles"):
        plugin(b"ZISRAWFILE", "bioio_czi", **{**attributes, "positions": places[:2]})


def test_missing_plugin_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bioio_nd2", None)
    (tmp_path / "a.nd2").write_bytes(b"\xda\xce\xbe\n" + bytes(100))
    with pytest.raises(ZfuseError, match=r'pip install "zfuse\[formats\]"'):
        open_stacks(tmp_path / "a.nd2")


def test_formats_without_plugin_in_the_extra_are_named(tmp_path):
    (tmp_path / "a.oir").write_bytes(b"OLYMPUSRAWFORMAT")
    with pytest.raises(ZfuseError, match="pip install bioio bioio-bioformats"):
        open_stacks(tmp_path / "a.oir")
