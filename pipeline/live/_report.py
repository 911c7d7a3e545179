"""What became of every stack of a series.

Must not know: how stacks are fused, where they are written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.live._frame import StackKey

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMPLETE", "FAILED", "PARTIAL", "Report", "StackReport"]

COMPLETE, PARTIAL, FAILED = "complete", "partial", "failed"
_SHOWN = 5  # lines about single stacks that people read


@dataclass(frozen=True)
class StackReport:
    """What became of one stack.

    Attributes
    ----------
    key
        The stack.
    planes
        Number of planes that were fused, one entry a channel.
    status
        ``"complete"``, ``"partial"``: fewer planes than expected, or ``"failed"``.
    reason
        Why it failed.
    remarks
        Short lines about what was left out or assumed.
    seconds
        From its first frame to its result; nothing for those of an earlier session.
    """

    key: StackKey
    planes: tuple[int, ...]
    status: str
    reason: str = ""
    remarks: tuple[str, ...] = ()
    seconds: float | None = None

    def record(self) -> dict[str, Any]:
        """Return it as JSON values, without the seconds: the same for the same planes."""
        said = {
            "p": self.key.p,
            "t": self.key.t,
            "planes": list(self.planes),
            "status": self.status,
            "reason": self.reason,
            "remarks": list(self.remarks),
        }
        return {key: value for key, value in said.items() if value not in ("", [])}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> StackReport:
        """Return what `record` was made of."""
        return cls(
            StackKey(int(record["p"]), int(record["t"])),
            tuple(int(n) for n in record.get("planes", ())),
            str(record["status"]),
            str(record.get("reason", "")),
            tuple(str(line) for line in record.get("remarks", ())),
        )

    def __str__(self) -> str:
        planes = ", ".join(str(n) for n in self.planes)
        place = f"position {self.key.p}, time {self.key.t}"
        said = [f"{place}: {self.status} ({planes} plane{'' if planes == '1' else 's'})"]
        if self.reason:
            said.append(self.reason)
        return "; ".join([*said, *self.remarks])


@dataclass(frozen=True)
class Report:
    """What became of a series.

    Attributes
    ----------
    output
        Where the result lies; None where nothing was to be written, or nothing was published.
    stacks
        One entry a stack that came or should have come, by time point and position.
    problem
        Why nothing was published, or why this is no final report; "" if all is well.
    cancelled
        The acquisition was cancelled.
    """

    output: str | None
    stacks: tuple[StackReport, ...] = field(default_factory=tuple)
    problem: str = ""
    cancelled: bool = False

    def __str__(self) -> str:
        counts = Counter(stack.status for stack in self.stacks)
        said = [f"{counts[s]} {s}" for s in (COMPLETE, PARTIAL, FAILED) if counts[s]]
        place = f"{self.output}: " if self.output else ""
        plural = "" if len(self.stacks) == 1 else "s"
        lines = [f"{place}{len(self.stacks)} stack{plural}{': ' if said else ''}{', '.join(said)}"]
        if self.cancelled:
            lines[0] += ", cancelled"
        told = [s for s in self.stacks if s.status != COMPLETE or s.remarks]
        lines += [f"  {stack}" for stack in told[:_SHOWN]]
        if len(told) > _SHOWN:
            lines.append(f"  … and {len(told) - _SHOWN} more")
        if self.problem:
            lines.append(self.problem)
        return "\n".join(lines)
