"""Looking up again what posts have earned, one hour and one day after they were collected; no stage waits for it."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from domain.clock import Clock
from domain.engagement import Engagement
from domain.errors import ConfigError, RetryLater, ServiceError
from domain.metrics import LOOKED_UP
from domain.query.ast import And, Flag, Keyword, Node, Not, Or, Range
from domain.records import Mention
from ingest.runner import sleep_until
from ingest.source import EngagementLookup, TellsEngagement
from search.store import MAX_PAGE, SearchRequest, Sort, Store
from service.components import engagement_sources
from service.prometheus import Meter
from service.settings import Settings

logger = logging.getLogger(__name__)

# What was not looked up in its time, because nothing ran or the source was away, is for so long.
LATE: Final = timedelta(hours=6)
# Looked up together, so that a long way behind is made up piece by piece.
SLICE: Final = timedelta(minutes=10)
LOOK_SECONDS: Final = 60.0
# How often those are looked for that no source has told anything of: a stage that was far behind has stored them late.
AGAIN_SECONDS: Final = 900.0
# Of which the source knew nothing when it was asked: they are not asked for at each of these looks.
MAX_UNKNOWN: Final = 50_000
# Between two questions: some five a second, where the strictest source that is asked allows ten.
PAUSE_SECONDS: Final = 0.2
ANSWERS: Final = ("numbers", "nothing", "failed")
# A source that refuses us, or fails on what nobody thought of, is asked again in peace.
REFUSED_SECONDS: Final = 600.0
_STORE_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Round:
    """One source and one age: what was collected before `upto` has been looked up at that age, or it is too late."""

    source: str
    lookup: EngagementLookup
    age: timedelta
    upto: datetime | None = None
    # By the monotonic clock.
    not_before: float = float("-inf")
    again_at: float = float("inf")
    unknown: OrderedDict[str, None] = field(default_factory=OrderedDict)

    @property
    def again_seconds(self) -> float:
        """How often what was stored late is looked for."""
        return min(AGAIN_SECONDS, self.age.total_seconds())

    def note(self, ids: Iterable[str]) -> None:
        """Remember what was asked for in vain."""
        for name in ids:
            self.unknown[name] = None
        while len(self.unknown) > MAX_UNKNOWN:
            self.unknown.popitem(last=False)


class EngagementRefresher:
    """Asks sources for the numbers of posts that have come of age, and gives them to the store.

    Where it has come to is not kept: after a start it looks at what came of age in the last hours and leaves out what
    has its numbers already. So several processes beside each other do little twice, and nothing wrong. What was stored
    only after it had come of age is found later, where it has no number yet.
    """

    def __init__(
        self,
        sources: Sequence[TellsEngagement],
        store: Store,
        clock: Clock,
        ages: Sequence[timedelta],
        meter: Meter | None = None,
    ) -> None:
        """Connect nothing.

        Args:
            sources: whose posts are looked up.
            store: where they are found, and written.
            clock: for ages and waits.
            ages: after how long, from a post's collection.
            meter: what is counted goes there.
        """
        self._store, self._clock, self._meter = store, clock, meter
        self._closing = ExitStack()
        self._rounds: list[_Round] = []
        for source in sources:
            lookup = source.lookup()
            if lookup is not None:
                self._closing.enter_context(closing(lookup))
                self._rounds += [_Round(source.name, lookup, age) for age in sorted(set(ages))]
                for answer in ANSWERS:
                    # There from the beginning, so that the first of each counts in a rate.
                    self._count(source.name, answer, 0)
        self._every = max(0.5, min([LOOK_SECONDS, *(age.total_seconds() / 4 for age in ages)]))
        # Sources of which it was told that they cannot be asked, until they can.
        self._told: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Look again and again, until `stop`; raises nothing."""
        with self._closing:
            while self._rounds and not stop.is_set():
                self.look(stop)
                stop.wait(self._every)

    def look(self, stop: threading.Event) -> None:
        """Look up all that has come of age."""
        for one in self._rounds:
            if not stop.is_set() and self._clock.monotonic() >= one.not_before:
                self._look(one, stop)

    def _look(self, one: _Round, stop: threading.Event) -> None:
        try:
            self._catch_up(one, stop)
            self._told.discard(one.source)
        except RetryLater as exc:
            self._later(one, str(exc), exc.after_seconds)
        except ConfigError as exc:
            self._later(one, exc.problems[0], REFUSED_SECONDS)
        except ServiceError as exc:
            self._later(one, str(exc), _STORE_SECONDS)
        except Exception as exc:
            # Nothing that goes wrong here may end the stage beside it.
            logger.exception("looking up engagement at %s failed on something that it did not expect", one.source)
            self._later(one, type(exc).__name__, REFUSED_SECONDS)

    def _later(self, one: _Round, reason: str, seconds: float) -> None:
        if one.source not in self._told:
            logger.warning("engagement of %s is looked up later: %s", one.source, reason)
        self._told.add(one.source)
        wait = self._clock.monotonic() + max(seconds, LOOK_SECONDS)
        for other in self._rounds:
            if other.source == one.source:
                other.not_before = wait

    def _catch_up(self, one: _Round, stop: threading.Event) -> None:
        until = self._clock.now() - one.age
        at = until - LATE if one.upto is None else max(one.upto, until - LATE)
        if one.upto is None:
            # The first time all of it is looked at anyway.
            one.again_at = self._clock.monotonic() + one.again_seconds
        while at < until and not stop.is_set():
            end = min(at + SLICE, until)
            if not self._look_up(one, _collected(one.source, at, end), stop):
                return
            one.upto = at = end
        if self._clock.monotonic() >= one.again_at:
            late = And((_collected(one.source, until - LATE, until), _WITHOUT_NUMBERS))
            if self._look_up(one, late, stop, but=one.unknown):
                one.again_at = self._clock.monotonic() + one.again_seconds

    def _look_up(self, one: _Round, node: Node, stop: threading.Event, *, but: Container[str] = ()) -> bool:
        """Look up what matches and is due, `but` these ids; False when asked to stop before all of it was."""
        for page in self._pages(node):
            due = [mention for mention in page if _is_due(mention, one.age)]
            ids = [name for name in _native_ids(one.source, due) if name not in but]
            most = one.lookup.most
            for place in range(0, len(ids), most):
                if not sleep_until(PAUSE_SECONDS, self._clock, stop):
                    return False
                self._ask(one, ids[place : place + most])
        return not stop.is_set()

    def _pages(self, node: Node) -> Iterator[Sequence[Mention]]:
        cursor = None
        while True:
            page = self._store.search(SearchRequest(node, Sort.OLDEST, cursor, MAX_PAGE))
            yield page.mentions
            cursor = page.next_cursor
            if cursor is None:
                return

    def _ask(self, one: _Round, ids: Sequence[str]) -> None:
        try:
            found = one.lookup.engagement(ids)
        except ServiceError:
            self._count(one.source, "failed", len(ids))
            raise
        self._write(one.source, {name: found[name] for name in ids if name in found})
        one.note(name for name in ids if name not in found)
        self._count(one.source, "numbers", len(found))
        self._count(one.source, "nothing", len(ids) - len(found))

    def _write(self, source: str, found: Mapping[str, Engagement]) -> None:
        if found:
            self._store.engage({f"{source}:{name}": numbers for name, numbers in found.items()})

    def _count(self, source: str, answer: str, posts: int) -> None:
        if self._meter is not None:
            self._meter.add(LOOKED_UP, posts, source, answer)


