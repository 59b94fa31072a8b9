"""Reading many feeds as one live source: each when it is due, each host at its own pace, none held up by another."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from domain.clock import Clock, from_ms
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.feed_entry import Feed, Revised, native_id
from ingest.feed_fetch import Looked, Result, Trouble, Validators, host_of, look
from ingest.feed_process import FeedProcess
from ingest.feed_window import FeedState, FeedWindow, News, feed_key, marks_each, read_cursor, write_cursor
from ingest.source import Extent, Item, RawPost, Removed, Vitals
from ingest.web import Fetcher, shown
from net.failure import UNEXPECTED

logger = logging.getLogger(__name__)

# `read` waits no longer than this for a feed, so that whoever asks us to stop is heard.
_WAIT_SECONDS = 0.2
# A slow host keeps one of these busy, and no other host waits for it.
_FETCHERS = 4
_JOIN_SECONDS = 2.0
# After a failure a feed is asked again sooner than usual, then more and more seldom.
_FIRST_SECONDS = 60.0
_MOST_SECONDS = 6 * 3_600.0
# Whoever waits for the only feed that works hears it when it comes back.
_ALL_FAIL_SECONDS = 60.0
_MOST_GIVEN = 50_000
# A cursor of many feeds is long, and a gap need not begin at the second.
_PLACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPlan:
    """Which feeds are read and how.

    `setting` names where they are listed, `page` explains it. `poll_seconds` lies between two looks at one feed,
    `host_seconds` between two at one host. `shape` makes the content of an entry.
    """

    name: str
    setting: str
    page: str
    urls: tuple[str, ...]
    poll_seconds: float
    host_seconds: float
    shape: Callable[[Revised], RawPost | Removed]
    headers: Mapping[str, str] = field(default_factory=dict)
    allow_private: bool = False


@dataclass(slots=True)
class _Host:
    """The pace of one host: one question at a time, and none before `free_at`."""

    backoff: Backoff
    free_at: float = float("-inf")
    busy: bool = False


@dataclass(slots=True, eq=False)
class _Feed:
    """How one feed stands. `address` is where it is now, `trouble` what the last look at it met."""

    url: str
    key: str
    address: str
    window: FeedWindow
    backoff: Backoff
    validators: Validators = field(default_factory=Validators)
    due_at: float = float("-inf")
    tried: bool = False
    trouble: Trouble | None = None
    left_out: int = 0


class FeedReader:
    """`ingest.source.LiveReader` over feeds. Feeds are fetched and parsed by threads of its own."""

    def __init__(self, plan: FeedPlan, clock: Clock, cursor: str | None) -> None:
        self._plan, self._clock = plan, clock
        self._patience = min(plan.poll_seconds, _FIRST_SECONDS)
        states = read_cursor(cursor)
        self._feeds = [self._new_feed(url, states.get(feed_key(url))) for url in dict.fromkeys(plan.urls)]
        self._states = {feed.key: states[feed.key] for feed in self._feeds if feed.key in states}
        self._hosts: dict[str, _Host] = {}
        # Other feeds that are to be read from the next `read` on; None while they are the same.
        self._others: tuple[str, ...] | None = None
        self._marks = marks_each(len(self._feeds))
        self._cursor = write_cursor(self._states)
        self._placed_at = float("-inf")
        # What was given last of each entry, for feeds that share some.
        self._given: dict[int, int] = {}
        self._waiting: deque[Item] = deque()
        self._fetching = _Fetching(plan, clock, _FETCHERS)
        self._errors = 0
        self._event_at: datetime | None = None
        self._vitals = Vitals(connected=False)

    def _new_feed(self, url: str, state: FeedState | None) -> _Feed:
        patience = self._patience
        ladder = Backoff(patience, max(self._plan.poll_seconds, _MOST_SECONDS), min(patience, _FIRST_SECONDS / 2))
        return _Feed(url, feed_key(url), url, FeedWindow(host_of(url), state), ladder)

    def follow(self, urls: Sequence[str]) -> None:
        """Read these feeds from the next `read` on; those that are read already go on as they are. From any thread."""
        self._others = tuple(dict.fromkeys(urls))

    def _change_feeds(self, urls: Sequence[str]) -> None:
        before = {feed.url: feed for feed in self._feeds}
        self._feeds = [before.get(url) or self._new_feed(url, None) for url in urls]
        # What is no longer read is forgotten: whoever asks for it again begins with what it then holds.
        known = {feed.key for feed in self._feeds}
        self._states = {key: state for key, state in self._states.items() if key in known}
        self._marks = marks_each(len(self._feeds))
        self._tell()

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        others, self._others = self._others, None
        if others is not None:
            self._change_feeds(others)
        if not self._waiting:
            self._hand_out()
            if self._fetching.is_idle:
                self._idle()
            elif (done := self._fetching.done(_WAIT_SECONDS)) is not None:
                self._take(*done)
        return [self._waiting.popleft() for _ in range(min(max_items, len(self._waiting)))]

    def _hand_out(self) -> None:
        now = self._clock.monotonic()
        for feed in sorted(self._feeds, key=lambda feed: feed.due_at):
            if feed.due_at > now or self._fetching.is_full:
                return
            host = self._host(feed.address)
            if not host.busy and host.free_at <= now:
                host.busy, feed.due_at = True, float("inf")
                self._fetching.ask(feed)

    def _idle(self) -> None:
        """Nothing is due: wait a little; or nothing will ever be, and that is said each time."""
        if not self._feeds:
            raise ConfigError(f"{self._plan.setting}: nothing is left to read; see {self._plan.page}")
        if all(feed.trouble is not None and feed.trouble.gone for feed in self._feeds):
            raise self._all_fail()
        self._clock.sleep(_WAIT_SECONDS)

    def _host(self, address: str) -> _Host:
        name = host_of(address)
        if name not in self._hosts:
            ladder = Backoff(2 * self._patience, 3_600.0, 0.0)
            self._hosts[name] = _Host(ladder)
        return self._hosts[name]

    def _take(self, feed: _Feed, result: Result) -> None:
        now, host = self._clock.monotonic(), self._host(feed.address)
        host.busy, feed.tried = False, True
        host.free_at = now + max(self._plan.host_seconds, 0.0 if isinstance(result, Trouble) else result.pause_seconds)
        if feed not in self._feeds:
            # It was on its way when it was taken out of the list.
            return
        if isinstance(result, Trouble):
            self._meet(feed, host, result, now)
            return
        feed.backoff.reset()
        host.backoff.reset()
        feed.due_at = now + self._plan.poll_seconds
        if feed.trouble is not None:
            logger.info("%s: the feed %s can be read again", self._plan.name, shown(feed.url))
        feed.trouble = None
        self._follow(feed, result)
        if result.feed is None:
            feed.window.read(self._clock.now())
            self._note_state(feed)
        else:
            self._give(feed, result.feed)
        self._tell()

    def _follow(self, feed: _Feed, result: Looked) -> None:
        """Go on where the feed has moved to for good, but never from TLS to none."""
        feed.validators = result.validators
        moved = result.moved_to
        if moved and moved != feed.address and (moved.startswith("https:") or feed.address.startswith("http:")):
            message = "%s: the feed %s has moved for good to %s and is read there; mend %s"
            logger.warning(message, self._plan.name, shown(feed.address), shown(moved), self._plan.setting)
            feed.address = moved

    def _give(self, feed: _Feed, found: Feed) -> None:
        feed.left_out = found.left_out
        seen = feed.window.take(found, self._clock.now())
        fresh = [news.revised for news in seen.news if self._is_fresh(news)]
        before = self._cursor
        self._note_state(feed)
        if seen.gap is None and not fresh:
            return
        after = write_cursor(self._states)
        place = f"{self._plan.name}:{host_of(feed.url)}"
        if seen.gap is not None:
            raw = shown(feed.url).encode("ascii")
            self._waiting.append(Item(position=place, cursor=before, raw=raw, content=seen.gap))
        last = len(fresh) - 1
        for at, revised in enumerate(fresh):
            # Only with its last entry the whole feed is settled.
            self._waiting.append(feed_item(self._plan, revised, after if at == last else before))
        self._cursor = after
        stamps = [revised.published_ms for revised in fresh if revised.published_ms is not None]
        if stamps:
            # What is dated later than now would hide how far behind we are.
            newest = min(from_ms(max(stamps)), self._clock.now())
            self._event_at = newest if self._event_at is None else max(self._event_at, newest)

    def _note_state(self, feed: _Feed) -> None:
        state = feed.window.state(self._marks)
        if state is not None:
            self._states[feed.key] = state

    def _is_fresh(self, news: News) -> bool:
        """Tell whether no other feed gave the same just so; one that says more, or less, of it is no repeat."""
        fresh = self._given.pop(news.key, None) != news.digest
        self._given[news.key] = news.digest
        if len(self._given) > _MOST_GIVEN:
            del self._given[next(iter(self._given))]
        return fresh

    def _meet(self, feed: _Feed, host: _Host, trouble: Trouble, now: float) -> None:
        if feed.trouble is None or feed.trouble.reason != trouble.reason:
            logger.warning("%s: the feed %s: %s", self._plan.name, shown(feed.url), trouble.reason)
        feed.trouble = trouble
        wait = max(feed.backoff.next(), trouble.after_seconds or 0.0)
        if trouble.busy:
            wait = max(trouble.after_seconds or 0.0, self._patience + host.backoff.next())
            host.free_at = max(host.free_at, now + wait)
        feed.due_at = float("inf") if trouble.gone else now + wait
        self._tell()
        if all(feed.trouble is not None for feed in self._feeds):
            raise self._all_fail()
        self._errors += 1
        self._tell()

    def _all_fail(self) -> ConfigError | RetryLater:
        """Give the error for a source of which nothing can be read."""
        failing = [(feed, feed.trouble) for feed in self._feeds if feed.trouble is not None]
        first, trouble = failing[0]
        number = f"all {len(failing)} feeds fail, first " if len(failing) > 1 else ""
        said = f"{number}{shown(first.url)}: {trouble.reason}"
        if all(found.refused for _, found in failing):
            return ConfigError(f"{self._plan.setting}: {said}; see {self._plan.page}")
        soonest = min(feed.due_at for feed in self._feeds) - self._clock.monotonic()
        return RetryLater(said, min(max(soonest, 0.0), _ALL_FAIL_SECONDS))

    def _tell(self) -> None:
        failing = [feed for feed in self._feeds if feed.trouble is not None]
        works = any(feed.tried and feed.trouble is None for feed in self._feeds)
        notes = []
        if failing and (trouble := failing[0].trouble) is not None:
            number = f"{len(failing)} of {len(self._feeds)} feeds fail"
            notes.append(f"{number}, first {shown(failing[0].url)}: {trouble.reason}")
        full = [feed for feed in self._feeds if feed.left_out]
        if full:
            notes.append(
                f"of {shown(full[0].url)} the oldest {full[0].left_out:,} entries are not read: it holds too many"
            )
        note = "; ".join(notes)
        self._vitals = Vitals(connected=works, event_at=self._event_at, errors=self._errors, note=note)

    def extent(self) -> Extent | None:
        """A live source has no end."""
        return None

    def vitals(self) -> Vitals:
        """As the protocol."""
        return self._vitals

    def place(self) -> str | None:
        """As `ingest.source.Placed`: when each feed was read last, though it held nothing new."""
        now = self._clock.monotonic()
        if self._waiting or now - self._placed_at < _PLACE_SECONDS:
            return None
        self._placed_at, before = now, self._cursor
        self._cursor = write_cursor(self._states)
        return self._cursor if self._cursor != before else None

    def close(self) -> None:
        """As the protocol."""
        self._fetching.close()


def feed_item(plan: FeedPlan, revised: Revised, cursor: str) -> Item:
    """Give the item of an entry."""
    name = native_id(revised.entry, revised.host) or "an entry without an id"
    position = f"{plan.name}:{ascii(name)[1:-1][:200]}"
    return Item(position=position, cursor=cursor, raw=revised.to_json(), content=plan.shape(revised))


class _Fetching:
    """Threads that look at feeds. What they need of a feed is given to them; they change nothing of it."""

    def __init__(self, plan: FeedPlan, clock: Clock, threads: int) -> None:
        self._plan, self._clock, self._number = plan, clock, threads
        self._fetcher = Fetcher(allow_private=plan.allow_private)
        self._process = FeedProcess()
        self._asked: queue.SimpleQueue[tuple[_Feed, str, Validators] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Feed, Result]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._lock = threading.Lock()
        self._in_flight = 0

    @property
    def is_full(self) -> bool:
        return self._in_flight >= self._number

    @property
    def is_idle(self) -> bool:
        return not self._in_flight

    def ask(self, feed: _Feed) -> None:
        """Have a feed looked at."""
        self._in_flight += 1
        if len(self._threads) < min(self._in_flight, self._number):
            thread = threading.Thread(target=self._work, name=f"{self._plan.name}-feeds", daemon=True)
            self._threads.append(thread)
            with self._lock:
                self._running += 1
            thread.start()
        self._asked.put((feed, feed.address, feed.validators))

    def done(self, seconds: float) -> tuple[_Feed, Result] | None:
        """Give a feed that was looked at, or None when none was within that time."""
        try:
            found = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        self._in_flight -= 1
        return found

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            feed, address, validators = asked
            self._done.put((feed, self._look(address, validators)))
        with self._lock:
            self._running -= 1
            last = not self._running
        if last:
            self._fetcher.close()

    def _look(self, address: str, validators: Validators) -> Result:
        try:
            return look(
                address,
                validators,
                fetcher=self._fetcher,
                process=self._process,
                now=self._clock.now(),
                headers=self._plan.headers,
            )
        except Exception:
            # A feed that fails on something that nobody thought of must not end the others.
            logger.exception("a feed could not be read")
            return Trouble(UNEXPECTED)

    def close(self) -> None:
        """End the threads; a slow one ends when its server answers."""
        for _ in self._threads:
            self._asked.put(None)
        self._process.close()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        if not self._threads:
            self._fetcher.close()
