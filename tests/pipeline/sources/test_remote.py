"""OME-Zarr behind addresses: what is missing, and what only failed, are never confused."""

import numpy as np
import pytest
import zarr
from support.http_store import Server

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources import open_collection, open_stack
from zfuse.pipeline.sources._remote import close_sessions

pytest.importorskip("aiohttp", reason="zfuse[remote] is not installed")


@pytest.fixture(autouse=True)
def _sessions():
    yield
    close_sessions()


ALL = slice(0, 3), slice(0, 64), slice(0, 80)


def write(place, pixels, **how):
    """Write an OME-Zarr image of (Z, Y, X)."""
    group = zarr.open_group(str(place), mode="w", zarr_format=3)
    array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, fill_value=0, **how)
    array[:] = pixels
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    image = {"axes": axes, "datasets": datasets, "name": "far"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


@pytest.fixture
def pixels():
    # values below 100 are rare in cameras' images; here every chunk begins with the fill value
    found = np.random.default_rng(0).integers(0, 3000, (3, 64, 80), np.uint16)
    found[:, ::32, ::40] = 0
    return found


@pytest.fixture(params=["chunks", "shards"])
def server(request, tmp_path, pixels, monkeypatch):
    monkeypatch.setattr("zfuse.pipeline.sources._remote.FIRST_WAIT", 0.001)
    sharded = {"shards": (1, 64, 80)} if request.param == "shards" else {}
    write(tmp_path / "a.zarr", pixels, chunks=(1, 32, 40), **sharded)
    running = Server(tmp_path)
    yield running
    running.close()


def read(stack):
    return stack.reader.read(0, *ALL)[:, 0]


def test_same_pixels_and_calibration(server, pixels):
    with open_stack(f"{server.url}/a.zarr/") as stack:
        assert np.array_equal(read(stack), pixels)
        assert stack.z_step == 2
        assert stack.pixel_size == (0.5, 0.5)
        part = stack.reader.read(0, slice(1, 2), slice(20, 50), slice(30, 70))
        assert np.array_equal(part[0, 0], pixels[1, 20:50, 30:70])


def test_server_that_knows_no_ranges(server, pixels):
    server.ranges = False
    with open_stack(f"{server.url}/a.zarr") as stack:
        assert np.array_equal(read(stack), pixels)
        part = stack.reader.read(0, slice(1, 2), slice(20, 30), slice(5, 30))
        assert np.array_equal(part[0, 0], pixels[1, 20:30, 5:30])


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize("fault", [500, 503, 429, "hang up", "cut"])
def test_what_fails_now_and_then_is_asked_again(server, pixels, fault, allow_missing):
    server.faults = lambda path, before: fault if before % 3 < 2 else None
    with open_stack(f"{server.url}/a.zarr", allow_missing=allow_missing) as stack:
        assert np.array_equal(read(stack), pixels)


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize("fault", [500, 403, 401, 418, "hang up", "cut"])
def test_what_fails_for_good_is_refused_and_never_read_as_fill_value(server, fault, allow_missing):
    stack = open_stack(f"{server.url}/a.zarr", allow_missing=allow_missing)
    server.asked.clear()
    server.faults = lambda path, before: fault if "/c/1/" in path else None
    with pytest.raises(ZfuseError) as caught:
        read(stack)
    said = str(caught.value)
    assert "/0/c/1/" in said
    assert "\n" not in said
    assert "damaged" not in said
    assert "is missing" not in said
    # aiohttp asks again by itself when it is hung up on; of a shard's end the size is asked, too
    assert max(server.asked.values()) <= 5 * 2 * 2


def test_refusal_for_good_is_not_asked_again(server):
    stack = open_stack(f"{server.url}/a.zarr")
    server.asked.clear()
    server.faults = lambda path, before: 403 if "/c/1/" in path else None
    with pytest.raises(ZfuseError, match="403"):
        read(stack)
    assert max(server.asked.values()) == 1


def test_missing_chunk(server, pixels, tmp_path):
    sharded = (tmp_path / "a.zarr/0/c/1/0/0").stat().st_size > 5000
    (tmp_path / "a.zarr/0/c/1/0/0").unlink()
    with pytest.raises(ZfuseError, match="is missing"):
        read(open_stack(f"{server.url}/a.zarr"))
    want = pixels.copy()
    want[1, : 64 if sharded else 32, : 80 if sharded else 40] = 0
    assert np.array_equal(read(open_stack(f"{server.url}/a.zarr", allow_missing=True)), want)


def test_question_for_a_missing_chunk_that_fails_is_no_answer(server, tmp_path):
    (tmp_path / "a.zarr/0/c/1/0/0").unlink()
    stack = open_stack(f"{server.url}/a.zarr")
    server.asked.clear()
    # the read itself is told that it is not there, every question after it fails
    server.faults = lambda path, before: 500 if path.endswith("/c/1/0/0") and before else None
    with pytest.raises(ZfuseError, match="cannot be fetched"):
        read(stack)


def test_server_that_is_away_and_address_without_image(server, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZfuseError, match="nothing is there"):
        open_stack(f"{server.url}/empty")
    server.faults = lambda path, before: 503
    with pytest.raises(ZfuseError, match="asked 5 times"):
        open_collection(f"{server.url}/a.zarr")


def test_slow_answers_are_waited_for_and_silence_is_not(server, pixels, monkeypatch):
    server.delay = 0.05
    stack = open_stack(f"{server.url}/a.zarr")
    assert np.array_equal(read(stack), pixels)
    monkeypatch.setattr("zfuse.pipeline.sources._remote.PATIENCE", 0.01)
    with pytest.raises(ZfuseError, match=r"no answer in 0\.01 s, asked 5 times"):
        read(stack)


def test_chunks_are_fetched_at_once(tmp_path):
    write(tmp_path / "a.zarr", np.ones((3, 64, 80), np.uint16), chunks=(1, 8, 8))
    server = Server(tmp_path)
    stack = open_stack(f"{server.url}/a.zarr")
    server.delay = 0.1
    stack.reader.read(0, slice(0, 1), slice(0, 64), slice(0, 80))
    server.close()
    assert server.most_at_once > 10


def test_addresses_that_nobody_serves():
    with pytest.raises(ZfuseError, match="Protocol not known"):
        open_stack("nowhere://a/b.zarr")


@pytest.fixture
def bucket(tmp_path, pixels, monkeypatch):
    pytest.importorskip("s3fs", reason="zfuse[remote] is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    pytest.importorskip("flask_cors", reason="moto's server is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    write(tmp_path / "a.zarr", pixels, chunks=(1, 32, 40))
    client = boto3.client("s3")
    client.create_bucket(Bucket="slides")
    for rights in ("public-read", "private"):
        for file in (tmp_path / "a.zarr").rglob("*"):
            if file.is_file():
                key = f"{rights}.zarr/{file.relative_to(tmp_path / 'a.zarr').as_posix()}"
                client.put_object(Bucket="slides", Key=key, Body=file.read_bytes(), ACL=rights)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield client
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_s3(bucket, pixels, monkeypatch):
    with open_stack("s3://slides/private.zarr") as stack:
        assert np.array_equal(read(stack), pixels)
        assert stack.z_step == 2
    with pytest.raises(ZfuseError, match="nothing is there"):
        open_stack("s3://slides/none.zarr")
    bucket.delete_object(Bucket="slides", Key="private.zarr/0/c/2/1/0")
    with pytest.raises(ZfuseError, match=r"chunk 0/c/2/1/0 is missing"):
        read(open_stack("s3://slides/private.zarr"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with open_stack("s3://slides/public-read.zarr") as stack:  # nobody has keys: without
        assert np.array_equal(read(stack), pixels)
    with pytest.raises(ZfuseError, match="may not be read"):
        open_stack("s3://slides/private.zarr")
