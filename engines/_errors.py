"""The one exception that means "your model file, your machine or your settings", never "our bug".

Knows nothing of where it is raised.
"""


class EngineError(ValueError):
    """A refusal in one line: what happened, the value, the limit, the cure."""
