"""Which version this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """Give the version of the installed package; of a bare source tree "unknown"."""
    try:
        return installed("soundings")
    except PackageNotFoundError:
        return "unknown"
