"""Writing to Elasticsearch: slices of records, each worked out first (`search.elastic_slice`) and then sent.

The order of what is sent makes a crash at any point harmless, for the log gives the same records again: other mentions
that a story moves, stories, tombstones, mentions.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from domain.engagement import Engagement
from domain.errors import BackendDown, BadRecord, ConfigError, RetryLater
from domain.records import Mention, Retraction, Withdrawal
from search.elastic_bulk import Applied, Bulk, Conflict, ItemOutcome, Op
from search.elastic_document import STORY_ID
from search.elastic_engagement import Engaging
from search.elastic_http import LATER_SECONDS, SEVERAL_INDICES, Elastic
from search.elastic_reads import ALL_FIELDS, Wanted, get_many, refresh
from search.elastic_settings import ElasticSettings
from search.elastic_slice import (
    ENRICHED_AT,
    Record,
    Slice,
    Sound,
    Stones,
    checked,
    enriched_at_of,
    mention_stone,
    post_stone,
)
from search.elastic_stories import ElasticShelf
from search.store import Written
from search.stories import ShinglesCache, Stories
from search.transfer import StoryPost
from stream.codec import to_json

# Records worked out at once: some 2 MB, and the memory that reading ahead for them takes.
_SLICE: Final = 1_000


class Writer:
    """Writes records to the indices of one prefix. One call at a time; safe beside other processes."""

    def __init__(self, elastic: Elastic, bulk: Bulk, settings: ElasticSettings) -> None:
        self._elastic, self._bulk, self._names = elastic, bulk, settings.names
        self._cache = ShinglesCache()
        self._lock = threading.Lock()
        self._months: set[str] = set()
        # The number of the last write to the stories, while nobody else writes to them: else the next slice asks.
        self._sequence: int | None = None

    def write(self, records: Sequence[Record]) -> list[Written | BadRecord]:
        """See `search.store.Store.write`."""
        with self._lock:
            outcomes: list[Written | BadRecord] = []
            for start in range(0, len(records), _SLICE):
                outcomes += self._write_slice(records[start : start + _SLICE])
            return outcomes

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
                stones = [Wanted(self._names.tombstones, post_stone(post.post_id)) for post in part]
                found = get_many(self._elastic, stones, patient=True)
                shelf = ElasticShelf(self._elastic, self._names, self._cache)
                shelf.adopt([post for post, stone in zip(part, found, strict=True) if stone is None])
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
            found = Slice(self._elastic, self._names, self._cache, sound, self._sequence)
            found.work_out(outcomes)
            self._send(found, outcomes)
        return outcomes

    # --- sending

    def _send(self, work: Slice, outcomes: list[Written | BadRecord]) -> None:
        self._move_others(work)
        self._write_stories(work)
        for outcome in self._bulk.write(work.forbidding, in_order=True):
            if isinstance(outcome, BadRecord):
                raise BackendDown(f"a tombstone cannot be written: {outcome.detail}. Check the template")
        ops, ids_of_ops = work.mention_ops(self._index_of)
        for mention_id, outcome in zip(ids_of_ops, self._bulk.write(ops, visible=bool(work.deletes)), strict=True):
            place = work.places.get(mention_id)
            if place is not None:
                outcomes[place] = self._settled(work, mention_id, outcome)
        self._forget_refused(work, outcomes)
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
        tombstones = self._names.tombstones
        wanted = [
            Wanted(self._index_of(mention.routing_month), mention_id, (ENRICHED_AT,)),
            Wanted(tombstones, post_stone(mention.post_id)),
            Wanted(tombstones, mention_stone(mention_id), ("version",)),
        ]
        found, retracted, withdrawn = get_many(self._elastic, wanted, patient=True)
        if found is not None and found.version >= mention.version:
            if found.version > mention.version:
                return Written.SUPERSEDED
            if enriched_at_of(found.source) != mention.enriched_at:
                return Written.REPEATED
            return Written.STORED if outcome.repeated else Written.SUPERSEDED
        if retracted is not None or (withdrawn is not None and withdrawn.source["version"] >= mention.version):
            return Written.SUPERSEDED
        raise RetryLater(
            f"version {mention.version} of a mention conflicts with what is not there: it was removed a moment ago",
            LATER_SECONDS,
        )

    def _forget_refused(self, work: Slice, outcomes: Sequence[Written | BadRecord]) -> None:
        """Take posts out of their stories of which the index refused the only mention."""
        refused = {
            work.writes[mention_id].record.post_id
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
            if record.post_id in stones.retracted:
                undo: Record = Retraction(
                    post_id=record.post_id, source=record.source, retracted_at=record.collected_at
                )
            elif stones.withdrawn.get(record.mention_id, -1) >= record.version:
                undo = Withdrawal(
                    mention_id=record.mention_id,
                    post_id=record.post_id,
                    brand_id=record.brand_id,
                    version=stones.withdrawn[record.mention_id],
                )
            else:
                continue
            outcomes[one.place] = Written.SUPERSEDED
            self._write_slice([undo])
