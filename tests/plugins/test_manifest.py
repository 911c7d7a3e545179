"""What napari is told of zfuse is there."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFEST: dict[str, Any] = yaml.safe_load(
    files("zfuse.plugins").joinpath("napari.yaml").read_text(encoding="utf-8")
)


def test_napari_finds_the_manifest() -> None:
    project = tomllib.loads(
        Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
    )
    entry = project["project"]["entry-points"]["napari.manifest"]["zfuse"]
    package, _, name = entry.partition(":")
    assert name in project["tool"]["setuptools"]["package-data"][package]
    assert files(package).joinpath(name).is_file()


def test_the_manifest_is_valid() -> None:
    npe2 = pytest.importorskip("npe2", reason="no npe2 here: pip install 'zfuse[napari]'")
    manifest = npe2.PluginManifest(**MANIFEST)
    assert manifest.name == "zfuse"


@pytest.mark.parametrize("command", MANIFEST["contributions"]["commands"], ids=lambda c: c["id"])
def test_every_command_is_there(qapp: Any, command: dict[str, Any]) -> None:
    module, _, name = command["python_name"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_every_contribution_has_its_command() -> None:
    contributions = MANIFEST["contributions"]
    known = {command["id"] for command in contributions["commands"]}
    used = {
        entry["command"]
        for kind, entries in contributions.items()
        if kind != "commands"
        for entry in entries
        if "command" in entry
    }
    assert used <= known