_WITHOUT_NUMBERS: Final = Not(Or(tuple(Range(name, 0, None) for name in ("likes", "reposts", "replies", "views"))))


def _collected(source: str, start: datetime, end: datetime) -> And:
    """Give what finds the posts that a source gave in `[start, end)` as they came.

    The past has no hour after which it is looked up: it is as old as it is, and there may be a year of it.
    """
    span = Range("collected_at", start, end, include_high=False)
    return And((Keyword("source", source), span, Not(Flag("backfilled", True))))


def _is_due(mention: Mention, age: timedelta) -> bool:
    return mention.engagement_at is None or mention.engagement_at < mention.collected_at + age


def _native_ids(source: str, mentions: Sequence[Mention]) -> list[str]:
    """Give the different native ids of mentions; one that is kept as a hash cannot be asked for."""
    names = (mention.post_id.removeprefix(f"{source}:") for mention in mentions)
    return [name for name in dict.fromkeys(names) if not name.startswith("#")]


def refresher_of(settings: Settings, store: Store, clock: Clock, meter: Meter | None) -> EngagementRefresher | None:
    """Give what looks up engagement as the configuration says; None where nothing is looked up."""
    hours = (settings.sources.engagement_hours, settings.sources.engagement_again_hours)
    ages = [timedelta(hours=one) for one in hours if one > 0]
    sources = engagement_sources(settings, clock) if ages else []
    return EngagementRefresher(sources, store, clock, ages, meter) if sources else None
