"""Settings as values: frozen, checked, read from YAML files or found by a ready-made name.

Duty: what all settings share. Must not know: which settings there are, what they do.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from zfuse.errors import ZfuseError, reason
from zfuse.pipeline.core._validation import nearest, one_line
from zfuse.pipeline.core._yaml import MOST_BYTES, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

__all__ = ["Settings"]


class Settings(BaseModel):
    """Settings that never change: `replace` makes others of them.

    Unknown keys are refused, as a misspelt one must not pass in silence; so are true and false
    where a number or a text belongs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ready_made: ClassVar[str | None] = None
    """Which files of `zfuse.configs` are for these settings: ``KIND-NAME.yaml``, or ``NAME.yaml``
    for the empty kind; None: none are."""

    @model_validator(mode="before")
    @classmethod
    def _true_is_not_one(cls, values: Any) -> Any:
        for key, value in values.items() if isinstance(values, dict) else ():
            kind = cls.model_fields[key].annotation if key in cls.model_fields else bool
            if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
                raise ValueError(
                    f"{key} = {value}: must not be true or false (YAML's yes, no, on, off); "
                    "quote a text"
                )
        return values

    @classmethod
    def checked(cls, values: Mapping[str, Any], origin: str = "settings") -> Self:
        """Make settings of keys and values.

        Raises
        ------
        ZfuseError
            One line: `origin`, which key, which value, what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ZfuseError(f"{origin}: {one_line(error, cls)}") from error

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """Read settings from a YAML file, or ready-made ones by their name, e.g. ``"laptop"``.

        Parameters
        ----------
        path
            The file, or the bare name.
        **changes
            Win over the file.

        Raises
        ------
        ZfuseError
            There is no such file or name, or as in `checked`.
        """
        return cls.checked(cls.read_file(path) | changes, f"config {path}")

    @classmethod
    def read_file(cls, path: str | Path) -> dict[str, Any]:
        """Return the keys and values of a YAML file or ready-made config, not checked yet.

        Raises
        ------
        ZfuseError
            There is no such file or name, it is no YAML, or holds no keys and values.
        """
        try:
            with cls._find(path).open("rb") as file:
                text = file.read(MOST_BYTES + 1).decode()
        except OSError as error:
            raise ZfuseError(f"cannot read config {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ZfuseError(f"config {path} is no valid YAML: {reason(error)}") from error
        values = read_yaml(text, f"config {path}")
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise ZfuseError(f"config {path} holds a {type(values).__name__}, not keys and values")
        return values

    @classmethod
    def _find(cls, path: str | Path) -> Any:
        """Return what `read_text` reads: a ready-made config, or the file."""
        name = str(path)
        bare = Path(path).name == name and not Path(path).suffix
        if not bare or cls.ready_made is None or name in (".", ".."):
            return Path(path)
        found = {
            stem: file
            for file in files("zfuse.configs").iterdir()
            if file.name.endswith(".yaml")
            and (stem := file.name.removesuffix(".yaml")).rpartition("-")[0] == cls.ready_made
        }
        if name not in found and not Path(path).exists():
            raise ZfuseError(
                f"no config {name!r}: {nearest(name, found)} (ready-made: "
                f"{', '.join(sorted(found))}), or give the path of a YAML file"
            )
        return found.get(name, Path(path))

    def replace(self, **changes: Any) -> Self:
        """Return the same settings but for some, all of them checked again.

        Raises
        ------
        ZfuseError
            As in `checked`.
        """
        given = {key: getattr(self, key) for key in self.model_fields_set}
        return self.checked(given | changes)
