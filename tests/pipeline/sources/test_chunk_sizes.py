"""What a chunk may decode to is never told too small, nor so large that a good one is refused."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest

from zfuse.pipeline.sources._chunk_sizes import most_decoded

BLOCK = 2**17


@pytest.mark.parametrize("size", [1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 10**6])
@pytest.mark.parametrize("level", [-5, 1, 9])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstd(size: int, level: int, checksum: bool) -> None:
    random = np.random.default_rng(size)
    for pixels in (random.integers(0, 256, size), random.poisson(3, size), np.zeros(size)):
        data = bytes(numcodecs.Zstd(level, checksum).encode(pixels.astype(np.uint8)))
        found = most_decoded("zstd", b"other" + data + data, 5, len(data), 10**12)
        assert size <= found <= size + BLOCK
        twice = most_decoded("zstd", data + data, 0, 2 * len(data), 10**12)
        assert twice == 2 * found  # frames that follow one another decode to all of them


@pytest.mark.parametrize("name", ["Blosc", "LZ4", "GZip", "Zlib", "BZ2", "LZMA"])
def test_others(name: str) -> None:
    for size in (1, 1000, 10**6):
        data = bytes(getattr(numcodecs, name)().encode(np.arange(size).astype(np.uint8)))
        assert most_decoded(name.lower(), data, 0, len(data), 10**9) == size
        assert most_decoded(name.lower(), data[: len(data) // 2], 0, len(data), 10**9) >= 0
