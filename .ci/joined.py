"""Lay the folders of the repository together as the one package that an installation makes of them.

    python .ci/joined.py        # into build/joined

mypy, import-linter and mkdocstrings read sources from a path, and only an installation joins them.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_startup(**_: Any) -> None:
    """Copy the package to build/joined; mkdocs calls this before it builds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    joined = ROOT / "build" / "joined"
    shutil.rmtree(joined, ignore_errors=True)
    for package, folder in sorted(project["tool"]["setuptools"]["package-dir"].items()):
        shutil.copytree(
            ROOT / folder,
            joined.joinpath(*package.split(".")),
            ignore=shutil.ignore_patterns("__pycache__", "*.onnx"),
            dirs_exist_ok=True,
        )


if __name__ == "__main__":
    on_startup()
