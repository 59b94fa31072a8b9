"""The past of a live source, for `soundings backfill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from domain.brand import Brand
from domain.clock import Clock
from domain.errors import ConfigError
from service.components import live_sources
from service.settings import Settings
from service.sources import SOURCE_KINDS

if TYPE_CHECKING:
    from ingest.normalise import NormaliserSettings
    from ingest.source import Source


# What `--to` may lie ahead: a date is included, and today ends with the next midnight.
_AHEAD = timedelta(days=1)


def require_past(name: str, start: datetime, end: datetime, clock: Clock) -> None:
    """See that a source has a past, and that a time is one; whatever its settings are.

    Raises:
        ConfigError: every problem found.
    """
    problems: list[str] = []
    kind = next((kind for kind in SOURCE_KINDS if kind.name == name), None)
    having = ", ".join(one.name for one in SOURCE_KINDS if one.has_past)
    if kind is None:
        problems.append(f"--source: found {name!a}, expected one of {having}")
    elif not kind.has_past:
        problems.append(
            f"--source: {name} has no history: it gives only what is new, so nothing fills up; see {kind.page}, "
            f"or name one of {having}"
        )
    now = clock.now()
    if start >= now:
        problems.append(f"--from: {_shown(start)} lies ahead, expected a time before now ({_shown(now)})")
    elif start >= end:
        problems.append(f"--from: {_shown(start)} is not before the end of --to ({_shown(end)}); are they swapped?")
    elif end >= now + _AHEAD:
        problems.append(f"--to: {_shown(end)} lies ahead, expected today ({now:%Y-%m-%d}) or before")
    if problems:
        raise ConfigError(problems)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def past_of(
    settings: Settings, brands: Sequence[Brand], name: str, start: datetime, end: datetime, clock: Clock
) -> tuple[Source, NormaliserSettings]:
    """Give what a source has of `[start, end)` as a source that ends, and how its values are read.

    It need not be enabled: filling up is asked for by hand.

    Raises:
        ConfigError: there is no such source, it cannot be used as configured, it has no past to ask for, or nothing of
            that time.
    """
    from ingest.source import History

    require_past(name, start, end, clock)
    (source,) = live_sources(replace(settings, sources=replace(settings.sources, enabled=(name,))), brands, clock)
    assert isinstance(source, History)
    # Posts of the past are told to nobody as news.
    return source.history(start, end), replace(source.normalise, backfilled=True)
