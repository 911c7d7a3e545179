"""A form can be made of every method's settings, and makes no setting that the method refuses."""

from __future__ import annotations

from typing import Any

import pytest

from zfuse.pipeline.methods import METHODS, make_method
from zfuse.plugins._options import Option, options

every_option = pytest.mark.parametrize(
    ("method", "option"),
    [(m, o) for m in METHODS for o in options(m)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)


def ends(option: Option) -> list[Any]:
    if option.kind == "flag":
        return [False, True]
    if option.kind == "choice":
        return list(option.choices)
    return [option.low, option.high, option.low + option.step] + [option.instead] * (
        option.has_instead
    )


@every_option
def test_all_that_a_form_can_say_is_accepted(method: str, option: Option) -> None:
    for value in [option.default, *ends(option)]:
        made = make_method({"name": method, option.name: value})
        assert getattr(made, option.name) == value


@every_option
def test_every_setting_says_what_it_means(method: str, option: Option) -> None:
    assert option.help
    assert option.help[0].isupper()
    assert option.default in ends(option) or option.low <= option.default <= option.high


def test_limits_are_those_of_the_model() -> None:
    window = next(o for o in options("select") if o.name == "window")
    assert (window.low, window.high, window.step) == (1, 45, 2)  # odd, which only a validator says
    majority = next(o for o in options("umis") if o.name == "majority")
    assert (majority.instead, majority.low, majority.high, majority.step) == ("auto", 1, 51, 2)
    denoise = next(o for o in options("adaptive") if o.name == "denoise")
    assert (denoise.kind, denoise.low, denoise.high) == ("number", 0, 4)
    measure = next(o for o in options("select") if o.name == "measure")
    assert (measure.kind, measure.choices[0]) == ("choice", "sml")
