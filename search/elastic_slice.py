"""What a slice of records does to the indices, worked out as if one by one, over what they hold now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from domain.clock import to_ms
from domain.errors import BadRecord
from domain.records import Mention, Retraction, Withdrawal
from domain.stories import Signature
from search.acceptance import accepted
from search.elastic_bulk import Op
from search.elastic_document import AS_WRITTEN, body_of, with_story
from search.elastic_http import Elastic
from search.elastic_reads import WHOLE, Wanted, get_many, refresh
from search.elastic_retractions import Ledger, Stones, mention_stone, row_op, stone_op
from search.elastic_settings import Names
from search.elastic_stories import ElasticShelf
from search.keywords import folded
from search.retractions import Record, RetractionRow, Stone
from search.store import Written
from search.stories import ShinglesCache, Stories
from stream.codec import to_json

# Above any version: a retracted post stays away from an index for a minute even without its tombstone.
_ABOVE_ALL: Final = (1 << 63) - 1
_POSTS_A_SEARCH: Final = 500
_MOST_MENTIONS: Final = 10_000


class Sound(NamedTuple):
    """A record that can be written: with its place among all, and for a mention its document and signature.

    `stone` is of a retraction that only removes: what it says is written already, of the post or of its author.
    """

    place: int
    record: Record
    body: bytes = b""
    signature: Signature | None = None
    stone: Stone | None = None


class _Doc(NamedTuple):
    """A document that an index has, forbidden or not; `where` is the name under which it is written to."""

    where: str
    version: int
    enriched_at: datetime
    collected_at: datetime


# By this a mention is told from the same one that another record brought.
ENRICHED_AT: Final = "enriched_at"
_COLLECTED_AT: Final = "collected_at"


def enriched_at_of(source: Mapping[str, Any]) -> datetime:
    """Give when a stored mention was enriched."""
    return datetime.fromisoformat(source[ENRICHED_AT])


def _doc(where: str, version: int, source: Mapping[str, Any]) -> _Doc:
    return _Doc(where, version, enriched_at_of(source), datetime.fromisoformat(source[_COLLECTED_AT]))


def post_of(record: Record) -> str:
    """Give the post that a record of a slice is about."""
    if isinstance(record, Mention | Withdrawal | Retraction):
        return record.post_id
    raise TypeError("authors and restorations are no part of a slice")


def checked(place: int, record: Record) -> Sound:
    """Give a record as it can be written.

    Raises:
        BadRecord: as `search.acceptance.accepted`; or a text that is not valid Unicode.
    """
    signature = accepted(record)
    return Sound(place, record, body_of(record), signature) if isinstance(record, Mention) else Sound(place, record)


class Slice:
    """Some records, worked out over what the indices hold: what each does, and what must be written for it."""

    def __init__(
        self,
        elastic: Elastic,
        names: Names,
        cache: ShinglesCache,
        records: Sequence[Sound],
        sequence: int | None = None,
    ) -> None:
        self._elastic, self._names, self._records = elastic, names, records
        self.shelf = ElasticShelf(elastic, names, cache, sequence)
        self._stories = Stories(self.shelf)
        # What the store has: of each mention the version that counts and whether it lives; documents; by post.
        self._versions: dict[str, tuple[int, bool]] = {}
        self._docs: dict[str, _Doc] = {}
        self._mentions: defaultdict[str, set[str]] = defaultdict(set)
        # What comes of it.
        self.writes: dict[str, Sound] = {}
        self.deletes: dict[str, int] = {}
        self.forbidding: list[Op] = []
        # Rows of the ledger that are done once all of this is.
        self.finished: list[RetractionRow] = []
        self.places: dict[str, int] = {}
        self.keys_of_began: dict[str, tuple[int, ...]] = {}
        self._moved: set[str] = set()
        self._read()

    # --- reading

    def _read(self) -> None:
        records = [one.record for one in self._records]
        stones, names = Stones.wanted(self._names.tombstones, records)
        posts = list(dict.fromkeys(post_of(record) for record in records))
        mentions = {one.mention_id: one for one in records if isinstance(one, Mention)}
        wanted = [
            *stones,
            *(self.shelf.wanted(post_id) for post_id in posts),
            *(
                Wanted(self._names.month(one.routing_month), mention_id, (ENRICHED_AT, _COLLECTED_AT))
                for mention_id, one in mentions.items()
            ),
        ]
        found = get_many(self._elastic, wanted, patient=True)
        self._stones = Stones(self._elastic, self._names.tombstones, ())
        self._stones.take(names, found[: len(stones)])
        self._ledger = Ledger(self._elastic, self._names, [one.record for one in self._records if one.stone is None])
        for post_id, one in zip(posts, found[len(stones) :], strict=False):
            self.shelf.know(post_id, one)
        for mention_id, one in zip(mentions, found[len(stones) + len(posts) :], strict=True):
            if one is not None:
                doc = _doc(self._names.written(one.index), one.version, one.source)
                self._has(mention_id, mentions[mention_id].post_id, doc)
        self._read_others(self._of_interest())
        self.shelf.read_ahead(
            (one.record, one.signature)
            for one in self._records
            if isinstance(one.record, Mention) and one.signature is not None and self._may_come(one.record)
        )

    def _has(self, mention_id: str, post_id: str, doc: _Doc) -> None:
        self._docs[mention_id] = doc
        self._mentions[post_id].add(mention_id)

    def _may_come(self, mention: Mention) -> bool:
        doc = self._docs.get(mention.mention_id)
        newer = doc is None or doc.version < mention.version
        return newer and self._stones.forbidding(mention) is None

    def _of_interest(self) -> list[str]:
        """Give the posts of which all mentions must be known: those that lose one, or may change their story."""
        posts: dict[str, None] = {}
        for one in self._records:
            record = one.record
            if isinstance(record, Mention):
                place = self.shelf.place(record.post_id)
                if one.signature is None or place is None or record.version <= place.version:
                    continue
                if place.text == one.signature.text:
                    continue
            posts[post_of(record)] = None
        return list(posts)

    def _read_others(self, posts: Sequence[str]) -> None:
        """Find all mentions of these posts, in whatever month they are."""
        if not posts:
            return
        refresh(self._elastic, self._names.mentions, patient=True)
        for start in range(0, len(posts), _POSTS_A_SEARCH):
            part = set(posts[start : start + _POSTS_A_SEARCH])
            body = {
                "size": _MOST_MENTIONS,
                "query": {"terms": {"post_id": sorted({folded(post_id) for post_id in part})}},
                "version": True,
                "_source": ["post_id", f"{AS_WRITTEN}.post_id", ENRICHED_AT, _COLLECTED_AT],
                "track_total_hits": False,
            }
            path = f"/{self._names.mentions}/_search"
            answer = self._elastic.ask("POST", path, body, parameters=WHOLE, patient=True)
            for hit in answer.body["hits"]["hits"]:
                post_id = hit["_source"].get(AS_WRITTEN, {}).get("post_id") or hit["_source"]["post_id"]
                if post_id in part:
                    doc = _doc(self._names.written(hit["_index"]), hit["_version"], hit["_source"])
                    self._has(hit["_id"], post_id, doc)

    # --- working out

    def work_out(self, outcomes: list[Written | BadRecord]) -> None:
        """Apply the records in order, and note what each did."""
        for one in self._records:
            if self._apply(one):
                outcomes[one.place] = Written.STORED
            else:
                outcomes[one.place] = Written.REPEATED if self._comes_again(one.record) else Written.SUPERSEDED

    def _comes_again(self, record: Record) -> bool:
        """Tell whether the version that the store has was enriched another time."""
        if not isinstance(record, Mention) or self._version(record.mention_id) != (record.version, True):
            return False
        written = self.writes.get(record.mention_id)
        if written is not None and isinstance(written.record, Mention):
            return written.record.enriched_at != record.enriched_at
        doc = self._docs.get(record.mention_id)
        return doc is not None and doc.enriched_at != record.enriched_at

    def _apply(self, one: Sound) -> bool:
        record = one.record
        if isinstance(record, Retraction):
            return self._retract(record, one.stone)
        if not isinstance(record, Mention | Withdrawal):
            raise TypeError("authors and restorations are no part of a slice")
        stone = self._stones.forbidding(record)
        if stone is not None:
            # Left over from a write that was cut off, or that crossed the retraction.
            self._remove(record.post_id, stone)
            return False
        if isinstance(record, Withdrawal):
            applied = self._withdraw(record)
            if not self._live(record.post_id):
                self._stories.remove(record.post_id)
            return applied
        version, _ = self._version(record.mention_id)
        if record.version <= version:
            return False
        self._versions[record.mention_id] = (record.version, True)
        self._mentions[record.post_id].add(record.mention_id)
        self.writes[record.mention_id] = one
        self.places[record.mention_id] = one.place
        self.deletes.pop(record.mention_id, None)
        if one.signature is not None:
            self._tell(record, one.signature)
        return True

    def _tell(self, mention: Mention, signature: Signature) -> None:
        had_story = self.shelf.place(mention.post_id) is not None
        if self._stories.put(mention, signature) and had_story:
            self._moved.add(mention.post_id)
        place = self.shelf.place(mention.post_id)
        if place is not None and signature.keys and place.story_id in self.shelf.began:
            self.keys_of_began.setdefault(place.story_id, signature.keys)

    def _version(self, mention_id: str) -> tuple[int, bool]:
        """Give the version of a mention that counts, -1 where there is none, and whether it lives."""
        known = self._versions.get(mention_id)
        if known is None:
            doc = self._docs.get(mention_id)
            forbidden = self._stones.withdrawn.get(mention_id, -1)
            lives = doc is not None and doc.version > forbidden
            known = (doc.version if lives and doc else forbidden, lives)
            self._versions[mention_id] = known
        return known

    def _live(self, post_id: str) -> list[str]:
        return [mention_id for mention_id in self._mentions[post_id] if self._version(mention_id)[1]]

    def _withdraw(self, withdrawal: Withdrawal) -> bool:
        mention_id = withdrawal.mention_id
        version, lives = self._version(mention_id)
        # At equal versions a withdrawal takes the mention away, and nothing else changes anything.
        applied = withdrawal.version > version or (withdrawal.version == version and lives)
        if applied:
            self._versions[mention_id] = (withdrawal.version, False)
            self.writes.pop(mention_id, None)
            self.places.pop(mention_id, None)
            document = {
                "kind": "withdrawal",
                "mention_id": mention_id,
                "post_id": withdrawal.post_id,
                "brand_id": withdrawal.brand_id,
                "version": withdrawal.version,
            }
            stone = mention_stone(mention_id)
            self.forbidding.append(
                Op("index", self._names.tombstones, stone, to_json(document), withdrawal.version, strictly=False)
            )
        if mention_id in self._docs and not self._version(mention_id)[1]:
            # Also what a withdrawal that was cut off has left.
            self.deletes[mention_id] = self._version(mention_id)[0]
        return applied

    def _retract(self, retraction: Retraction, known: Stone | None) -> bool:
        post_id = retraction.post_id
        if known is not None:
            self._remove(post_id, known)
            return False
        before = self._stones.posts.get(post_id, Stone())
        stone = before.retracted(to_ms(retraction.retracted_at))
        self._stones.posts[post_id] = stone
        if stone != before:
            self.forbidding.append(stone_op(retraction, self._names))
        gone = self._remove(post_id, stone)
        row = self._ledger.row(retraction, gone)
        if row is not None:
            self.forbidding.append(row_op(row, self._names))
            self.finished.append(row)
        return stone.blocks and not before.blocks

    def _remove(self, post_id: str, stone: Stone) -> int:
        """Remove the mentions of a post that its stone, or its author's, forbids; gives how many were there."""
        gone = 0
        for mention_id in self._mentions[post_id]:
            doc, one = self._docs.get(mention_id), self.writes.get(mention_id)
            written = one.record if one is not None else None
            collected = written.collected_at if isinstance(written, Mention) else doc.collected_at if doc else None
            if collected is None or not stone.forbids_collected(collected):
                continue
            gone += self._version(mention_id)[1]
            self.writes.pop(mention_id, None)
            self.places.pop(mention_id, None)
            if doc is not None:
                self.deletes[mention_id] = _ABOVE_ALL
            self._versions[mention_id] = (_ABOVE_ALL, False)
        if not self._live(post_id):
            self._stories.remove(post_id)
        return gone

    # --- what must be written

    def others_to_move(self) -> list[tuple[str, _Doc, str]]:
        """Give mentions that this slice does not write, and whose post has another story now: id, document, story."""
        moved = []
        for post_id in sorted(self._moved):
            place = self.shelf.place(post_id)
            for mention_id in self._live(post_id) if place else ():
                if place is not None and mention_id not in self.writes:
                    moved.append((mention_id, self._docs[mention_id], place.story_id))
        return moved

    def mention_ops(self, index_of: Callable[[str], str]) -> tuple[list[Op], list[str]]:
        """Give the items that write and remove mentions, and the id of each."""
        ops = []
        for one in self.writes.values():
            mention = one.record
            if not isinstance(mention, Mention):
                raise TypeError("only mentions are written")
            place = self.shelf.place(mention.post_id)
            if one.signature is not None and place is not None:
                body = with_story(one.body, place.story_id)
            elif place is not None:
                body = body_of(replace(mention, story_id=place.story_id))
            else:
                body = one.body
            ops.append(Op("index", index_of(mention.routing_month), mention.mention_id, body, mention.version))
        for mention_id, version in self.deletes.items():
            ops.append(Op("delete", self._docs[mention_id].where, mention_id, b"", version, strictly=False))
        return ops, [*self.writes, *self.deletes]

    def has_mentions(self, post_id: str, outcomes: Sequence[Written | BadRecord]) -> bool:
        """Tell whether a post has a mention beside those that were refused."""
        refused = {mention_id for mention_id, place in self.places.items() if isinstance(outcomes[place], BadRecord)}
        return any(mention_id not in refused for mention_id in self._live(post_id))
