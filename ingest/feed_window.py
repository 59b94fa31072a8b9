"""What was seen of a feed: which entries are new or changed, which stretch was missed, and the cursor that tells it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b

from domain.clock import from_ms, to_ms
from ingest.dates import MAX_FUTURE
from ingest.feed_entry import Feed, FeedEntry, Revised, entry_key
from ingest.source import Gap

# A cursor is written with every batch. Each feed has this many entries in it at least (they tell a gap), and all feeds
# together about so many: up to some fifty feeds a restart remembers every entry; with 500 it is four each, in 32 kB.
LEAST_MARKS = 4
MOST_MARKS = 120
ALL_MARKS = 2_000
# Entries that left the feed and may come back: caches at a server's front give an older feed now and then.
_KEPT_GONE = 500
_FORM = "feeds1"
# Of the key and of the digest of an entry each; both must agree for an entry to be a repeat.
_HALF_BYTES = 3
_HALF = (1 << 8 * _HALF_BYTES) - 1


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an entry: what it said, the latest time it was given with, and when it was published."""

    digest: int
    revision_ms: int
    published_ms: int | None


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a cursor says of one feed: when it was last read, and its newest entries then (key and digest, cut).

    `whole` stands for all entries that it held: most feeds are after a restart what they were before.
    """

    read_ms: int
    whole: int = 0
    marks: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """An entry that is new or was changed; `key` stands for its id and `digest` for what it says."""

    key: int
    digest: int
    revised: Revised


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reading brought: news, oldest first, and the stretch that was missed."""

    news: Sequence[News]
    gap: Gap | None


class FeedWindow:
    """Remembers the entries of one feed. Bounded by the size of the feed. Not thread-safe."""

    def __init__(self, host: str, state: FeedState | None = None) -> None:
        self._host = host
        self._read_ms = state.read_ms if state is not None else None
        # Of before a restart, until the feed was read again.
        self._before = state if state is not None and state.marks else None
        self._seen: dict[int, _Known] = {}
        self._newest: tuple[int, ...] = ()
        self._whole = 0

    def take(self, feed: Feed, now: datetime) -> Seen:
        """Tell what is new in the feed, and remember it.

        An entry is changed where a reader would see another text. Its edit has the time that the feed gives, if that
        is later than all it gave before, else the time at which it was noticed: feeds seldom say when something was
        edited. A mere change of times is none.
        """
        entries = {entry_key(sane, self._host): sane for sane in (entry.sane(now) for entry in feed.entries)}
        digests = {key: entry.digest for key, entry in entries.items()}
        whole = _whole(digests)
        overlaps = not self._newest and self._before is None
        news: list[News] = []
        for key, entry in entries.items():
            known = self._seen.get(key) or self._known_before(key, digests[key], entry, whole, now)
            overlaps = overlaps or known is not None
            found, revised = self._meet(entry, digests[key], known, feed.title, now)
            # Those that are in the feed now are last, so that the first to be forgotten are those that left.
            self._seen.pop(key, None)
            self._seen[key] = found
            if revised is not None:
                news.append(News(key, found.digest, revised))
        gap = None if overlaps or not entries else self._gap(entries.values(), now)
        if entries:
            self._newest, self._before, self._whole = tuple(entries)[-MOST_MARKS:], None, whole
        self._forget(len(entries))
        self.read(now)
        return Seen(news, gap)

    def read(self, now: datetime) -> None:
        """Note that the feed was looked at."""
        self._read_ms = to_ms(now)

    def state(self, marks: int) -> FeedState | None:
        """Give what is to be kept of it, with that many entries; None while it was never read."""
        if self._read_ms is None:
            return None
        if self._before is not None:
            return replace(self._before, read_ms=self._read_ms)
        newest = [(key, self._seen[key].digest) for key in self._newest[-marks:]]
        kept = {key & _HALF: digest & _HALF for key, digest in newest}
        return FeedState(self._read_ms, self._whole, kept)

    def _known_before(self, key: int, digest: int, entry: FeedEntry, whole: int, now: datetime) -> _Known | None:
        """Give what is known of an entry from before a restart: whatever it said then, it had said by that time."""
        if self._before is None:
            return None
        mark = self._before.marks.get(key & _HALF)
        same = whole == self._before.whole or mark == digest & _HALF
        if mark is None and not same:
            return None
        published = entry.published_ms if entry.published_ms is not None else entry.updated_ms
        return _Known(digest if same else ~digest, min(self._before.read_ms, to_ms(now)), published)

    def _meet(
        self, entry: FeedEntry, digest: int, known: _Known | None, feed: str, now: datetime
    ) -> tuple[_Known, Revised | None]:
        stamp = entry.stamp_ms
        if known is not None and known.digest == digest:
            return known, None
        if known is None:
            published = entry.published_ms if entry.published_ms is not None else entry.updated_ms
            edited = stamp if published is not None and stamp is not None and stamp > published else None
        else:
            published = known.published_ms
            later = stamp is not None and stamp > known.revision_ms
            # Not beyond what is believed of any time, though a clock was wrong.
            noticed = min(max(to_ms(now), known.revision_ms + 1), to_ms(now + MAX_FUTURE))
            edited = stamp if later else noticed
        revision = max(edited or 0, published or 0)
        revised = Revised(entry=entry, feed=feed, host=self._host, published_ms=published, edited_ms=edited)
        return _Known(digest, revision, published), revised

    def _gap(self, entries: Iterable[FeedEntry], now: datetime) -> Gap | None:
        """Tell what lies between the last reading and the oldest entry, now that none of those seen then is left."""
        if self._read_ms is None:
            return None
        since = min(self._read_ms, to_ms(now))
        stamps = [entry.published_ms or entry.updated_ms for entry in entries]
        dated = [stamp for stamp in stamps if stamp is not None]
        complete = len(dated) == len(stamps)
        if complete and max(dated) <= since:
            # All of it was written before: the feed gives its old entries other names.
            return None
        end = from_ms(min(dated)) if complete and min(dated) > since else now
        reason = f"the feed of {self._host} holds nothing any more of what it held when it was last read"
        return Gap(start=from_ms(since), end=min(end, now), reason=reason)

    def _forget(self, present: int) -> None:
        for key in list(self._seen)[: max(0, len(self._seen) - present - _KEPT_GONE)]:
            del self._seen[key]


