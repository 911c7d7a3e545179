"""What the tests of engines share: a tiny network that is exported once, and the shipped ones."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from zfuse.engines import MODELS, _cards, card
from zfuse.engines._models import Model
from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOY = Model("toy", "Toy", ("toy", "toy-fold"), "tests", module="support.toy_network")


@cache
def shipped() -> list[str]:
    """Graphs of the networks whose weights are in the package."""
    found = []
    for name, model in MODELS.items():
        try:
            card(name)
        except ZfuseError:
            continue
        found += model.graphs
    return found


GRAPHS = [*TOY.graphs, *shipped()]


@cache
def _exported() -> TemporaryDirectory[str]:
    """Export the toy network, once: it takes seconds."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from support.toy_network import Toy
    from zfuse.engines.export import export

    folder = TemporaryDirectory(prefix="zfuse-toy-")
    export("toy", Toy().state_dict(), folder.name, training={"best": {"ssim": 0.5}})
    return folder


@contextmanager
def toy_in(folder: Path) -> Iterator[Path]:
    """Put the toy network's files into a new folder, and let them be found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", TOY)
        shutil.copytree(_exported().name, folder)
        patch.setenv(_cards.FOLDER_VARIABLE, str(folder))
        yield folder
