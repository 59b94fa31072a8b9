"""GDELT: the titles of the world's news, from its bulk files of every quarter of an hour, no key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from domain.clock import Clock
from domain.errors import ConfigError, RetryLater
from ingest.gdelt_rows import Unreadable, item_of, item_of_row, moment_of, rows_of
from ingest.normalise import NormaliserSettings
from ingest.polling import Polled, PollingReader
from ingest.site_time import said_at
from ingest.source import Extent, Gap, Item, Source, SourceReader, Vitals
from ingest.web import Asker, Fetcher

PAGE = "docs/sources/gdelt.md"
EVERY = timedelta(minutes=15)
# Nothing of this kind is older.
FIRST = datetime(2015, 2, 18, 22, 45, tzinfo=UTC)
MAX_ARCHIVE_BYTES = 128 * 1024 * 1024
# Rows that are held at a time.
_AT_ONCE = 500
# A file that cannot be read so often never can.
_TRIES = 3
_LISTED = re.compile(r"\d+ ([0-9a-f]{32}) \S+/(\d{14})(?:\.translation)?\.gkg\.csv\.zip", re.ASCII)


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class GdeltSettings:
    """Where the files are and which are read.

    `translated`: also the files of articles in 65 other languages. `catch_up_hours`: how far back files are fetched
    after an absence; what is older is a gap.
    """

    address: str = "https://storage.googleapis.com/data.gdeltproject.org/gdeltv2"
    translated: bool = False
    poll_seconds: float = 300.0
    catch_up_hours: float = 24.0
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class _Feed:
    """One of the two series of files, by what their names have."""

    list_name: str
    suffix: str


_FEEDS = (_Feed("lastupdate.txt", ""), _Feed("lastupdate-translation.txt", ".translation"))


class GdeltSource:
    """`ingest.source.LiveSource` and `History` over GDELT's files.

    A cursor has the stamp of the last file that was read to its end, of each feed, with "/" between them; "-" for none.
    """

    name = "gdelt"
    key = "gdelt"

    def __init__(self, settings: GdeltSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return _read_cursor(cursor) is not None

    def open(self, cursor: str | None) -> PollingReader:
        stamps = _read_cursor(cursor) if cursor is not None else None
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        files = _Files(self._settings, fetcher, self._clock)
        following = _Following(self._settings, files, self._clock, stamps or (None, None))
        return PollingReader(following.poll, self._settings.poll_seconds, self._clock, fetcher.close)

    def history(self, start: datetime, end: datetime) -> Source:
        if end <= FIRST:
            raise ConfigError(f"GDELT has no such files of before {FIRST:%Y-%m-%d}")
        return _Past(self._settings, self._clock, max(start, FIRST), end)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            row = json.loads(payload)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ConfigError(f"found no row of GDELT in the dead letter from {position}, expected a JSON object")
        return item_of_row(row, position, "-/-")


_Stamps = tuple[datetime | None, datetime | None]


def _read_cursor(cursor: str) -> _Stamps | None:
    parts = cursor.split("/")
    if len(parts) != 2 or any(part != "-" and moment_of(part) is None for part in parts):
        return None
    return moment_of(parts[0]), moment_of(parts[1])


def _written_cursor(stamps: Sequence[datetime | None]) -> str:
    return "/".join("-" if stamp is None else _stamp(stamp) for stamp in stamps)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")


def _after(moment: datetime) -> datetime:
    """Give the next quarter of an hour."""
    return moment + EVERY - (moment - FIRST) % EVERY


class _Files:
    """Fetches lists and files. Not thread-safe; errors as of `ingest.web.Asker`."""

    def __init__(self, settings: GdeltSettings, fetcher: Fetcher, clock: Clock) -> None:
        self._address, self._clock = settings.address.rstrip("/"), clock
        self._asker = Asker(fetcher, setting="source.gdelt.address", page=PAGE, clock=clock)
        # What time it was there when a list was given last.
        self.present = clock.now()

    def newest(self, feed: _Feed) -> tuple[datetime, str]:
        """Give the stamp of a feed's newest file, and its md5."""
        answer = self._asker.ask(f"{self._address}/{feed.list_name}", max_bytes=65_536)
        text = answer.body.decode("ascii", "replace") if answer.status == 200 else ""
        found = [match for line in text.splitlines() if (match := _LISTED.fullmatch(line.strip()))]
        stamp = moment_of(found[0][2]) if found else None
        if stamp is None:
            raise self._asker.unreadable(f"{feed.list_name} of GDELT names no file")
        self.present = said_at(answer.headers, self._clock.now())
        if stamp > self.present + EVERY:
            # Gone on from there, nothing would be read until then.
            raise self._asker.unreadable(f"{feed.list_name} of GDELT names a file of the future; is our clock right?")
        self._asker.understood()
        return stamp, found[0][1]

    def fetch(self, feed: _Feed, stamp: datetime, md5: str | None) -> bytes | None:
        """Give a file; None where there is none of that stamp.

        Raises:
            Unreadable: it is not what its md5 says.
        """
        url = f"{self._address}/{_stamp(stamp)}{feed.suffix}.gkg.csv.zip"
        answer = self._asker.ask(url, max_bytes=MAX_ARCHIVE_BYTES)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise self._asker.unreadable(f"GDELT answers {answer.status}")
        if md5 is not None and hashlib.md5(answer.body, usedforsecurity=False).hexdigest() != md5:
            raise Unreadable("it has another md5 than listed")
        return answer.body

    def again(self, why: str) -> RetryLater:
        """Give the error for a file that is to be fetched once more."""
        return self._asker.unreadable(f"a file of GDELT cannot be read: {why}")

    def readable(self) -> None:
        """A file could be read."""
        self._asker.understood()


