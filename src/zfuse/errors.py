"""The exception that means "your input, your settings or your disk", never "our bug".

Knows nothing of where it is raised. The command line prints its text as one line and exits with 1;
anything else that escapes is a defect and keeps its traceback, but for `Cancelled`, which whoever
asked for it gets back.
"""


class ZfuseError(Exception):
    """A refusal in one line: what happened, the value, the limit, the cure."""


class Cancelled(Exception):
    """A run stopped because it was asked to; nothing is left of it."""


def reason(error: object) -> str:
    """Return what another library's error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
