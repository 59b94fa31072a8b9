"""Keeping the derived index in step with the truth: one thread of the writing process follows and commits."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from domain.clock import Clock
from domain.errors import BackendDown, BadRecord, RetryLater, ServiceError
from domain.records import Mention
from search.tantivy_index import TantivyIndex, schema_number
from search.truth import Change, IndexFacts, Truth
from stream.codec import decode

log = logging.getLogger(__name__)

# Called with rows done and rows in all while an index is built.
Progress: TypeAlias = Callable[[int, int], None]

# Each commit leaves a small segment to merge; two a second show news within about a second.
COMMIT_SECONDS: Final = 0.5
# In a flood of changes one a second is enough, and saves a third of the work of merging.
FLOOD_COMMIT_SECONDS: Final = 1.0
_FLOOD_CHANGES: Final = 200
# Rows read from the truth at a time.
_BATCH: Final = 1_000
# Writes wait while the index is this many changes behind, so that "within a second or so" holds under load.
_MOST_BEHIND: Final = 20_000
# Mentions kept as they were written, so that they need not be read from JSON again, half of the indexer's work.
_MOST_RECENT: Final = 4_000
_RETRY_SECONDS: Final = 1.0
# How often a reading process looks whether the writer committed: one small SELECT each time.
_LOOK_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.02
_PREFIX: Final = "index-"


class IndexSource(Protocol):
    """Where the store finds the index to search."""

    def current(self) -> tuple[TantivyIndex, int]:
        """Give the index as last committed, and the number of a change up to which it holds all.

        Raises:
            RetryLater: it is being built.
            BackendDown: it cannot be read.
        """

    def refresh(self) -> None:
        """Return once everything written so far can be found.

        Raises:
            RetryLater, BackendDown.
        """

    def close(self) -> None:
        """Release threads and files."""


def _folder(root: Path, number: int) -> Path:
    return root / f"{_PREFIX}{number}"


class _Recent:
    """Mentions just stored, by id and version; a change that leaves the version must `forget` the post's first.

    Only saves time: whatever is missing is read from the truth. Both threads use it without a lock, one step each.
    """

    def __init__(self) -> None:
        self._mentions: dict[tuple[str, int], Mention] = {}

    def add(self, mentions: Iterable[Mention]) -> None:
        """Keep mentions while there is room."""
        for mention in mentions:
            # One that is there already was retracted and came back: what it said then is of no use.
            if len(self._mentions) < _MOST_RECENT or (mention.mention_id, mention.version) in self._mentions:
                self._mentions[mention.mention_id, mention.version] = mention

    def take(self, change: Change) -> Mention | None:
        """Give the mention of a change, and None where it is not here or gone."""
        mention = self._mentions.pop((change.mention_id, change.version), None)
        return mention if change.json is not None else None

    def forget(self, post_ids: Collection[str]) -> None:
        """Drop the mentions of posts."""
        for key, mention in list(self._mentions.items()):
            if mention.post_id in post_ids:
                self._mentions.pop(key, None)

    def clear(self) -> None:
        """Drop what was overwritten before anybody took it."""
        self._mentions.clear()


class _Follower:
    """One index folder and how far it has come: every change up to `applied` is in it, committed or not."""

    def __init__(self, index: TantivyIndex, truth: Truth, recent: _Recent, *, applied: int, highest_row: int) -> None:
        self.index = index
        self.applied = applied
        self._truth = truth
        self._recent = recent
        self._highest_row = highest_row

    def step(self) -> int:
        """Apply the next changes; gives how many there were."""
        changes = self._truth.changes_after(self.applied, _BATCH)
        for change in changes:
            # Rows are numbered upwards: one above all seen was never in the index.
            mention = self._recent.take(change) or _mention_of(change)
            seen_before = change.row <= self._highest_row
            self.index.replace(change.row, mention, seen_before=seen_before, story_id=change.story_id)
            self._highest_row = max(self._highest_row, change.row)
            self.applied = change.seq
        if len(changes) < _BATCH:
            self._recent.clear()
        return len(changes)

    def commit(self) -> None:
        """Make the index durable, then record in the truth how far it is."""
        self.index.commit()
        self._truth.set_indexed(self.applied)


def _mention_of(change: Change) -> Mention | None:
    if change.json is None:
        return None
    try:
        mention = decode(change.json)
    except BadRecord as exc:
        raise BackendDown(f"row {change.row} of the store cannot be read: {exc}. Restore it from a backup") from exc
    if not isinstance(mention, Mention):
        raise BackendDown(f"row {change.row} of the store is a {type(mention).__name__}, expected a mention")
    return mention


class Indexer:
    """The writing process's side.

    What is durable in the index is recorded in the truth afterwards, so after a crash the last changes are applied
    once more: each change first removes the row's document, which makes that harmless.
    """

    def __init__(self, root: Path, truth: Truth, clock: Clock, progress: Progress | None) -> None:
        self._root, self._truth, self._clock = root, truth, clock
        # Held while the index is written: by the thread per step, by `rebuild` throughout.
        self._work = threading.Lock()
        # Wakes the thread and those who wait for it; guards the fields below.
        self._changed = threading.Condition()
        self._refresh_to = 0
        self._rebuilding = self._closing = False
        self._failure: ServiceError | None = None
        self._recent = _Recent()
        self._follower = self._open(progress)
        self._committed = self._follower.applied
        self._committed_at = clock.monotonic() - COMMIT_SECONDS
        self._thread = threading.Thread(target=self._run, name="search-indexer", daemon=True)
        self._thread.start()

    def current(self) -> tuple[TantivyIndex, int]:
        # The number first: what is committed meanwhile only adds to the index.
        committed = self._committed
        return self._follower.index, committed

    def wait_for_room(self) -> None:
        """Return when the index is near enough to the truth for more to be written.

        Raises:
            BackendDown: the index cannot be written. The truth is whole; a restart catches up.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._rebuilding or not self._is_far_behind())
            self._raise_failure()

    def _is_far_behind(self) -> bool:
        return self._truth.last_seq - self._follower.applied > _MOST_BEHIND

    def wake(self, stored: Iterable[Mention] = ()) -> None:
        """Tell the thread that there are changes; `stored` are the mentions among them."""
        self._recent.add(stored)
        with self._changed:
            self._changed.notify_all()

    def forget(self, post_ids: Collection[str]) -> None:
        """Read mentions of posts from the truth from now on: their content is about to change within its version."""
        self._recent.forget(post_ids)

    def refresh(self) -> None:
        target = self._truth.last_seq
        with self._changed:
            self._refresh_to = max(self._refresh_to, target)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failure is not None or self._committed >= target)
            self._raise_failure()

    def rebuild(self, progress: Progress | None = None) -> None:
        """Build a new index from the truth, then switch every process to it; until then searches use the old one."""
        with self._changed:
            self._rebuilding = True
            self._changed.notify_all()
        try:
            with self._work:
                old, self._follower = self._follower, self._build(progress)
                old.index.close()
                self._committed = self._follower.applied
                self._remove_other_folders()
        finally:
            with self._changed:
                self._rebuilding = False
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._follower.index.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise BackendDown(f"the search index stopped: {self._failure}") from self._failure

    # --- opening and building

    def _open(self, progress: Progress | None) -> _Follower:
        facts = self._truth.index_facts()
        follower = None
        if facts.folder and facts.schema != schema_number():
            log.warning("the search index was written with another schema: building it again")
        elif facts.folder:
            follower = self._reopen(facts)
        if follower is None:
            follower = self._build(progress)
        self._remove_other_folders()
        return follower

    def _reopen(self, facts: IndexFacts) -> _Follower | None:
        """Open the index and bring it up to date; None when it is missing, broken or not what the truth says."""
        folder = _folder(self._root, facts.folder)
        if not folder.exists():
            log.info("there is no search index, as in a copy that was restored: building it")
            return None
        try:
            index = TantivyIndex(folder)
            highest_row = self._truth.max_row()
            follower = _Follower(index, self._truth, self._recent, applied=facts.indexed_seq, highest_row=highest_row)
            while follower.step():
                pass
            if follower.applied > facts.indexed_seq:
                follower.commit()
            expected, found = self._truth.count(), index.snapshot().documents
        except BackendDown as exc:
            log.warning("the search index cannot be used: %s", exc)
            return None
        if found != expected:
            log.warning("the search index holds %d mentions, the truth %d: building it again", found, expected)
            index.close()
            return None
        return follower

    def _build(self, progress: Progress | None) -> _Follower:
        number = self._truth.index_facts().folder + 1
        while _folder(self._root, number).exists():
            # Left by a build that was cut off; removed once this one stands.
            number += 1
        index = TantivyIndex(_folder(self._root, number), create=True)
        follower = _Follower(index, self._truth, self._recent, applied=0, highest_row=0)
        done, total = 0, self._truth.count_rows()
        while applied := follower.step():
            done += applied
            if progress is not None:
                progress(min(done, total), total)
        index.commit()
        self._truth.set_index(IndexFacts(number, schema_number(), follower.applied))
        return follower

    def _remove_other_folders(self) -> None:
        keep = _folder(self._root, self._truth.index_facts().folder)
        for path in self._root.glob(f"{_PREFIX}*"):
            if path != keep:
                shutil.rmtree(path, ignore_errors=True)

    # --- the thread

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                try:
                    self._advance()
                except RetryLater as exc:
                    log.warning("the indexer waits: %s", exc)
                    self._pause()
            with self._work:
                while self._follower.step():
                    pass
                if self._follower.applied > self._committed:
                    self._follower.commit()
        except ServiceError as exc:
            log.error("the indexer stopped: %s", exc)
            self._fail(exc)
        except Exception as exc:
            # A thread that died in silence would leave searches stale for ever: whoever writes next hears of it.
            log.exception("the indexer stopped")
            self._fail(BackendDown(f"{type(exc).__name__}, which is a bug: see the log"))

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._closing:
                if not self._rebuilding and (self._truth.last_seq > self._follower.applied or self._commit_is_due()):
                    return True
                waits_for_commit = not self._rebuilding and self._follower.applied > self._committed
                self._changed.wait(self._until_commit() if waits_for_commit else None)
            return False

    def _advance(self) -> None:
        with self._work:
            self._follower.step()
            due = self._commit_is_due()
            if due:
                self._follower.commit()
            applied = self._follower.applied
            with self._changed:
                if due:
                    self._committed, self._committed_at = applied, self._clock.monotonic()
                self._changed.notify_all()

    def _until_commit(self) -> float:
        """Give the seconds until the changes that were applied should be committed; 0 or less when it is time."""
        flood = self._follower.applied - self._committed >= _FLOOD_CHANGES
        pause = FLOOD_COMMIT_SECONDS if flood else COMMIT_SECONDS
        return self._committed_at + pause - self._clock.monotonic()

    def _commit_is_due(self) -> bool:
        applied = self._follower.applied
        refreshing = self._committed < self._refresh_to <= applied
        return applied > self._committed and (refreshing or self._until_commit() <= 0)

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=_RETRY_SECONDS)

    def _fail(self, failure: ServiceError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


class IndexReader:
    """The reading process's side: looks twice a second, when searched, whether the writer has committed."""

    def __init__(self, root: Path, truth: Truth, clock: Clock) -> None:
        self._root, self._truth, self._clock = root, truth, clock
        self._lock = threading.Lock()
        self._index: TantivyIndex | None = None
        self._facts = IndexFacts(0, 0, -1)
        self._looked_at = clock.monotonic() - _LOOK_SECONDS

    def current(self) -> tuple[TantivyIndex, int]:
        with self._lock:
            if self._index is None or self._clock.monotonic() - self._looked_at >= _LOOK_SECONDS:
                self._look()
            if self._index is None:
                raise RetryLater("the search index is being built", _RETRY_SECONDS)
            return self._index, self._facts.indexed_seq

    def refresh(self) -> None:
        target = self._truth.max_seq()
        deadline = self._clock.monotonic() + _PATIENCE_SECONDS
        while True:
            with self._lock:
                self._look()
                if self._index is not None and self._facts.indexed_seq >= target:
                    return
            if self._clock.monotonic() >= deadline:
                raise RetryLater("the search index is behind: is the pipeline running?", _RETRY_SECONDS)
            self._clock.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        self._index = None

    def _look(self) -> None:
        facts = self._truth.index_facts()
        if facts.folder == 0 or facts.schema != schema_number():
            # The writer is about to build one that this program can read, or is another version's.
            self._index = None
        elif self._index is None or facts.folder != self._facts.folder:
            self._index = self._open(facts)
        elif facts.indexed_seq != self._facts.indexed_seq:
            self._index.reload()
        self._facts, self._looked_at = facts, self._clock.monotonic()

    def _open(self, facts: IndexFacts) -> TantivyIndex | None:
        try:
            return TantivyIndex(_folder(self._root, facts.folder))
        except BackendDown:
            if self._truth.index_facts().folder != facts.folder:
                # The writer switched folders between the look and the opening: the next look finds the new one.
                return None
            raise
