"""Which plane a file of a growing folder is.

Duty: names to places (position, time, channel, z), as `zfuse.open` of a folder reads them or by a
template. Must not know: pixels, what is written when.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zfuse.errors import ZfuseError
from zfuse.pipeline.live._stacks import Spot
from zfuse.pipeline.sources import natural, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PlaneNames"]

_FIELDS = {"t": r"\d+", "c": r"[^/]+?", "z": r"\d+", "p": r"[^/]+?"}


class PlaneNames:
    """Reads names, once it has seen enough of them to know what they count.

    Parameters
    ----------
    template
        Such as ``img_{t}_{c}_{z}.tif``, also with a folder (``{p}/plane{z}.tif``); None: the words
        t, c, z and their like in the names say it, a folder is a position.
    """

    def __init__(self, template: str | None = None) -> None:
        self._template = None if template is None else _compiled(template)
        self._whole_path = template is not None and "/" in template
        self.axes = "" if template is None else re.sub(r"[^tczp]", "", "".join(_named(template)))
        self._fixed = template is not None

    @property
    def counts_z(self) -> bool:
        """Whether the names say z."""
        return "z" in self.axes

    def fix(self) -> None:
        """Keep to what is counted now; names that lack it are odd from now on."""
        self._fixed = True

    def spots(self, files: Iterable[str]) -> tuple[dict[str, Spot], list[str]]:
        """Return the places of files, given relative to the folder with /, and the odd files.

        A place has no z where the order of the names counts.
        """
        said = {file: self._said(file) for file in sorted(files, key=natural)}
        if not self._fixed:
            # Half of them: a thumbnail or a snapshot that lies about does not change the count.
            known = [words for words in said.values() if words is not None]
            self.axes = "".join(
                axis for axis in "tczp" if 2 * sum(axis in words for words in known) > len(known)
            )
            if "z" not in self.axes:
                self.axes = self.axes.replace("p", "")  # s001, s002 … alone are slices
        found: dict[str, Spot] = {}
        odd = []
        for file, words in said.items():
            if words is None or any(axis not in words for axis in self.axes):
                odd.append(file)
                continue
            t, c, z, p = (words[axis] if axis in self.axes else "" for axis in "tczp")
            folder = "" if self._whole_path else file.rpartition("/")[0]
            found[file] = Spot(folder or p, t, c, z)
        return found, odd

    def _said(self, file: str) -> dict[str, str] | None:
        name = file if self._whole_path else file.rpartition("/")[2]
        if self._template is None:
            return tokens(name)
        match = self._template.fullmatch(name)
        if match is None:
            return None
        return {
            axis: str(int(text)) if text.isdecimal() else text
            for axis, text in match.groupdict().items()
        }


def _named(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def _compiled(template: str) -> re.Pattern[str]:
    """Make a pattern of a template, or refuse it."""
    fields = _named(template)
    unknown = [field for field in fields if field not in _FIELDS]
    if unknown or "z" not in fields or len(set(fields)) != len(fields):
        raise ZfuseError(
            f"template {template!r} must name {{z}} and may name {{t}}, {{c}}, {{p}}, each once, "
            "e.g. img_{t}_{c}_{z}.tif"
        )
    parts = re.split(r"\{(\w+)\}", template)
    pattern = "".join(
        f"(?P<{part}>{_FIELDS[part]})" if i % 2 else re.escape(part) for i, part in enumerate(parts)
    )
    return re.compile(pattern)
