"""Writing to Elasticsearch: slices of records, each worked out first (`search.elastic_slice`) and then sent.

The order of what is sent makes a crash at any point harmless, for the log gives the same records again: other mentions
that a story moves, stories, tombstones, mentions.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from domain.clock import Clock, from_ms, to_ms
from domain.engagement import Engagement
from domain.errors import BackendDown, BadRecord, ConfigError, RetryLater
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search.elastic_bulk import Applied, Bulk, Conflict, ItemOutcome, Op
from search.elastic_document import STORY_ID
from search.elastic_engagement import Engaging
from search.elastic_http import LATER_SECONDS, SEVERAL_INDICES, Elastic
from search.elastic_reads import ALL_FIELDS, Wanted, get_many, refresh
from search.elastic_retractions import Ledger, Stones, mentions_of, row_op, stone_op
from search.elastic_settings import ElasticSettings
from search.elastic_slice import ENRICHED_AT, Slice, Sound, checked, enriched_at_of, post_of
from search.elastic_stories import ElasticShelf
from search.retractions import Record, RetractionRow, Stone
from search.store import Written
from search.stories import ShinglesCache, Stories
from search.transfer import StoryPost
from stream.codec import to_json

# Records worked out at once: some 2 MB, and the memory that reading ahead for them takes.
_SLICE: Final = 1_000


class Writer:
    """Writes records to the indices of one prefix. One call at a time; safe beside other processes."""

    def __init__(self, elastic: Elastic, bulk: Bulk, settings: ElasticSettings, clock: Clock) -> None:
        self._elastic, self._bulk, self._names, self._clock = elastic, bulk, settings.names, clock
        self._cache = ShinglesCache()
        self._lock = threading.Lock()
        self._months: set[str] = set()
        # The number of the last write to the stories, while nobody else writes to them: else the next slice asks.
        self._sequence: int | None = None

    def write(self, records: Sequence[Record]) -> list[Written | BadRecord]:
        """See `search.store.Store.write`."""
        with self._lock:
            outcomes: list[Written | BadRecord] = []
            part: list[Record] = []
            for record in records:
                # Rare, and about posts that nobody knows before: what came before it is written first.
                alone = isinstance(record, AuthorRetraction | Restoration)
                if part and (alone or len(part) == _SLICE):
                    outcomes += self._write_slice(part)
                    part = []
                if alone:
                    outcomes.append(self._write_alone(record))
                else:
                    part.append(record)
            return outcomes + self._write_slice(part)

    def engage(self, posts: Mapping[str, Engagement]) -> int:
        """See `search.store.Store.engage`."""
        with self._lock:
            engaging = Engaging(self._elastic, self._bulk, self._names, self._cache, posts)
            engaging.run()
            # As if they had been written: what was forbidden meanwhile does not come back.
            work = Slice(self._elastic, self._names, self._cache, [], self._sequence)
            for place, (mention_id, mention) in enumerate(engaging.changed.items()):
                work.writes[mention_id] = Sound(place, mention)
            outcomes: list[Written | BadRecord] = [Written.STORED] * len(work.writes)
            self._undo_forbidden(work, outcomes)
            return outcomes.count(Written.STORED)

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """See `search.transfer.Transferable`."""
        with self._lock:
            for start in range(0, len(posts), _SLICE):
                part = posts[start : start + _SLICE]
                stones = Stones.of_posts(self._elastic, self._names.tombstones, [post.post_id for post in part])
                shelf = ElasticShelf(self._elastic, self._names, self._cache)
                shelf.adopt([post for post in part if not stones.posts.get(post.post_id, Stone()).blocks])
                self._write_story_ops(shelf.ops)

    def remove_from_stories(self, posts: Sequence[str]) -> int:
        """Take posts out of their stories for good, with their words; give how many stood in one.

        Raises:
            AccessRefused, RetryLater, BackendDown.
        """
        if not posts:
            return 0
        with self._lock:
            shelf = ElasticShelf(self._elastic, self._names, self._cache)
            removed = shelf.remove_many(posts)
            self._write_story_ops(shelf.ops)
            return removed

    def _write_slice(self, records: Sequence[Record]) -> list[Written | BadRecord]:
        outcomes: list[Written | BadRecord] = [Written.STORED] * len(records)
        sound: list[Sound] = []
        for place, record in enumerate(records):
            try:
                sound.append(checked(place, record))
            except BadRecord as exc:
                outcomes[place] = exc
        if sound:
            self._apply(sound, outcomes)
        return outcomes

    def _write_alone(self, record: Record) -> Written | BadRecord:
        """Write the retraction of an author, or a restoration: the tombstone first."""
        try:
            checked(0, record)
        except BadRecord as exc:
            return exc
        if not isinstance(record, AuthorRetraction | Restoration):
            raise TypeError("only what is no part of a slice is written alone")
        before = Stones(self._elastic, self._names.tombstones, [record]).of(record)
        self._write_in_order([stone_op(record, self._names)])
        if isinstance(record, Restoration):
            stone = before.restored(to_ms(record.restored_at), to_ms(record.taken_from))
            return Written.STORED if before.blocks and not stone.blocks else Written.SUPERSEDED
        stone = before.retracted(to_ms(record.retracted_at))
        going = mentions_of(self._elastic, self._names, record, stone)
        row = Ledger(self._elastic, self._names, [record]).row(record, len(going))
        if row is not None:
            self._write_in_order([row_op(row, self._names)])
        self._remove([post_id for _, post_id in going], record, stone)
        self._finish([row] if row is not None else [])
        return Written.STORED if stone.blocks and not before.blocks else Written.SUPERSEDED

    def _remove(self, post_ids: Sequence[str], of: AuthorRetraction | Mention, stone: Stone) -> None:
        """Remove the mentions of posts that a stone forbids, which is written already; their stories are mended."""
        at = of.retracted_at if isinstance(of, AuthorRetraction) else of.collected_at
        posts = list(dict.fromkeys(post_ids))
        for start in range(0, len(posts), _SLICE):
            part = [
                Sound(place, Retraction(post_id=post_id, source=of.source, retracted_at=at), stone=stone)
                for place, post_id in enumerate(posts[start : start + _SLICE])
            ]
            self._apply(part, [Written.STORED] * len(part))

    def keep_rows(self, rows: Sequence[RetractionRow]) -> None:
        """Keep rows of the ledger of another store."""
        self._write_in_order([row_op(row, self._names) for row in rows])

    def _finish(self, rows: Sequence[RetractionRow]) -> None:
        now = self._clock.now()
        done_at = from_ms(to_ms(now))
        self._write_in_order([row_op(replace(row, done_at=done_at), self._names) for row in rows])

    def _write_in_order(self, ops: Sequence[Op]) -> None:
        """Write tombstones and rows of the ledger, one after the other."""
        for outcome in self._bulk.write(ops, in_order=True):
            if isinstance(outcome, BadRecord):
                raise BackendDown(f"a tombstone cannot be written: {outcome.detail}. Run `soundings setup`")

    # --- sending

    def _apply(self, sound: Sequence[Sound], outcomes: list[Written | BadRecord]) -> None:
        work = Slice(self._elastic, self._names, self._cache, sound, self._sequence)
        work.work_out(outcomes)
        self._send(work, outcomes)

    def _send(self, work: Slice, outcomes: list[Written | BadRecord]) -> None:
        self._move_others(work)
        self._write_stories(work)
        self._write_in_order(work.forbidding)
        ops, ids_of_ops = work.mention_ops(self._index_of)
        for mention_id, outcome in zip(ids_of_ops, self._bulk.write(ops, visible=bool(work.deletes)), strict=True):
            place = work.places.get(mention_id)
            if place is not None:
                outcomes[place] = self._settled(work, mention_id, outcome)
        self._forget_refused(work, outcomes)
        self._finish(work.finished)
        self._undo_forbidden(work, outcomes)

    def _index_of(self, month: str) -> str:
        """Give the index of a month, made when it is not there: never by itself, which would be without our mapping."""
        index = self._names.month(month)
        if month not in self._months:
            answer = self._elastic.ask("GET", f"/{index}/_mapping", also=(404,), patient=True)
            if answer.status == 404:
                # Another worker may be sooner.
                self._elastic.ask("PUT", f"/{index}", {}, also=(400,), patient=True)
                answer = self._elastic.ask("GET", f"/{index}/_mapping", patient=True)
            if len(answer.body) > 1:
                raise RetryLater(f"{index} {SEVERAL_INDICES}", LATER_SECONDS)
            for mapping in answer.body.values():
                if "template_version" not in mapping["mappings"].get("_meta", {}):
                    raise ConfigError(f"the index {index} was made without our template: run `soundings setup`")
            self._months.add(month)
        return index

    def forget_months(self) -> None:
        """Look again which indices there are: some were dropped."""
        self._months.clear()

    def _write_stories(self, work: Slice) -> None:
        """Write what was decided about stories; of two that began unseen by each other, one goes into the other."""
        shelf = work.shelf
        sequences = self._write_story_ops(shelf.ops)
        if not sequences:
            return
        if shelf.sequence is not None and sequences[-1] == shelf.sequence + len(sequences):
            # Nobody wrote between our look and our last write.
            self._sequence = sequences[-1]
            return
        if not work.keys_of_began:
            return
        done = len(shelf.ops)
        refresh(self._elastic, self._names.stories, patient=True)
        for story_id, keys in work.keys_of_began.items():
            rivals = shelf.rivals(story_id, keys, sequences[shelf.began[story_id]])
            if rivals:
                shelf.merge(story_id, min(rivals)[2])
        self._write_story_ops(shelf.ops[done:])

    def _write_story_ops(self, ops: Sequence[Op]) -> list[int]:
        """Write to the stories; give the numbers of the writes."""
        if ops:
            self._sequence = None
        sequences: list[int] = []
        for outcome in self._bulk.write(ops, in_order=True):
            if not isinstance(outcome, Applied):
                raise BackendDown(f"a story cannot be written: {outcome}. Check the template")
            sequences.append(outcome.sequence)
        return sequences

    def _move_others(self, work: Slice) -> None:
        """Give the other mentions of posts that changed their story the new one."""
        moved = work.others_to_move()
        wanted = [Wanted(doc.where, mention_id, ALL_FIELDS) for mention_id, doc, _ in moved]
        ops = []
        for found, (mention_id, _, story_id) in zip(get_many(self._elastic, wanted, patient=True), moved, strict=True):
            if found is not None and found.source.get(STORY_ID) != story_id:
                body = to_json({**found.source, STORY_ID: story_id})
                # Over the same version, and never over one that came meanwhile.
                index = self._names.written(found.index)
                ops.append(Op("index", index, mention_id, body, found.version, strictly=False))
        self._bulk.write(ops)

    def _settled(self, work: Slice, mention_id: str, outcome: ItemOutcome) -> Written | BadRecord:
        """Give what a write of a mention did; a conflict counts as done only where the index is as far as we are."""
        if isinstance(outcome, BadRecord):
            return outcome
        if not isinstance(outcome, Conflict):
            return Written.STORED
        mention = work.writes[mention_id].record
        if not isinstance(mention, Mention):
            raise TypeError("only mentions are settled")
        wanted = Wanted(self._index_of(mention.routing_month), mention_id, (ENRICHED_AT,))
        (found,) = get_many(self._elastic, [wanted], patient=True)
        if found is not None and found.version >= mention.version:
            if found.version > mention.version:
                return Written.SUPERSEDED
            if enriched_at_of(found.source) != mention.enriched_at:
                return Written.REPEATED
            return Written.STORED if outcome.repeated else Written.SUPERSEDED
        stones = Stones(self._elastic, self._names.tombstones, [mention])
        if stones.forbidding(mention) is not None or stones.withdrawn.get(mention_id, -1) >= mention.version:
            return Written.SUPERSEDED
        raise RetryLater(
            f"version {mention.version} of a mention conflicts with what is not there: it was removed a moment ago",
            LATER_SECONDS,
        )

    def _forget_refused(self, work: Slice, outcomes: Sequence[Written | BadRecord]) -> None:
        """Take posts out of their stories of which the index refused the only mention."""
        refused = {
            post_of(work.writes[mention_id].record)
            for mention_id, place in work.places.items()
            if isinstance(outcomes[place], BadRecord) and mention_id in work.writes
        }
        lost = [post_id for post_id in refused if not work.has_mentions(post_id, outcomes)]
        if lost:
            shelf = ElasticShelf(self._elastic, self._names, self._cache)
            stories = Stories(shelf)
            for post_id in lost:
                stories.remove(post_id)
            self._write_story_ops(shelf.ops)

    def _undo_forbidden(self, work: Slice, outcomes: list[Written | BadRecord]) -> None:
        """Take back what was forbidden by another worker after this one had looked: nothing comes back."""
        written = [one for one in work.writes.values() if outcomes[one.place] is Written.STORED]
        stones = Stones(self._elastic, self._names.tombstones, [one.record for one in written])
        for one in written:
            record = one.record
            if not isinstance(record, Mention):
                continue
            stone = stones.forbidding(record)
            if stone is not None:
                outcomes[one.place] = Written.SUPERSEDED
                self._remove([record.post_id], record, stone)
            elif stones.withdrawn.get(record.mention_id, -1) >= record.version:
                outcomes[one.place] = Written.SUPERSEDED
                undo = Withdrawal(
                    mention_id=record.mention_id,
                    post_id=record.post_id,
                    brand_id=record.brand_id,
                    version=stones.withdrawn[record.mention_id],
                )
                self._write_slice([undo])
