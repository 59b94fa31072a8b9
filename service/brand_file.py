"""The brands of the configuration file, read again when it changes; a file with problems changes nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

from domain.brand import Brand
from service.brand_check import query_problems
from service.settings import Settings, read
from service.terminal import safe

log = logging.getLogger(__name__)

_Mark: TypeAlias = tuple[int, int, int]
# An editor that saves may take the file away for a moment.
_LOOKS_UNTIL_GONE = 2


class BrandFile:
    """The file that settings were read from, or none. Not thread-safe."""

    def __init__(self, settings: Settings, *, aloud: bool) -> None:
        """Begin with the brands of `settings`. `aloud`: what is wrong is told; of several processes one does."""
        self.brands: tuple[Brand, ...] = settings.brands
        self._path = settings.origin
        self._levels = (logging.ERROR, logging.WARNING, logging.INFO) if aloud else (logging.DEBUG,) * 3
        self._mark: _Mark | None = None
        self._before: Settings | None = None
        self._told: frozenset[str] = frozenset()
        # How often in a row it was not there, and whether it was last told that it cannot be used.
        self._missed = 0
        self._bad = False

    @property
    def name(self) -> str:
        """What its brands are said to be changed in."""
        return str(self._path) if self._path is not None else "the command line"

    def look(self, *, anyway: bool = False) -> None:
        """Read the file again if it changed, or `anyway`.

        What is wrong with it, that it is gone, that it is good again and what needs a restart is told once.
        """
        error, _, info = self._levels
        mark = _mark(self._path) if self._path is not None else None
        if self._path is None or mark is None:
            self._miss()
            return
        self._missed = 0
        if mark == self._mark and not anyway:
            return
        self._mark = mark
        settings, problems = read(self._path, environ=os.environ)
        problems += [problem for brand in settings.brands for problem in query_problems(brand)]
        if not problems and not settings.brands:
            problems.append(f"{self._path}: names no brand any more; pause the brands instead")
        if problems:
            for problem in problems:
                log.log(error, "%s", safe(problem))
            log.log(error, "%s has problems: its brands stay as they were", self._path)
            self._bad = True
            return
        if self._bad:
            number = len(settings.brands)
            log.log(info, "%s is good again: %d brand%s", self._path, number, "" if number == 1 else "s")
            self._bad = False
        self._tell_of_others(settings)
        self.brands = settings.brands

    def _miss(self) -> None:
        self._missed += 1
        if self._path is not None and self._missed == _LOOKS_UNTIL_GONE:
            log.log(self._levels[0], "%s is not there any more: its brands stay as they were", self._path)
            # As one with problems: whatever comes in its place is read, and told of.
            self._bad, self._mark = True, None

    def _tell_of_others(self, settings: Settings) -> None:
        if self._before is None:
            self._before = settings
        changed = frozenset(_changed(self._before, settings))
        if changed - self._told:
            names = ", ".join(sorted(changed - self._told))
            log.log(self._levels[1], "%s: %s changed, which needs a restart", self._path, names)
        self._told |= changed


def _mark(path: Path) -> _Mark | None:
    """Give what tells a file from its earlier contents; None while it is not there (an editor may be replacing it)."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _changed(before: Settings, after: Settings) -> list[str]:
    """Name the settings that differ, brands left out."""
    old, new = (asdict(replace(settings, brands=(), origin=None)) for settings in (before, after))
    return [name for table in old for name in _differing(table, old[table], new[table])]


def _differing(name: str, old: Any, new: Any) -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [name] if old != new else []
    # Settings of a source are `source.NAME.x`, though they are kept beside what says which are enabled.
    below = "source" if name == "sources.values" else name
    return [one for key in {**old, **new} for one in _differing(f"{below}.{key}", old.get(key), new.get(key))]
