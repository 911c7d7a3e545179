"""What the check for drift finds in stacks, and its share of a run's work.

    python benchmarks/drift.py ../shared/data/stacks/*/

One line a stack: what a corner is found to move, what of it is sure, and the CPU time of the check
beside that of a run with it (adaptive, `--align none`), each the less of two, after a first run
that compiles. CPU time, so that a busy machine does not matter. `--look` leaves out the runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import zfuse
from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.alignment._check import Check, check_drift

if TYPE_CHECKING:
    from collections.abc import Callable


def _least(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(2):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return min(seconds)


def _checked(place: Path) -> Check:
    with zfuse.open(place) as stack:
        return check_drift(stack)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stacks", nargs="+", type=Path)
    parser.add_argument("--method", default="adaptive")
    parser.add_argument("--look", action="store_true", help="do not run")
    given = parser.parse_args()
    for place in given.stacks:
        try:
            check = _checked(place)
        except ZfuseError as error:
            print(f"{place.name}: {error}")
            continue
        line = f"{place.name}: found {check.found:.1f} px, surely {check.moved:.1f} px"
        if not check.known:
            line += ", too little detail in some planes"
        if not given.look:
            with tempfile.TemporaryDirectory() as scratch:
                config = RunConfig(
                    input=place,
                    output=Path(scratch, "out.ome.zarr"),
                    method=given.method,
                    align="none",
                    overwrite=True,
                )
                run(config)
                whole = _least(lambda config=config: run(config))
            alone = _least(lambda place=place: _checked(place))
            line += f"; check {alone:.2f} of {whole:.2f} s, {100 * alone / whole:.1f} %"
        print(line, flush=True)


if __name__ == "__main__":
    main()
