"""A folder's face is its `__init__`: what begins with an underscore is its own and its rooms'.

`lint-imports` holds the direction of imports (see pyproject.toml); it has no contract for this.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"zfuse": "src/zfuse"} | {
    f"zfuse.{name}": name for name in ("engines", "kernels", "pipeline", "plugins")
}


def _imports(module: Path) -> list[tuple[int, str]]:
    """Return line and dotted name of everything of zfuse that a module imports."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
    return [(line, name) for line, name in found if name.split(".")[0] == "zfuse"]


def test_nobody_imports_past_a_face() -> None:
    trespasses = []
    for package, folder in FOLDERS.items():
        for module in sorted((ROOT / folder).rglob("*.py")):
            home = ".".join((package, *module.parent.relative_to(ROOT / folder).parts))
            for line, name in _imports(module):
                parts = name.split(".")
                private = [i for i, part in enumerate(parts) if part.startswith("_")]
                private = [i for i in private if not parts[i].startswith("__")]
                owner = ".".join(parts[: private[0]]) if private else home
                if not f"{home}.".startswith(f"{owner}."):
                    trespasses.append(f"{module.relative_to(ROOT)}:{line} imports {name}")
    assert trespasses == []
