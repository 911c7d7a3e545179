"""YAML as plain values, from people whom nobody knows.

Duty: keys, values and lists of bounded size out of a text, or one line that says what is wrong with
it. Must not know: what the values are for.

PyYAML's safe loader runs nothing, but a few lines of anchors (``&a``, ``*a``, ``<<: *a``) that
contain each other unfold to more than any memory holds, and what it makes of dates, numbers and
brackets can raise almost anything.
"""

from __future__ import annotations

from typing import Any

from zfuse.errors import ZfuseError, reason

__all__ = ["read_yaml"]

MOST_BYTES = 1_000_000
MOST_ALIASES = 16  # what they unfold to is largest for 3 in each of 5 levels: 250 times
DEEPEST = 50


def read_yaml(text: str, origin: str) -> Any:
    """Return what a text says.

    Parameters
    ----------
    text
        YAML.
    origin
        Where it comes from, for the refusal.

    Raises
    ------
    ZfuseError
        It is no YAML, has tags, or is larger or deeper than settings are.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise ZfuseError(f"{origin} has more than {MOST_BYTES} characters: these are no settings")
    depth = aliases = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if aliases > MOST_ALIASES or depth > DEEPEST:
                what = f"nests values deeper than {DEEPEST}" if depth > DEEPEST else (
                    f"has more than {MOST_ALIASES} aliases (*name)"
                )  # fmt: skip
                raise ZfuseError(f"{origin} {what}, which settings never do: write it out plainly")
        return yaml.safe_load(text)
    except ZfuseError:
        raise
    except Exception as error:  # of a date with month 13: ValueError, of !!bool maybe: KeyError …
        said = "".join(c if c.isprintable() else "?" for c in reason(error))  # it quotes the text
        raise ZfuseError(f"{origin} is no valid YAML: {said}") from error
