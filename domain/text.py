"""Folding and tokens: how text becomes comparable, once, for the matcher and for both stores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text: its folded form and where it stood, in code points of the text."""

    text: str
    start: int
    end: int


def fold(text: str) -> str:
    """Give the comparable form of a text: NFKC, case folded, Latin, Greek and Cyrillic accents removed."""
    ...


def tokens(text: str) -> list[Token]:
    """Cut a text into folded tokens."""
    ...
