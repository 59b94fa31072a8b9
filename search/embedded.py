"""The embedded store: truth in SQLite, a derived tantivy index beside it, one writing process, any readers."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from domain.aggregation import Aggregation, Result
from domain.clock import Clock, SystemClock, from_ms, to_ms
from domain.engagement import Engagement
from domain.errors import BackendDown, BadRecord, Busy
from domain.query.ast import Node
from domain.records import Event, Mention
from domain.stories import story_words
from search.acceptance import accepted
from search.cursor import Position, decode_cursor, encode_cursor
from search.indexer import Indexer, IndexReader, Progress
from search.listening import GapReport, SourceReport, gap_of, newest
from search.retractions import MAX_ROWS, Record, RetractionRow
from search.store import MAX_GAPS, MAX_PAGE, SearchPage, SearchRequest, Sort, Story, Written
from search.tantivy_aggregations import aggregate
from search.tantivy_index import Bounds, Hits, Snapshot
from search.tantivy_schema import ms_of_order_key, order_key
from search.transfer import Piece, StoryPost
from search.truth import Content, Kept, Truth, Write
from stream.codec import decode, encode, glance

TRUTH_FILE: Final = "mentions.sqlite3"
_LOCK_FILE: Final = "writer.lock"
# Each answers one half of a page's counts beside the thread that asked.
_COUNTING_THREADS: Final = 2
# Fetched beyond a page: mentions of one moment beside the cursor, and rows that went since the last commit.
_SLACK: Final = 20


class EmbeddedStore:
    """`search.store.Store` in one folder. Thread-safe.

    Writes are durable when `write` returns and found by searches within about a second. Between two commits of the
    index a search may give a mention in its newer form by its older text, but neither shows nor counts one that is
    gone: not even where the writer was killed before it told the index.
    """

    def __init__(self, truth: Truth, source: Indexer | IndexReader, lock: int | None, clock: Clock) -> None:
        """Use `open`."""
        self._truth, self._source, self._lock, self._clock = truth, source, lock, clock
        self._executor = ThreadPoolExecutor(_COUNTING_THREADS, "search-count")
        # One at a time numbers changes, and tells the indexer of them in that order.
        self._changing = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        read_only: bool = False,
        clock: Clock | None = None,
        progress: Progress | None = None,
    ) -> EmbeddedStore:
        """Open the store in `folder`, made when missing.

        A writer first brings the index up to date, and builds it again where it is missing, broken or of another
        schema: some two minutes for a million mentions, told to `progress` as (rows done, rows in all).

        Args:
            folder: belongs to the store alone.
            read_only: for a second process beside the writer; it follows the writer's commits.
            clock: for pauses and for how often a reader looks.
            progress: called from this thread.

        Raises:
            Busy: another process writes to this folder.
            ConfigError: the folder was written by a version that this one cannot read.
            BackendDown: the disk is full or broken; for a reader also: nothing is there yet.
        """
        clock = clock or SystemClock()
        if read_only:
            truth = Truth(folder / TRUTH_FILE, read_only=True)
            return cls(truth, IndexReader(folder, truth, clock), None, clock)
        lock = _lock(folder)
        try:
            truth = Truth(folder / TRUTH_FILE, read_only=False)
            try:
                return cls(truth, Indexer(folder, truth, clock, progress), lock, clock)
            except BaseException:
                truth.close()
                raise
        except BaseException:
            os.close(lock)
            raise

    def close(self) -> None:
        self._executor.shutdown()
        self._source.close()
        self._truth.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- writing

    def write(
        self, records: Sequence[Record], *, encoded: Sequence[bytes] | None = None
    ) -> Sequence[Written | BadRecord]:
        indexer = self._indexer()
        outcomes: list[Written | BadRecord] = []
        sound: list[Write] = []
        places: list[int] = []
        for place, record in enumerate(records):
            outcomes.append(Written.STORED)
            try:
                raw = None if encoded is None else encoded[place]
                sound.append(_checked(record, raw))
                places.append(place)
            except BadRecord as exc:
                outcomes[place] = exc
        indexer.wait_for_room()
        with self._changing:
            for place, written in zip(places, self._truth.apply(sound, self._clock.now()), strict=True):
                outcomes[place] = written
            indexer.wake(
                record
                for record, outcome in zip(records, outcomes, strict=True)
                if outcome is Written.STORED and isinstance(record, Mention)
            )
        return outcomes

    def engage(self, posts: Mapping[str, Engagement]) -> int:
        indexer = self._indexer()
        indexer.wait_for_room()
        with self._changing:
            # Before, so that the indexer never takes an older form of what it is told of.
            indexer.forget(posts.keys())
            changed = self._truth.engage(posts)
        indexer.wake()
        return changed

    def reindex(self, progress: Progress | None = None) -> None:
        """Build the index again from the truth; searches and writes go on, news shows when it is done.

        Raises:
            BackendDown: the disk is full or broken; the old index stays.
        """
        self._indexer().rebuild(progress)

    def refresh(self) -> None:
        self._source.refresh()

    def cut_wal(self) -> bool:
        """Copy the write-ahead file of the truth into its file and cut it, for it may hold what is gone.

        Returns:
            False where somebody reads right now: ask again later.

        Raises:
            BackendDown: the disk is full or broken.
        """
        return self._truth.cut_wal()

    def _indexer(self) -> Indexer:
        if not isinstance(self._source, Indexer):
            raise ValueError("this store was opened for reading only")
        return self._source

    def dump(self) -> Iterator[Piece]:
        """See `search.transfer.Transferable`; from a reading process as well."""
        for post_id, place, json in self._truth.story_posts():
            said = ""
            if json is not None and place.keys:
                document = glance(json)
                said = " ".join(story_words(document["tokens"], document.get("domains", ())))
            yield StoryPost(post_id, place, said)
        yield from map(_mention, self._truth.mentions())
        yield from self._truth.withdrawals()
        yield from self._truth.tombstones()
        yield from self._truth.retractions(-1, None)

    def keep_rows(self, rows: Sequence[RetractionRow]) -> None:
        """See `search.transfer.Transferable`."""
        self._truth.keep_rows(rows)

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """See `search.transfer.Transferable`."""
        self._indexer().wait_for_room()
        self._truth.adopt((post.post_id, post.place) for post in posts)

    # --- reading

    def get(self, mention_id: str) -> Mention | None:
        kept = self._truth.get(mention_id)
        return None if kept is None else _mention(kept)

    def retracted_at(self, post_id: str) -> datetime | None:
        found = self._truth.retracted_ms(post_id)
        return None if found is None else from_ms(found)

    def retractions(self, limit: int = MAX_ROWS, *, done_since: datetime | None = None) -> Sequence[RetractionRow]:
        return self._truth.retractions(limit, None if done_since is None else to_ms(done_since))

    def story(self, story_id: str) -> Story | None:
        row = self._truth.story(story_id)
        if row is None:
            return None
        original = _mention(Kept(row.json, story_id))
        return Story(story_id, original, row.posts, row.mentions, from_ms(row.first_ms), from_ms(row.last_ms))

    def count(self) -> int:
        return self._truth.count()

    def note(self, events: Sequence[Event]) -> None:
        self._truth.note(events)

    def sources(self) -> Sequence[SourceReport]:
        return newest(map(_event, self._truth.heartbeats()))

    def gaps(self, start: datetime, end: datetime) -> Sequence[GapReport]:
        found = self._truth.gaps(to_ms(start), to_ms(end), MAX_GAPS)
        return [gap for raw in found if (gap := gap_of(_event(raw))) is not None]

    def aggregate(self, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
        return aggregate(self._snapshot(), node, aggregations, self._executor)

    def search(self, request: SearchRequest) -> SearchPage:
        if not 1 <= request.limit <= MAX_PAGE:
            raise ValueError(f"limit must be in [1, {MAX_PAGE}], found {request.limit}")
        after = None if request.cursor is None else decode_cursor(request.cursor, request.sort)
        snapshot = self._snapshot()
        asked = request.limit + _SLACK
        newest = request.sort is Sort.NEWEST
        hits = snapshot.in_order(request.node, asked, newest=newest, within=_from(after, newest=newest))
        total = hits.total if after is None else snapshot.count(request.node)
        found: list[tuple[Position, int]] = []
        for run in self._runs(snapshot, request.node, hits, asked, newest=newest):
            placed = self._placed(run, newest=newest)
            found += placed if after is None else [one for one in placed if _is_behind(one[0], after, newest=newest)]
            if len(found) > request.limit:
                break
        page = found[: request.limit]
        contents = self._truth.contents(row for _, row in page)
        # Gone since a moment ago: left out, and the cursor still stands behind it.
        mentions = tuple(_mention(contents[row]) for _, row in page if row in contents)
        more = len(found) > request.limit
        return SearchPage(mentions, total, encode_cursor(request.sort, page[-1][0]) if more else None)

    def _snapshot(self) -> Snapshot:
        """Give the index as last committed, less what went since: a total never tells of what no row shows."""
        index, committed = self._source.current()
        snapshot = index.snapshot()
        gone = self._truth.gone_since(committed)
        return snapshot.without(gone) if gone else snapshot

    def _runs(
        self, snapshot: Snapshot, node: Node, hits: Hits, asked: int, *, newest: bool
    ) -> Iterator[list[tuple[int, int]]]:
        """Give matches in order of their keys, in runs that hold all matches of each of their keys."""
        while len(hits.rows) == asked:
            last = hits.rows[-1][0]
            whole = [hit for hit in hits.rows if hit[0] != last]
            if whole:
                # More may share the last key, and the index gives them in no order: they wait for the next run.
                yield whole
                bound = last
            else:
                shared = snapshot.count(node, (last, last))
                yield snapshot.in_order(node, shared, newest=newest, within=(last, last)).rows
                bound = last - 1 if newest else last + 1
                if bound < 0:
                    return
            within = (None, bound) if newest else (bound, None)
            hits = snapshot.in_order(node, asked, newest=newest, within=within)
        yield hits.rows

    def _placed(self, hits: list[tuple[int, int]], *, newest: bool) -> list[tuple[Position, int]]:
        """Give the exact order of whole keys; rows that are gone are left out."""
        ids = self._truth.live_ids(row for _, row in hits)
        return sorted(
            ((Position(ms_of_order_key(key), ids[row]), row) for key, row in hits if row in ids), reverse=newest
        )


def _from(after: Position | None, *, newest: bool) -> Bounds:
    if after is None:
        return (None, None)
    return (None, order_key(after)) if newest else (order_key(after), None)


def _is_behind(position: Position, after: Position, *, newest: bool) -> bool:
    return position < after if newest else position > after


def _lock(folder: Path) -> int:
    """Take the writer's lock; it goes with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise BackendDown(f"the folder {folder} cannot be used: {exc}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise Busy(f"another process writes to {folder}: stop it first, or open it for reading only") from exc
    return lock


def _checked(record: Record, encoded: bytes | None) -> Write:
    """Give a record as it is written, which is how it came where that is known.

    Raises:
        BadRecord: as `search.acceptance.accepted`; or a text that is not valid Unicode.
    """
    signature = accepted(record)
    if not isinstance(record, Mention):
        return record
    return Content(record, encode(record) if encoded is None else encoded, signature)


def _event(raw: bytes) -> Event:
    event = decode(raw)
    if not isinstance(event, Event):
        raise BackendDown(f"the store holds a {type(event).__name__} where an event was expected")
    return event


def _mention(kept: Kept) -> Mention:
    mention = decode(kept.json)
    if not isinstance(mention, Mention):
        raise BackendDown(f"the store holds a {type(mention).__name__} where a mention was expected")
    return mention if kept.story_id is None else replace(mention, story_id=kept.story_id)
