"""The examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _with_examples() -> list[str]:
    """Return the modules whose text holds an example."""
    found = []
    for folder in ("engines", "kernels", "pipeline", "plugins", "src/zfuse"):
        for module in sorted((ROOT / folder).rglob("*.py")):
            if ">>> " in module.read_text(encoding="utf-8"):
                parts = module.relative_to(ROOT).with_suffix("").parts
                parts = parts[2:] if parts[0] == "src" else parts
                found.append(".".join(("zfuse", *parts)).removesuffix(".__init__"))
    return found


@pytest.mark.parametrize("name", _with_examples())
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(
        import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried > 0
    assert failed == 0


def test_there_are_examples() -> None:
    assert _with_examples()
