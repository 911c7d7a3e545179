"""What a run tells the outside while it goes on.

Must not know: who listens, how it is shown.
"""

from __future__ import annotations

__all__ = ["Progress"]


class Progress:
    """What a run tells the outside. The default says nothing; override what you show."""

    def start(self, voxels: int) -> None:
        """Tell how many voxels the run will fold."""

    def advance(self, voxels: int) -> None:
        """Tell that so many more are done. Called from worker threads, one at a time."""

    def note(self, line: str) -> None:
        """Show one line about what was found."""

    def warn(self, line: str) -> None:
        """Show one line about an assumption or a doubt."""
