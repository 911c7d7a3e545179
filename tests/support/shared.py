"""Where real stacks and reference metrics lie; no user has them, and tests skip without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["INVENTED", "METRICS", "SHARED", "STACKS", "needs_stacks"]

# Beside the checkout; .ci/run works on a copy elsewhere and names the place.
SHARED = Path(os.environ.get("ZFUSE_SHARED") or Path(__file__).parents[3] / "shared")
STACKS = SHARED / "data" / "stacks"
INVENTED = SHARED / "eval" / "invented.py"
METRICS = SHARED / "eval" / "metrics.py"

needs_stacks = pytest.mark.skipif(not STACKS.is_dir(), reason="needs ../shared/data")
