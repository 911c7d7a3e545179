"""A method's settings as fields of a form: kind, limits, step and words of each.

Duty: read them off the method's pydantic model, so that a form never knows a method. Must not know:
Qt, what a setting does.
"""

from __future__ import annotations

import itertools
import types
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from zfuse.pipeline.methods import METHODS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from zfuse.pipeline.methods import Method

__all__ = ["Option", "options"]

_PROBED = 999  # where a field's own limits do not end it, its validators are asked up to here


@dataclass(frozen=True)
class Option:
    """One setting.

    Attributes
    ----------
    name, label, help
        Of the field; for people; what it means.
    kind
        ``"choice"`` of texts, ``"flag"``, ``"integer"`` or ``"number"``.
    default
        A value of the field.
    choices
        Of a choice.
    low, high, step
        Limits of numbers, both allowed.
    instead
        A value that is no number but may stand in its place, e.g. ``"auto"`` or None.
    has_instead
        Whether there is one.
    """

    name: str
    label: str
    help: str
    kind: str
    default: Any
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float = 1
    instead: Any = None
    has_instead: bool = False


@cache
def options(method: str) -> tuple[Option, ...]:
    """Return the settings of a method by its name, in the order of its fields, own ones first."""
    model = METHODS[method].load()
    own = [n for n in model.__annotations__ if n in model.model_fields]
    names = own + [n for n in model.model_fields if n not in own]
    return tuple(_option(model, name, model.model_fields[name]) for name in names if name != "name")


def _option(model: type[Method], name: str, field: FieldInfo) -> Option:
    parts = _parts(field.annotation)
    texts = tuple(value for part in parts for value in get_args(part) if isinstance(value, str))
    about: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " "),
        "help": _sentence(field.description or ""),
        "default": field.default,
    }
    if bool in parts:
        return Option(**about, kind="flag")
    if int not in parts and float not in parts:
        return Option(**about, kind="choice", choices=texts)
    whole = float not in parts
    other: dict[str, Any] = {"instead": texts[0] if texts else None}
    other["has_instead"] = bool(texts) or type(None) in parts
    low, high = _limit(field, "ge", "gt"), _limit(field, "le", "lt")
    if not whole:
        step = 0.1
        low = (low or 0.0) + (step if any(hasattr(m, "gt") for m in field.metadata) else 0.0)
        return Option(
            **about, **other, kind="number", low=low, high=_PROBED if high is None else high,
            step=step,
        )  # fmt: skip
    first = 1 if low is None else int(low)
    last = _PROBED if high is None else int(high)
    valid = [n for n in range(first, min(last, _PROBED) + 1) if _valid(model, name, n)]
    steps = {b - a for a, b in itertools.pairwise(valid)} or {1}
    return Option(
        **about, **other, kind="integer", low=valid[0], high=valid[-1], step=min(steps)
    )  # fmt: skip


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Return what a union is made of, of anything else itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    assert annotation in (bool, int, float) or get_origin(annotation) is Literal, annotation
    return (annotation,)


def _limit(field: FieldInfo, *names: str) -> float | None:
    for said in field.metadata:
        for name in names:
            if hasattr(said, name):
                return float(getattr(said, name))
    return None


def _valid(model: type[Method], name: str, value: int) -> bool:
    try:
        model.model_validate({"name": model.model_fields["name"].default, name: value})
    except ValidationError:
        return False
    return True


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
