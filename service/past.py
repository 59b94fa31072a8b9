"""The past of a live source, for `soundings backfill`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
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

    kind = next((kind for kind in SOURCE_KINDS if kind.name == name), None)
    if kind is None:
        names = ", ".join(one.name for one in SOURCE_KINDS)
        raise ConfigError(f"--source: found {name!a}, expected one of {names}")
    if start >= end:
        raise ConfigError(f"--from and --to: {start.isoformat()} is not before {end.isoformat()}")
    (source,) = live_sources(replace(settings, sources=replace(settings.sources, enabled=(name,))), brands, clock)
    if not isinstance(source, History):
        raise ConfigError(f"{name}: gives only what is new, so nothing can be filled up; see {kind.page}")
    # Posts of the past are told to nobody as news.
    return source.history(start, end), replace(source.normalise, backfilled=True)
