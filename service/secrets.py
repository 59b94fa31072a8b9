"""Secrets: values that may be used but never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# A secret is a line; what is longer is another file by mistake.
MAX_SECRET_BYTES = 64 * 1024
MASK = "***"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """One secret. Printing it in any way shows stars; `reveal` gives it to whoever must have it. Empty is false."""

    value: str = ""

    def reveal(self) -> str:
        """Give the secret itself."""
        return self.value

    def __repr__(self) -> str:
        return f"Secret({MASK if self.value else ''})"

    def __str__(self) -> str:
        return MASK if self.value else ""

    def __bool__(self) -> bool:
        return bool(self.value)


def flaw_of(value: str, *, ascii_only: bool) -> str:
    """Say what keeps a text from being a secret, without any of it; "" when nothing does."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        return "a line break or another control character"
    if value != value.strip():
        return "white space before or after it"
    if ascii_only and not value.isascii():
        return "a character that is no ASCII"
    return ""


def read_secret(path: Path, problems: list[str], place: str) -> str:
    """Give the first line of a file, without its end; what stands in the way is added to `problems`, "" is given."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        problems.append(f"{place}: {path}: cannot be read: {exc.strerror or exc}")
        return ""
    first, _, rest = raw.partition(b"\n")
    if rest.strip() or len(raw) > MAX_SECRET_BYTES:
        problems.append(f"{place}: {path}: found more than one line, expected the secret alone")
        return ""
    try:
        value = first.rstrip(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        problems.append(f"{place}: {path}: found bytes that are not UTF-8, expected the secret alone")
        return ""
    if not value:
        problems.append(f"{place}: {path}: is empty, expected the secret alone")
    return value
