"""What one key of the configuration is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettingKind = Literal["text", "path", "integer", "number", "boolean", "choice", "texts", "secret"]
Value = str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the configuration file.

    `key` is its dotted path. `minimum` and `maximum` bound an integer or a number, both included. A text or path whose
    default is "" may be left empty. A setting that can come from the environment has the name that `environment` gives.
    A secret comes from there, or from the file that the setting `<key>_file` names, and never from the configuration.
    """

    key: str
    kind: SettingKind
    default: Value
    meaning: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def environment(self) -> str:
        """Name of the environment variable that overrides the file."""
        return "SOUNDINGS_" + self.key.upper().replace(".", "_")

    def expected(self) -> str:
        """Say in words what a value of this setting looks like."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "texts":
            return "a list of texts"
        if self.kind == "secret":
            return "a secret"
        if self.kind == "boolean":
            return "true or false"
        if self.kind in ("integer", "number"):
            low = "" if self.minimum is None else f" from {self.minimum}"
            high = "" if self.maximum is None else f" to {self.maximum}"
            return f"a {'whole ' if self.kind == 'integer' else ''}number{low}{high}"
        return "a path" if self.kind == "path" else "a text"
