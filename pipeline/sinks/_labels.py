"""Names and notes that every format can hold, and the colours of channels.

Duty: what people and other programs read beside the pixels, cleaned once for all formats. Must not
know: file formats, pixels.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfuse.pipeline.core import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfuse.pipeline.core import Stack

__all__ = ["channel_names", "clean", "colour_of", "labelled"]

# Bytes of a file name that are no UTF-8 come as lone surrogates, which no file can hold as text;
# XML cannot hold control characters either.
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_UNKNOWN = "\ufffd"


def clean(value: Any) -> Any:
    """Return JSON values of which every text can be written in every format."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return json.loads(_SURROGATE.sub(_UNKNOWN, text))


def labelled(stack: Stack, image: str = "") -> Stack:
    """Return the stack with names that can be written.

    `image` is its path among several: it is part of the name, so that no two have the same, and
    whoever writes one need not know the others.
    """
    return replace(
        stack,
        name=_placed(_name(stack.name), image),
        channels=tuple(
            Channel(_name(channel.name), clean(dict(channel.omero))) for channel in stack.channels
        ),
    )


def _placed(name: str, image: str) -> str:
    if image.endswith(name):
        return image
    return name if name.endswith(image) else f"{name} {image}"


def _name(text: str) -> str:
    return _CONTROL.sub(_UNKNOWN, _SURROGATE.sub(_UNKNOWN, text))


def channel_names(stack: Stack) -> tuple[str, ...]:
    """Name of each channel; its index where the source has none."""
    names = [channel.name for channel in stack.channels[: stack.shape[1]]]
    names += [""] * (stack.shape[1] - len(names))
    return tuple(name or str(index) for index, name in enumerate(names))


def colour_of(omero: Mapping[str, Any]) -> str | None:
    """Colour of a channel as six capital hexadecimal digits, None where it has none."""
    text = str(omero.get("color")).removeprefix("#").upper()
    return text if len(text) == 6 and set(text) <= set("0123456789ABCDEF") else None
