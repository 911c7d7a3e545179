"""YAML of strangers: values, or one line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings, strategies as st

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import read_yaml

LISTS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{f'*a{i - 1}, ' * 9}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LISTS, "aliases"),
        (MERGES, "aliases"),
        ("a: " + "[" * 100_000, "deeper than 50"),
        ("a: " + "{a: " * 900 + "1" + "}" * 900, "deeper than 50"),
        ("x" * 1_000_001, "more than 1000000 characters"),
        ("a: !!python/object/apply:os.system [ls]", "no valid YAML"),
        ("a: !!python/name:os.system", "no valid YAML"),
        ("a: 2024-13-99", "no valid YAML"),
        ("a: !!bool maybe", "no valid YAML"),
        ("a: !!timestamp maybe", "no valid YAML"),
        ("a: !!int ''", "no valid YAML"),
        ("a: " + "9" * 5000, "no valid YAML"),
        ("a: \x1b[31m", "no valid YAML"),
    ],
)
def test_refused_in_one_line_at_once(text: str, said: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(ZfuseError, match=said) as refused:
        read_yaml(text, "config a.yaml")
    assert str(refused.value).isprintable()
    assert time.perf_counter() - begun < 5


def test_a_few_anchors_are_read() -> None:
    said = read_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n", "config a.yaml")
    assert said == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}


WORDS = ["a", ": ", "\n", "- ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!int ", "!!", "|", "#",
         "'", '"', "0x", "1e9", "~", "2024-01-01", "? ", "\t", "%", "@", "9" * 30]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25).map("".join))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_there(text: str) -> None:
    said = ""
    try:
        read_yaml(text, "config a.yaml")
    except ZfuseError as error:
        said = str(error)
    assert said.isprintable()