def feed_key(url: str) -> str:
    """Give a short name for a feed's address, under which a cursor keeps it."""
    return _encode(blake2b(url.encode("utf-8", "surrogatepass"), digest_size=6).digest())


def marks_each(feeds: int) -> int:
    """Give how many entries of each feed a cursor keeps."""
    return min(MOST_MARKS, max(LEAST_MARKS, ALL_MARKS // max(feeds, 1)))


def write_cursor(states: Mapping[str, FeedState]) -> str:
    """Give a cursor of what was seen of each feed, by its key."""
    return ":".join([_FORM, *(_written(key, state) for key, state in states.items())])


def is_cursor(cursor: str) -> bool:
    """Tell whether it is a cursor of feeds."""
    return cursor.partition(":")[0] == _FORM


def read_cursor(cursor: str | None) -> dict[str, FeedState]:
    """Read a cursor back; what is broken in it counts as a feed that was never read."""
    states: dict[str, FeedState] = {}
    if cursor is None or not is_cursor(cursor):
        return states
    for part in cursor.split(":")[1:]:
        try:
            key, read, whole, marks = part.split(".")
            state = FeedState(int(read, 16), int(whole, 16), _unpacked(marks))
            from_ms(state.read_ms)
        except (ValueError, binascii.Error, OverflowError):
            continue
        states[key] = state
    return states


def _whole(digests: Mapping[int, int]) -> int:
    """Give a number of 48 bits that stands for all entries, in whatever order."""
    raw = b"".join(number.to_bytes(8, "big") for entry in sorted(digests.items()) for number in entry)
    return int.from_bytes(blake2b(raw, digest_size=6).digest(), "big")


def _written(key: str, state: FeedState) -> str:
    return f"{key}.{state.read_ms:x}.{state.whole:x}.{_packed(state.marks)}"


def _packed(marks: Mapping[int, int]) -> str:
    halves = [half.to_bytes(_HALF_BYTES, "big") for mark in marks.items() for half in mark]
    return _encode(b"".join(halves))


def _unpacked(text: str) -> dict[int, int]:
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    halves = [int.from_bytes(raw[at : at + _HALF_BYTES], "big") for at in range(0, len(raw), _HALF_BYTES)]
    return dict(zip(halves[::2], halves[1::2], strict=True))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
