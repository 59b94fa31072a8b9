"""The lowest watermark: up to which moment everything that came is in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.clock import Clock
from domain.records import Topic
from search.store import Store
from stream.protocol import Log

# What a source gives may be a little younger than what it gives next.
SLACK = timedelta(seconds=30)
# Samples a minute apart: whoever is further behind than this is told so with the oldest.
_MOST_SAMPLES = 24 * 60
# Sources that tell of everything as it happens: what comes late is being caught up with. Of a feed that is looked
# at now and then, everything comes late.
STREAMS = ("bluesky", "mastodon", "x")
# A source that gave nothing for so long is not catching up.
_CATCHING_UP = timedelta(minutes=1)
# The stages between a post and its mention, and what each reads.
STAGES = (("enrich", Topic.POSTS.value), ("index", Topic.MENTIONS.value))


@dataclass(frozen=True, slots=True)
class _Sample:
    at: datetime
    appended: tuple[int, ...]


class Watermark:
    """Tells by how many records were there at which time, and how many of them are handled. Not thread-safe.

    A log does not say how old the oldest record that waits is, nor need it: what had been appended at a moment, and is
    handled now, was handled up to that moment. A source that lags behind its service holds it back, one that is not
    heard of does not: it would for ever, and its gap will be recorded.
    """

    def __init__(self, log: Log, store: Store, clock: Clock) -> None:
        self._log, self._store, self._clock = log, store, clock
        self._samples: deque[_Sample] = deque(maxlen=_MOST_SAMPLES)
        self._reached: datetime | None = None

    def look(self) -> datetime:
        """Give the moment; it never goes back.

        Raises:
            RetryLater, BackendDown: as log and store.
        """
        now = self._clock.now()
        lags = tuple(self._log.lag(group, (topic,)) for group, topic in STAGES)
        appended = tuple(self._log.appended(topic) for _, topic in STAGES)
        # First the lag: what is appended between both looks counts as waiting.
        handled = tuple(whole - lag for whole, lag in zip(appended, lags, strict=True))
        if not any(lags):
            self._samples.clear()
            reached = now
        else:
            while len(self._samples) > 1 and _covers(handled, self._samples[1].appended):
                self._samples.popleft()
            first = self._samples[0] if self._samples else None
            reached = first.at if first is not None and _covers(handled, first.appended) else self._unknown(now)
        self._samples.append(_Sample(now, appended))
        reached -= max(SLACK, self._behind(now))
        self._reached = reached if self._reached is None else max(self._reached, reached)
        return self._reached

    def _unknown(self, now: datetime) -> datetime:
        """Give what is certain when nothing is known of what waits: what was reached before."""
        return self._reached if self._reached is not None else now - timedelta(days=1)

    def _behind(self, now: datetime) -> timedelta:
        """Give how far back in time what streams give right now lies."""
        return max(
            (
                report.item_at - report.event_at
                for report in self._store.sources()
                if report.source in STREAMS
                and report.state == "listening"
                and report.item_at is not None
                and report.event_at is not None
                and now - report.item_at < _CATCHING_UP
            ),
            default=timedelta(),
        )


def _covers(handled: Sequence[int], appended: Sequence[int]) -> bool:
    return all(done >= there for done, there in zip(handled, appended, strict=True))
