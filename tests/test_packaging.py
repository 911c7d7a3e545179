"""The layout's known traps: a sub-package that nobody listed is missing from every install."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]
FOLDERS = {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()}


def _packages_on_disk() -> set[str]:
    found = set()
    for name, folder in FOLDERS.items():
        for module in folder.rglob("*.py"):
            parts = module.parent.relative_to(folder).parts
            found.add(".".join((name, *parts)))
    return found


def test_every_package_is_listed():
    assert _packages_on_disk() == set(SETUPTOOLS["packages"])


@pytest.mark.parametrize("name", sorted(SETUPTOOLS["packages"]))
def test_every_package_has_an_init(name):
    top = next(top for top in sorted(FOLDERS, reverse=True) if f"{name}.".startswith(f"{top}."))
    folder = FOLDERS[top].joinpath(*name.removeprefix(top).split("."))
    assert (folder / "__init__.py").is_file()


def test_importing_zfuse_loads_no_heavy_library():
    heavy = "numba zarr dask skimage scipy tifffile typer rich pydantic yaozarrs PIL".split()
    code = f"import sys, zfuse; print(*[m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
