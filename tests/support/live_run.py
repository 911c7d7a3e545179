"""A session in a process of its own, which may be killed at any moment: ``OUTPUT METHOD``.

Fuses an acquisition slowly, stack by stack, but for the stacks that an earlier process has written.
"""

from __future__ import annotations

import sys
import time

from tests.support.live import Acquisition
from zfuse.live import Session

ACQUISITION = Acquisition(positions=2, times=4, channels=2, size=(520, 300))


def main(output: str, method: str, pause: float) -> None:
    session = Session(output, method, workers=1)
    session.begin(ACQUISITION.series(times=None))
    print("begun", len(session.done), flush=True)
    for key in ACQUISITION.keys():
        if key not in session.done:
            for frame in ACQUISITION.frames([key]):
                time.sleep(pause)
                session.put(frame)
    report = session.end()
    assert not report.problem, report.problem
    print("ended", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
