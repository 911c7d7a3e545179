"""What pydantic refuses, in one line that a microscopist understands.

Must not know: which settings there are.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel, ValidationError

__all__ = ["nearest", "one_line"]

_LIMITS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
}


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first thing that is wrong: which key, which value, what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}: {nearest(key, model.model_fields)}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    limits: dict[str, Any] = first.get("ctx", {})
    wanted = _LIMITS.get(first["type"])
    message = wanted.format(**limits) if wanted else first["msg"].removeprefix("Value error, ")
    return f"{key} = {first['input']!r}: {message}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question "did you mean …?", or the list when nothing is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if not near:  # capitals are no other name
        lower = {n.lower(): n for n in reversed(names)}
        near = [lower[n] for n in get_close_matches(name.lower(), lower, n=1)]
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
