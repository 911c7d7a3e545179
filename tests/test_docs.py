"""What README and the tour show works: their commands and their Python are run, in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from zfuse.pipeline.cli._app import app

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/tour.md", "docs/howto/trust.md"]
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder of planes, as a reader might sit in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planes").mkdir()
    pixels = np.random.default_rng(0).integers(90, 4000, (4, 48, 64)).astype(np.uint16)
    for z, plane in enumerate(pixels):
        tifffile.imwrite(tmp_path / "planes" / f"plane_z{z:03d}.tif", plane)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_works(page: str, workplace: Path) -> None:
    blocks = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    assert {kind for kind, _ in blocks} == {"sh", "python"}
    if not any("zfuse simulate stack.ome.zarr" in block for _, block in blocks):
        CliRunner().invoke(app, ["simulate", "stack.ome.zarr", "--size", "96", "--planes", "4"])
    for kind, block in blocks:
        if kind == "python":
            planes = np.random.default_rng(1).integers(0, 4096, (5, 64, 64)).astype(np.uint16)
            exec(compile(block, page, "exec"), {"planes": planes})
            continue
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "zfuse", line
            done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
            assert done.exit_code == 0, f"{line}: {done.stderr}"


def test_links_between_pages_lead_somewhere() -> None:
    broken: list[str] = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        broken += [f"{page.name}: {t}" for t in targets if not (page.parent / t).exists()]
    assert broken == []


def test_the_first_table_of_quality_is_what_the_others_say() -> None:
    summary, _, rest = (ROOT / "docs/quality.md").read_text(encoding="utf-8").partition("\n## ")
    figures = set(re.findall(r"\d+\.\d{2,}", summary))
    assert len(figures) > 20
    assert figures - set(re.findall(r"\d+\.\d{2,}", rest)) == set()
