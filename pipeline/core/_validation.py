"""What pydantic refuses, in one line that a microscopist understands.

Must not know: which settings there are.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import ValidationError

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
    "union_tag_invalid": "{discriminator} is {tag!r}; it must be one of {expected_tags}",
    "union_tag_not_found": "the key {discriminator} is missing",
}


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first thing that is wrong: which key, which value, what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *path, wrong = first["loc"]
        return f"unknown key {key!r}: {nearest(str(wrong), _part(model, path).model_fields)}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    limits: dict[str, Any] = first.get("ctx", {})
    wanted = _LIMITS.get(first["type"])
    message = wanted.format(**limits) if wanted else first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict):  # of several keys at once: the message names them
        return f"{key}: {message}" if key else message
    return f"{key} = {first['input']!r}: {message}"


def _part(model: type[BaseModel], path: list[int | str]) -> type[BaseModel]:
    """Return the class of the part of a model that lies at a path."""
    for step in path:
        if step in model.model_fields:
            parts = list(_models(model.model_fields[str(step)]))
            model = parts[0] if len(parts) == 1 else model
        elif not isinstance(step, int):  # the tag that chose one class of a union
            model = next(m for m in parts if step in _tags(m))
    return model


def _models(field: Any) -> Iterator[type[BaseModel]]:
    """Find the models in a field's type."""
    inner = getattr(field, "annotation", field)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        yield inner
    for part in get_args(inner):
        yield from _models(part)


def _tags(model: type[BaseModel]) -> set[Any]:
    """Return the words that choose this class of a union."""
    return {
        word
        for field in model.model_fields.values()
        for word in get_args(field.annotation)
        if isinstance(word, str)
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question "did you mean …?", or the list when nothing is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if not near:  # capitals are no other name
        lower = {n.lower(): n for n in reversed(names)}
        near = [lower[n] for n in get_close_matches(name.lower(), lower, n=1)]
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
