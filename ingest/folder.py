"""The folder source: files that are dropped into a watched folder are read like any other and put away."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from domain.clock import Clock
from domain.errors import BadRecord, ConfigError, RetryLater, ServiceError
from domain.records import Outcome
from ingest.drop_folder import DONE, FAILED, MAX_KNOWN, PAGE, SETTING, DropFolder, Sight, shown
from ingest.file import FileReader, FileSource
from ingest.file_shape import FileSettings
from ingest.lines import MAX_LINE_BYTES
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import Extent, Item, RawPost, Vitals
from stream.park_cap import ParkCap, ParkWatch

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.2
_NOTE_CHARS = 400
# `FileSettings.name` where nobody chose one.
_USUAL_NAME = "file"
_RETRY_SECONDS = 5.0
# A file on which reading failed so often is put away, or those behind it would never be read.
MOST_TRIES = 3
# Rows that are looked at before any is given. One that holds no post among so many is no file of posts.
LOOKED_AT = 200
ENOUGH = 20
# Below the cap of the whole source, so that one bad file does not stop the others.
PARK_CAP = ParkCap(consecutive=250, share=0.5, window=1_000)


def _rows() -> FileSettings:
    return FileSettings(path="-", normalise=NormaliserSettings())


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """Which folder, how often it is looked at, how long a file must stay the same to be whole (seconds).

    `rows`: how rows of files are read; its path says nothing, and its name, where it is another than the usual "file",
    is the source of rows that name none. `backfilled`: what is dropped is the past, and raises no alert.
    """

    path: str
    poll_seconds: float = 5.0
    settle_seconds: float = 5.0
    rows: FileSettings = field(default_factory=_rows)
    backfilled: bool = False


class FolderSource:
    """`ingest.source.LiveSource` over a folder. A cursor is a file's name with the file's own cursor.

    Raises:
        ConfigError: no folder is named, or how rows are read cannot be used.
    """

    name = "folder"

    def __init__(self, settings: FolderSettings, clock: Clock) -> None:
        if not settings.path:
            raise ConfigError(f"{SETTING}: is empty, expected a folder to watch; see {PAGE}")
        self._settings, self._clock = settings, clock
        self._file("-")

    @property
    def key(self) -> str:
        return f"folder:{Path(self._settings.path).expanduser().resolve()}"

    @property
    def normalise(self) -> NormaliserSettings:
        return replace(self._settings.rows.normalise, backfilled=self._settings.backfilled)

    def can_resume(self, cursor: str) -> bool:
        """Tell whether it is a cursor of this source; a file that is gone or changed is told in `open`."""
        return _place(cursor) is not None

    def open(self, cursor: str | None) -> FolderReader:
        settings = self._settings
        folder = DropFolder(Path(settings.path).expanduser(), settings.settle_seconds, self._clock)
        place = _place(cursor) if cursor is not None else None
        return FolderReader(folder, self._file, Normaliser(self.name, self.normalise), settings, self._clock, place)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        item = self._file("-").reread(payload, position, id_owed=id_owed)
        return _named(item, self._settings.rows.name)

    def _file(self, path: str) -> FileSource:
        try:
            return FileSource(replace(self._settings.rows, path=path), only_regular=True)
        except ConfigError as exc:
            raise ConfigError([f"source.file: {problem}" for problem in exc.problems]) from exc


@dataclass(slots=True)
class _Current:
    """The file that is being read. `given` counts the items that were given and are not settled yet."""

    sight: Sight
    reader: FileReader
    watch: ParkWatch = field(default_factory=lambda: ParkWatch(PARK_CAP))
    waiting: deque[Item] = field(default_factory=deque)
    cursor: str | None = None
    ended: bool = False
    given: int = 0
    rows: int = 0
    posts: int = 0
    flood: str | None = None
    example: str = ""

    @property
    def read_out(self) -> bool:
        """Nothing more is given of it."""
        return self.flood is not None or (self.ended and not self.waiting)

    @property
    def verdict(self) -> str:
        """Why it counts as bad; "" where it does not."""
        if self.flood is not None:
            return f"{self.flood} could not be read ({self.example}); what came after them was left"
        return f"no row could be read as a post ({self.example})" if self.rows and not self.posts else ""

    def take(self, max_items: int) -> list[Item]:
        """Give the next items; none at the end."""
        if not self.waiting and not self.ended:
            batch = self.reader.read(max_items)
            self.ended = batch is None
            self.waiting.extend(batch or ())
        return [self.waiting.popleft() for _ in range(min(max_items, len(self.waiting)))]


class FolderReader:
    """As the protocol, and `ingest.source.Acknowledged`: a file is put away once all that it held is settled."""

    def __init__(
        self,
        folder: DropFolder,
        source_of: Callable[[str], FileSource],
        normaliser: Normaliser,
        settings: FolderSettings,
        clock: Clock,
        place: tuple[str, str] | None,
    ) -> None:
        self._folder, self._source_of, self._normaliser, self._clock = folder, source_of, normaliser, clock
        self._settings, self._place = settings, place
        self._current: _Current | None = None
        self._whole: deque[Sight] = deque()
        self._others = 0
        self._look_at = float("-inf")
        self._tries = ("", 0)
        self._failures, self._last_failure = 0, ""
        self._vitals = Vitals(connected=False)

    def read(self, max_items: int) -> Sequence[Item]:
        try:
            self._put_away()
            if self._current is None:
                self._begin()
            items = self._give(max_items)
        except ServiceError:
            self._tell(connected=False)
            raise
        self._tell(connected=True)
        if self._current is None and not self._whole:
            left = self._look_at - self._clock.monotonic()
            self._clock.sleep(min(max(left, 0.0), _WAIT_SECONDS))
        return items

    def settled(
        self, outcomes: Sequence[Outcome], errors: Sequence[BadRecord], retracted: Collection[int] = ()
    ) -> None:
        current = self._current
        if current is None:
            return
        current.given = max(0, current.given - len(outcomes))
        current.rows += len(outcomes)
        current.posts += sum(outcome is not Outcome.PARKED for outcome in outcomes)
        if errors:
            current.example = current.example or str(errors[0])
        current.flood = current.flood or current.watch.exceeded(outcomes)

    def _begin(self) -> None:
        """Start the file that was being read when we were stopped, else the oldest one that is whole."""
        if self._place is not None:
            (name, cursor), self._place = self._place, None
            if (sight := self._folder.sight(name)) is not None:
                self._start(sight, cursor)
            return
        if not self._whole:
            now = self._clock.monotonic()
            if now < self._look_at:
                return
            whole, self._others = self._folder.look()
            self._whole.extend(whole)
            # Of very many files only the oldest are known: the next ones are looked for as soon as these are read.
            self._look_at = now if len(whole) >= MAX_KNOWN else now + self._settings.poll_seconds
        while self._whole and self._current is None:
            sight = self._whole.popleft()
            if self._folder.sight(sight.name) == sight:
                self._start(sight, None)
                return

    def _start(self, sight: Sight, cursor: str | None) -> None:
        reader: FileReader | None = None
        try:
            source = self._source_of(str(self._folder.path / sight.name))
            if cursor is not None and not source.can_resume(cursor):
                # Another file of this name, or it was changed: it is found when it is whole.
                return
            reader = source.open(cursor)
            current = _Current(sight, reader, cursor=cursor)
            refused = "" if cursor is not None else self._look_into(current)
        except ConfigError as exc:
            if self._folder.sight(sight.name) is not None:
                self._fail(sight.name, exc.problems[0])
            return
        except Exception as exc:
            if reader is not None:
                reader.close()
            self._again(sight, cursor, exc)
            return
        if refused:
            reader.close()
            self._fail(sight.name, refused)
            return
        logger.info("folder: reading %s", shown(sight.name))
        self._current = current

    def _look_into(self, current: _Current) -> str:
        """Read the first rows without giving them; tells what is wrong where none of them holds a post."""
        size, errors = 0, []
        while not current.ended and len(current.waiting) < LOOKED_AT and size < MAX_LINE_BYTES:
            batch = current.reader.read(1)
            current.ended = batch is None
            for item in batch or ():
                current.waiting.append(item)
                size += len(item.raw)
                errors += self._error(item)
        if len(errors) < len(current.waiting) or len(errors) < ENOUGH:
            return ""
        return f"none of its first {len(errors)} rows can be read as a post ({errors[0]})"

    def _error(self, item: Item) -> list[BadRecord]:
        if isinstance(item.content, BadRecord):
            return [item.content]
        try:
            if isinstance(item.content, RawPost):
                self._normaliser.normalise(item.content, self._clock.now())
        except BadRecord as exc:
            return [exc]
        return []

    def _give(self, max_items: int) -> list[Item]:
        current = self._current
        if current is None or current.read_out:
            return []
        name = current.sight.name
        try:
            items = current.take(max_items)
        except Exception as exc:
            self._close()
            self._again(current.sight, current.cursor, exc)
            return []
        if items:
            current.cursor = items[-1].cursor
            current.given += len(items)
            self._tries = ("", 0)
        return [_of_folder(item, name, self._settings.rows.name) for item in items]

    def _again(self, sight: Sight, cursor: str | None, error: Exception) -> None:
        """Reading a file failed: it is tried again where it was, and put away when that was often enough.

        Raises:
            RetryLater: it is tried again.
        """
        name = sight.name
        tries = self._tries[1] + 1 if self._tries[0] == name else 1
        # What an unexpected error says may quote what somebody wrote.
        why = str(error) if isinstance(error, ServiceError) else f"failed on {type(error).__name__}"
        if tries >= MOST_TRIES:
            self._tries = ("", 0)
            self._fail(name, why)
            return
        self._tries = (name, tries)
        logger.debug("reading %s failed", shown(name), exc_info=error)
        if cursor is not None:
            self._place = (name, cursor)
        else:
            self._whole.appendleft(sight)
        raise RetryLater(f"{shown(name)}: {why}", _RETRY_SECONDS) from error

    def _put_away(self) -> None:
        current = self._current
        if current is None or current.given or not current.read_out:
            return
        name, there = current.sight.name, self._folder.sight(current.sight.name)
        if there is None:
            logger.warning("folder: %s was taken away by somebody else", shown(name))
        elif there != current.sight:
            logger.warning("folder: %s changed while it was read; it is read again when it is whole", shown(name))
        elif current.verdict:
            self._fail(name, current.verdict)
        else:
            kept = self._folder.put_away(name, DONE, self._clock.now())
            logger.info("folder: read %s, now in %s/ as %s; rows: %d", shown(name), DONE, shown(kept), current.rows)
        self._close()

    def _fail(self, name: str, reason: str) -> None:
        kept = self._folder.put_away(name, FAILED, self._clock.now())
        self._failures += 1
        self._last_failure = f"{shown(name)}: {reason}"
        logger.error("folder: %s cannot be read, now in %s/ as %s: %s", shown(name), FAILED, shown(kept), reason)

    def _tell(self, *, connected: bool) -> None:
        waiting = len(self._whole) + self._others
        note = [f"{waiting:,} files wait"] if waiting else []
        if self._failures:
            note.append(f"{self._failures:,} went to {FAILED}/, the last one {self._last_failure}")
        event_at = _time(self._current.sight) if self._current is not None else self._vitals.event_at
        self._vitals = Vitals(
            connected=connected, event_at=event_at, errors=self._failures, note="; ".join(note)[:_NOTE_CHARS]
        )

    def extent(self) -> Extent | None:
        return None

    def vitals(self) -> Vitals:
        return self._vitals

    def close(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._current is not None:
            current, self._current = self._current, None
            current.reader.close()


def _place(cursor: str) -> tuple[str, str] | None:
    """Give the name of the file that a cursor stands in, with the cursor."""
    try:
        name = json.loads(cursor)["name"]
    except (ValueError, KeyError, TypeError):
        return None
    return (name, cursor) if isinstance(name, str) and Path(name).name == name else None


def _of_folder(item: Item, name: str, source: str) -> Item:
    line = item.position.rpartition(":")[2]
    cursor = f'{{"name": {json.dumps(name)}, {item.cursor[1:]}'
    return _named(replace(item, position=f"{shown(name)}:{line}", cursor=cursor), source)


def _named(item: Item, source: str) -> Item:
    """Give the item with the source that the settings of files name, where its row names none."""
    content = item.content
    if source == _USUAL_NAME or not isinstance(content, RawPost) or content.fields.get("source"):
        return item
    return replace(item, content=replace(content, fields={**content.fields, "source": source}))


def _time(sight: Sight) -> datetime | None:
    try:
        return datetime.fromtimestamp(sight.mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
