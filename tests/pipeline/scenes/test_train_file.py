"""The file that `zfuse train` follows: what ships loads, and says where its data are from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import zfuse.configs
from zfuse.engines.training._config import AnyRecipe
from zfuse.pipeline.scenes._train_file import load_train_file

READY_MADE = sorted(Path(zfuse.configs.__file__).parent.glob("train-*.yaml"))


def test_every_shipped_config_loads_and_names_its_network(tmp_path: Path) -> None:
    known = {model.model_fields["network"].default for model in AnyRecipe.__origin__.__args__}
    names = {path.stem.removeprefix("train-"): path for path in READY_MADE}
    assert known <= names.keys()
    for name in known:
        settings = load_train_file(names[name], name, [], {})
        numbers = [
            source.numbers[1]
            for batch in settings.batches
            for source in batch.sources
            if getattr(source, "numbers", None)
        ]
        assert numbers
        assert max(numbers) <= 70  # 71 to 80 are held out
