"""Names in metadata: what leads out of the place that names it is refused, on every system."""

from __future__ import annotations

import pytest

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import inside


@pytest.mark.parametrize(
    "name",
    [
        "..", "../x", "a/../../x", "a/..", "..\\x", "a\\..\\x", "/etc/passwd", "\\\\server\\x",
        "C:\\x", "c:x", "file:///etc/passwd", "s3://bucket/x", "a\0b",
    ],
)  # fmt: skip
def test_what_leads_out(name: str) -> None:
    with pytest.raises(ZfuseError, match=r"outside of it.*put it there") as refused:
        inside(name, "in.ome.zarr")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["", "0", "A/1/0", "./0", "a..b", "...", "x.ome.tif", "12:30.tif"])
def test_what_stays(name: str) -> None:
    assert inside(name, "in.ome.zarr") == name
