"""One timeline of one Mastodon instance: a connection in a thread of its own, made again whenever `tend` is called."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Full, Queue
from typing import Any, Protocol

from domain.clock import Clock, from_ms, to_ms
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.event_stream import ServerEvent
from ingest.mastodon_memory import Position
from ingest.mastodon_status import local_id
from ingest.source import Gap
from net.failure import UNEXPECTED

logger = logging.getLogger(__name__)

# Whoever mends a token waits no longer than this while other instances are listened to.
REFUSED_SECONDS = 60.0
PAGE_STATUSES = 40
# Of Mastodon's ids, all but the last 16 bits are ms since 1970. A post from elsewhere that arrives late gets an id of
# the time when it was written, so after a gap reading begins this much before the newest one.
OVERLAP_MS = 5 * 60 * 1000
_ID_BITS = 16
_LEAST_SNOWFLAKE = 10**12 << _ID_BITS
METHOD = "public timeline; edits and removals of that time are not given"


class Instance(Protocol):
    """What a stream asks an instance for: `ingest.mastodon` over HTTP."""

    host: str

    def listen(self, tag: str, opened: Callable[[], None], event: Callable[[ServerEvent], None]) -> None:
        """Hold the connection; never returns but by an error, RetryLater or ConfigError, or after `hang_up`."""

    def page(self, tag: str, after_id: str) -> Sequence[Mapping[str, Any]]:
        """Give the oldest `PAGE_STATUSES` statuses after an id, oldest first.

        Raises:
            RetryLater, ConfigError: it does not give them.
        """

    def hang_up(self) -> None:
        """End the connection, from another thread."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came from a timeline: an event of the stream, statuses that were fetched, or the gap that they fill.

    `at` is when it came. An event without a name is a mere sign of life.
    """

    stream: TimelineStream
    content: ServerEvent | Sequence[Mapping[str, Any]] | Gap
    at: datetime


class TimelineStream:
    """Listens to one timeline and puts what comes into a queue, waiting while that is full.

    After a gap, what was written meanwhile is fetched first, while the stream is open already, and a `Gap` follows it.
    """

    def __init__(
        self,
        instance: Instance,
        tag: str,
        queue: Queue[Heard],
        clock: Clock,
        *,
        since: Position | None,
        backoff: Backoff,
        catch_up_pages: int,
        reason: str,
    ) -> None:
        self.instance, self.tag = instance, tag
        self.key = timeline_key(instance.host, tag)
        self.listening = False
        self.errors = 0
        self.error: RetryLater | ConfigError | None = None
        self._queue, self._clock, self._backoff, self._catch_up_pages = queue, clock, backoff, catch_up_pages
        self._newest_id = since.newest_id if since is not None else ""
        self._heard_at = from_ms(since.heard_ms) if since is not None else None
        # Nothing up to this id was missed.
        self._known_id = id_at(clock.now()) if since is None else believed(since.newest_id, from_ms(since.heard_ms))
        # Why nothing is heard, and what kept it so after that.
        self._reason, self._then = reason, ""
        self._due_at = float("-inf")
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether it is connected or on its way to be."""
        return self._thread is not None and self._thread.is_alive()

    def wait_seconds(self) -> float:
        """Give how long it is until the next try."""
        return max(0.0, self._due_at - self._clock.monotonic())

    def tend(self) -> None:
        """Connect where it is time to."""
        if not self.busy and not self._closed.is_set() and self.wait_seconds() == 0.0:
            self._thread = threading.Thread(target=self._run, name=f"mastodon {self.key}", daemon=True)
            self._thread.start()

    def hurry(self) -> None:
        """Make it time to connect."""
        self._due_at = float("-inf")

    def close(self) -> None:
        """End it; the thread ends by itself."""
        self._closed.set()
        self.instance.hang_up()

    def _run(self) -> None:
        error: RetryLater | ConfigError
        try:
            self.instance.listen(self.tag, self._opened, self._came)
            error = RetryLater(f"{self.instance.host} ended the stream", 0.0)
        except (RetryLater, ConfigError) as exc:
            error = exc
        except Exception:
            # What a client fails on may quote what somebody wrote: the log tells its type and place, a reason nothing.
            logger.exception("the client of %s failed on something that it did not expect", self.instance.host)
            error = RetryLater(f"{self.instance.host}: the client {UNEXPECTED}", 0.0)
        if not self._closed.is_set():
            self._ended(error)

    def _ended(self, error: RetryLater | ConfigError) -> None:
        self.errors += 1
        wait = REFUSED_SECONDS if isinstance(error, ConfigError) else max(self._backoff.next(), error.after_seconds)
        self._due_at = self._clock.monotonic() + wait
        if self.listening:
            self._reason = str(error)
        else:
            self._then = str(error)
        self.listening, self.error = False, error

    def _opened(self) -> None:
        self._go_on()
        if self._heard_at is not None:
            self._catch_up(self._heard_at)
        self._heard_at = self._clock.now()
        self.listening, self.error, self._then = True, None, ""
        self._backoff.reset()
        self._put(ServerEvent(""))

    def _catch_up(self, since: datetime) -> None:
        after, method = rewound(believed(self._newest_id, min(since, self._clock.now()))), METHOD
        for number in range(self._catch_up_pages + 1):
            page = self.instance.page(self.tag, after)
            if not page:
                break
            if number == self._catch_up_pages:
                method = f"{METHOD}; the first {number * PAGE_STATUSES:,} posts only"
                break
            self._put(page)
            newest = local_id(page[-1])
            if not newest or newest == after:
                break
            after = newest
            self._newest_id = newer(self._newest_id, newest)
        until = self._clock.now()
        # A clock that was set back makes no gap that ends before it began.
        reason = f"{self._reason}; then {self._then}" if self._then else self._reason
        self._put(Gap(start=min(since, until), end=until, reason=reason, recovered=0, method=method))

    def _go_on(self) -> None:
        # It may have been closed before there was anything to hang up.
        if self._closed.is_set():
            raise RetryLater(f"{self.instance.host} was given up", 0.0)

    def _came(self, event: ServerEvent) -> None:
        self._go_on()
        self._heard_at = self._clock.now()
        self._put(event)

    def _put(self, content: ServerEvent | Sequence[Mapping[str, Any]] | Gap) -> None:
        heard = Heard(self, content, self._clock.now())
        while not self._closed.is_set():
            try:
                self._queue.put(heard, timeout=0.2)
                return
            except Full:
                continue

    def given(self, newest_id: str) -> None:
        """A status with this id was given: reading goes on behind it."""
        self._newest_id = newer(self._newest_id, newest_id)

    def was_missed(self, name: str) -> bool:
        """Tell whether a status with this id, which was fetched, is of later than all that was given before we came."""
        if _tells_time(name) != _tells_time(self._known_id):
            return True
        return name != self._known_id and newer(name, self._known_id) == name


def timeline_key(host: str, tag: str) -> str:
    """Name one timeline of one instance."""
    return f"{host}#{tag}" if tag else host


def newer(one: str, other: str) -> str:
    """Give the newer of two ids: they grow, as numbers where they are such."""
    if one.isascii() and one.isdigit() and other.isascii() and other.isdigit():
        return max(one, other, key=int)
    return max(one, other)


def id_at(moment: datetime) -> str:
    """Give the id that a post written at this moment would have."""
    return str(max(0, to_ms(moment)) << _ID_BITS)


def rewound(newest_id: str) -> str:
    """Give an id that is older than the newest by the overlap; the same where ids tell no time."""
    return str(int(newest_id) - (OVERLAP_MS << _ID_BITS)) if _tells_time(newest_id) else newest_id


def believed(newest_id: str, heard_at: datetime) -> str:
    """Give the id to go on from: the newest, but of none that claims to be of long after anything was heard."""
    at = id_at(heard_at)
    if _tells_time(newest_id) and int(newest_id) <= int(at) + (OVERLAP_MS << _ID_BITS):
        return newest_id
    return newest_id if newest_id and not _tells_time(newest_id) else at


def _tells_time(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 30 and int(name) >= _LEAST_SNOWFLAKE
