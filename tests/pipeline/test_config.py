"""The run config: sizes, nearest names, files, and that nothing unknown passes in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import zfuse.configs
from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig

READY_MADE = sorted(  # run configs; those for `zfuse train` are read in test_training.py
    path
    for path in Path(zfuse.configs.__file__).parent.glob("*.yaml")
    if not path.name.startswith("train-")
)
PATHS = {"input": "a.tif", "output": "b.ome.zarr"}


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("2GB", 2 * 10**9),
        ("640MB", 640 * 10**6),
        ("640 mb", 640 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("512k", 512_000),
        ("1T", 10**12),
        ("700000000", 7 * 10**8),
        (5 * 10**8, 5 * 10**8),
    ],
)
def test_sizes(size: str | int, count: int) -> None:
    assert RunConfig.checked({**PATHS, "memory": size}).memory == count


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memry": "1GB"}, "unknown key 'memry': did you mean 'memory'?"),
        ({"Memory": "1GB"}, "unknown key 'Memory': did you mean 'memory'?"),
        ({"qqq": 1}, "unknown key 'qqq': choose from align, allow_missing"),
        ({"method": {"name": "select", "windw": 3}}, "'windw': did you mean 'window'?"),
        ({"method": {"name": "selct"}}, "unknown method 'selct': did you mean 'select'?"),
        ({"method": 7}, "7"),
        ({"method": None}, "None"),
        ({"memory": "much"}, "memory = 'much': 'much' is no size; write it like 640MB or 2GB"),
        ({"memory": "-1GB"}, "is no size"),
        ({"memory": True}, r"memory = True: must not be true or false \(YAML's yes"),
        ({"workers": True}, "workers = True: must not"),
        ({"z_step": False}, "z_step = False: must not"),
        ({"channel": True}, "channel = True: must not"),
        ({"method": {"name": "select", "window": True}}, "window = True: must not"),
        ({"memory": "0MB"}, "memory = 0: must be more than 0"),
        ({"memory": 0}, "memory = 0: must be more than 0"),
        ({"workers": 0}, "workers = 0: must be 1 or more"),
        ({"workers": "two"}, "workers = 'two': must be a whole number"),
        ({"workers": 1.5}, "workers = 1.5: must be a whole number"),
        ({"z_step": -0.5}, "z_step = -0.5: must be more than 0"),
        ({"z_step": float("nan")}, "z_step = nan: must be"),
        ({"pixel_size": float("inf")}, "pixel_size = inf: must be a finite number"),
        ({"pixel_size": [1, 2]}, r"pixel_size = \[1, 2\]: must be a number"),
        ({"min_confidence": 1.5}, "min_confidence = 1.5: must be 1.0 or less"),
        ({"min_confidence": float("nan")}, "min_confidence = nan: must be"),
        ({"min_confidence": True}, "min_confidence = True: must not"),
        ({"tile": 0}, "tile = 0: must be more than 0"),
        ({"series": -1}, "series = -1: must be 0 or more"),
        ({"overwrite": "perhaps"}, "overwrite = 'perhaps': must be true or false"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ZfuseError, match=message) as caught:
        RunConfig.checked({**PATHS, **settings}, "config run.yaml")
    assert "\n" not in str(caught.value)


def test_missing_keys_are_named() -> None:
    with pytest.raises(ZfuseError, match="config x: the key 'output' is missing"):
        RunConfig.checked({"input": "a.tif"}, "config x")


def test_a_config_is_a_value() -> None:
    config = RunConfig.checked({**PATHS, "input": Path("a.tif")})
    assert config.input == "a.tif"
    assert config == RunConfig.model_validate(PATHS)
    with pytest.raises(ValidationError, match="frozen"):
        config.tile = 64  # type: ignore[misc]
    assert RunConfig.model_validate(config.model_dump()) == config


def test_replacing_checks_again() -> None:
    config = RunConfig.checked({**PATHS, "method": {"name": "select", "window": 5}})
    other = config.replace(memory="2GB", tile=64)
    assert (other.memory, other.tile, other.method) == (2 * 10**9, 64, config.method)
    assert config.memory is None
    with pytest.raises(ZfuseError, match="settings: workers = 0: must be 1 or more"):
        config.replace(workers=0)
    with pytest.raises(ZfuseError, match="unknown key 'tyle': did you mean 'tile'"):
        config.replace(tyle=64)


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: path.name)
def test_ready_made_configs_load(path: Path) -> None:
    settings = RunConfig.read_file(path)
    config = RunConfig.checked({**settings, **PATHS})
    assert set(settings) <= config.model_fields_set


def test_ready_made_configs_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("laptop", "rig", "slurm", "workstation"):
        file = next(path for path in READY_MADE if path.stem == name)
        assert RunConfig.from_file(name, **PATHS) == RunConfig.from_file(file, **PATHS)
    assert RunConfig.from_file("laptop", **PATHS, memory="2GB").memory == 2 * 10**9
    with pytest.raises(ZfuseError, match="config laptop: the key 'input' is missing"):
        RunConfig.from_file("laptop")
    wrong = (
        r"no config 'laptp': did you mean 'laptop'\? "
        r"\(ready-made: laptop, rig, slurm, workstation\), or"
    )
    with pytest.raises(ZfuseError, match=wrong):
        RunConfig.from_file("laptp")
    (tmp_path / "mine").write_text("tile: 128")
    assert RunConfig.from_file("mine", **PATHS).tile == 128
    with pytest.raises(ZfuseError, match=r"cannot read config laptop\.yaml"):  # a file of one's own
        RunConfig.from_file("laptop.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "holds a list, not keys and values"),
        ("just words", "holds a str, not keys and values"),
        ("a: [1, 2\nb: 3\n", "is no valid YAML"),
        ("a: b: c\n", "is no valid YAML"),
        (b"\xff\xfe\x00", "is no valid YAML"),
    ],
)
def test_files_that_hold_no_settings(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ZfuseError, match=message) as caught:
        RunConfig.read_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ZfuseError, match=r"cannot read config .*nope\.yaml"):
        RunConfig.read_file(tmp_path / "nope.yaml")
    with pytest.raises(ZfuseError, match="cannot read config"):
        RunConfig.read_file(tmp_path)


def test_an_empty_file_is_no_settings(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# nothing yet\n")
    assert RunConfig.read_file(tmp_path / "run.yaml") == {}