@dataclass(frozen=True, slots=True)
class _OpenFile:
    feed: int
    stamp: datetime
    rows: Iterator[bytes]


def _gap(start: datetime, end: datetime, reason: str, cursor: str, recovered: int | None = None) -> Item:
    method = "" if recovered is None else "bulk file"
    gap = Gap(start=start, end=end, reason=reason, recovered=recovered, method=method)
    return Item(position=f"gdelt:{_stamp(end)}", cursor=cursor, raw=b"", content=gap)


class _Following:
    """Reads file after file of the feeds, the one that is further behind first; some rows of one file at a time."""

    def __init__(self, settings: GdeltSettings, files: _Files, clock: Clock, stamps: _Stamps) -> None:
        self._files, self._clock = files, clock
        self._feeds = _FEEDS if settings.translated else _FEEDS[:1]
        self._catch_up = timedelta(hours=settings.catch_up_hours)
        # The last file that was read to its end, by feed.
        self._stamps = list(stamps)
        self._newest: list[tuple[datetime, str] | None] = [None, None]
        self._open: _OpenFile | None = None
        # Of the file at hand: how many rows were given, and how often it could not be read.
        self._given = self._tries = 0
        self._errors = 0

    def poll(self) -> Polled:
        if self._open is not None:
            return self._polled(self._read(self._open), again=True)
        away: RetryLater | None = None
        items: list[Item] = []
        for number, feed in enumerate(self._feeds):
            try:
                if self._is_current(number):
                    self._newest[number] = self._files.newest(feed)
                items += self._skip(number)
            except RetryLater as exc:
                # The other feed may have something all the same.
                away = exc
        if items:
            # What is said once must not be lost to an error of the next question.
            return self._polled(items, again=True)
        behind = [number for number in range(len(self._feeds)) if not self._is_current(number)]
        if not behind:
            if away is not None:
                raise away
            return self._polled(())
        number = min(behind, key=lambda one: self._stamps[one] or FIRST)
        return self._polled(self._start(number), again=True)

    def _is_current(self, number: int) -> bool:
        """Tell whether all files of a feed that we know of were read."""
        newest, stamp = self._newest[number], self._stamps[number]
        return newest is None or (stamp is not None and stamp >= newest[0])

    def _skip(self, number: int) -> list[Item]:
        """Leave out what is too far back; without a cursor, or with one of the future, begin with the newest file."""
        newest, stamp = self._newest[number], self._stamps[number]
        assert newest is not None
        if stamp is None or stamp > self._files.present + EVERY:
            self._stamps[number] = newest[0] - EVERY
            return []
        first = newest[0] - self._catch_up
        if stamp >= first:
            return []
        before = _written_cursor(self._stamps)
        self._stamps[number] = first
        reason = "away for longer than source.gdelt.catch_up_hours; `soundings backfill` can fetch it"
        return [_gap(stamp, first, reason, before)]

    def _start(self, number: int) -> list[Item]:
        newest, stamp = self._newest[number], self._stamps[number]
        assert newest is not None
        assert stamp is not None
        at = min(_after(stamp), newest[0])
        try:
            archive = self._files.fetch(self._feeds[number], at, newest[1] if at == newest[0] else None)
        except Unreadable as exc:
            return self._failed(number, at, str(exc))
        if archive is None and at == newest[0]:
            raise self._files.again("it is listed and not there yet")
        if archive is None:
            gap = _gap(at - EVERY, at, "GDELT has no file of that time", _written_cursor(self._stamps), recovered=0)
            self._stamps[number] = at
            return [gap]
        # What was given of it before it broke is not given again.
        rows = islice(rows_of(archive), self._given, None)
        self._open = _OpenFile(number, at, rows)
        return []

    def _read(self, opened: _OpenFile) -> list[Item]:
        """Give some rows of the file at hand; the last one of it moves the cursor."""
        before = _written_cursor(self._stamps)
        items: list[Item] = []
        try:
            for _ in range(_AT_ONCE):
                if (line := next(opened.rows, None)) is None:
                    self._finished(opened.feed, opened.stamp)
                    if items:
                        items[-1] = replace(items[-1], cursor=_written_cursor(self._stamps))
                    break
                self._given += 1
                position = f"{_stamp(opened.stamp)}{self._feeds[opened.feed].suffix}:{self._given}"
                if (item := item_of(line, position, before)) is not None:
                    items.append(item)
        except Unreadable as exc:
            self._open = None
            # What came before the damage is given now, and then the file is fetched again.
            return items or self._failed(opened.feed, opened.stamp, str(exc))
        return items

    def _failed(self, number: int, at: datetime, why: str) -> list[Item]:
        """Fetch it once more, or give it up."""
        self._errors += 1
        self._tries += 1
        if self._tries < _TRIES:
            # Its md5 may have been another when the list was read.
            self._newest[number] = None
            raise self._files.again(why)
        reason = f"the file of that time cannot be read: {why}"
        gap = _gap(at - EVERY, at, reason, _written_cursor(self._stamps), recovered=self._given)
        self._finished(number, at)
        return [gap]

    def _finished(self, number: int, at: datetime) -> None:
        self._files.readable()
        self._stamps[number] = at
        self._open, self._given, self._tries = None, 0, 0

    def _polled(self, items: Sequence[Item], *, again: bool = False) -> Polled:
        newest = max((stamp for stamp in self._stamps if stamp is not None), default=None)
        return Polled(items, Vitals(connected=True, event_at=newest, errors=self._errors), 0.0 if again else None)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The files of a span, counted from 0: quarter by quarter, those of all feeds."""

    feeds: Sequence[_Feed]
    first: datetime
    number: int

    def at(self, place: int) -> tuple[_Feed, datetime]:
        """Give one."""
        quarter, feed = divmod(place, len(self.feeds))
        return self.feeds[feed], self.first + quarter * EVERY


class _Past:
    """`ingest.source.Source` over the files of a span. A cursor counts the files that were read to their end."""

    name = "gdelt"

    def __init__(self, settings: GdeltSettings, clock: Clock, start: datetime, end: datetime) -> None:
        self._settings, self._clock = settings, clock
        feeds = _FEEDS if settings.translated else _FEEDS[:1]
        first = start if (start - FIRST) % EVERY == timedelta() else _after(start)
        quarters = max(0, -(-(min(end, clock.now()) - first) // EVERY))
        self._wanted = _Wanted(feeds, first, quarters * len(feeds))
        self.key = f"gdelt:{_stamp(start)}-{_stamp(end)}" + "+translated" * settings.translated

    def can_resume(self, cursor: str) -> bool:
        return cursor.isascii() and cursor.isdigit() and len(cursor) <= 9 and int(cursor) <= self._wanted.number

    def open(self, cursor: str | None) -> SourceReader:
        at = int(cursor) if cursor is not None and self.can_resume(cursor) else 0
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        return _PastReader(_Files(self._settings, fetcher, self._clock), fetcher, self._wanted, at)


class _PastReader:
    def __init__(self, files: _Files, fetcher: Fetcher, wanted: _Wanted, at: int) -> None:
        self._files, self._fetcher, self._wanted, self._at = files, fetcher, wanted, at
        self._rows: Iterator[bytes] | None = None
        self._given = 0

    def read(self, max_items: int) -> Sequence[Item] | None:
        if self._at >= self._wanted.number:
            return None
        feed, stamp = self._wanted.at(self._at)
        before = str(self._at)
        items: list[Item] = []
        try:
            if self._rows is None:
                archive = self._files.fetch(feed, stamp, None)
                if archive is None:
                    raise Unreadable("there is none")
                self._rows = rows_of(archive)
            while len(items) < max_items:
                if (line := next(self._rows, None)) is None:
                    self._next_file()
                    if items:
                        items[-1] = replace(items[-1], cursor=str(self._at))
                    break
                self._given += 1
                if (item := item_of(line, f"{_stamp(stamp)}{feed.suffix}:{self._given}", before)) is not None:
                    items.append(item)
        except Unreadable as exc:
            reason = f"the file of that time cannot be read: {exc}"
            items.append(_gap(stamp - EVERY, stamp, reason, before, recovered=self._given))
            self._next_file()
        return items

    def _next_file(self) -> None:
        self._files.readable()
        self._at, self._rows, self._given = self._at + 1, None, 0

    def extent(self) -> Extent | None:
        """In files."""
        return Extent(self._at, self._wanted.number)

    def close(self) -> None:
        self._fetcher.close()
