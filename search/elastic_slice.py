"""What a slice of records does to the indices, worked out as if one by one, over what they hold now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from domain import ids
from domain.errors import BadRecord
from domain.records import Mention, Retraction, Withdrawal
from domain.stories import Signature
from search.acceptance import accepted
from search.elastic_bulk import Op
from search.elastic_document import AS_WRITTEN, body_of, with_story
from search.elastic_http import Elastic
from search.elastic_reads import WHOLE, Found, Wanted, get_many, refresh
from search.elastic_settings import Names
from search.elastic_stories import ElasticShelf
from search.keywords import folded
from search.store import Written
from search.stories import ShinglesCache, Stories
from stream.codec import to_json

Record: TypeAlias = Mention | Withdrawal | Retraction

# Above any version: a retracted post stays away from an index for a minute even without its tombstone.
_ABOVE_ALL: Final = (1 << 63) - 1
_POSTS_A_SEARCH: Final = 500
_MOST_MENTIONS: Final = 10_000


class Sound(NamedTuple):
    """A record that can be written: with its place among all, and for a mention its document and signature."""

    place: int
    record: Record
    body: bytes = b""
    signature: Signature | None = None


class _Doc(NamedTuple):
    """A document that an index has, forbidden or not; `where` is the name under which it is written to."""

    where: str
    version: int
    enriched_at: datetime


# By this a mention is told from the same one that another record brought.
ENRICHED_AT: Final = "enriched_at"


def enriched_at_of(source: Mapping[str, Any]) -> datetime:
    """Give when a stored mention was enriched."""
    return datetime.fromisoformat(source[ENRICHED_AT])


def checked(place: int, record: Record) -> Sound:
    """Give a record as it can be written.

    Raises:
        BadRecord: as `search.acceptance.accepted`; or a text that is not valid Unicode.
    """
    signature = accepted(record)
    return Sound(place, record, body_of(record), signature) if isinstance(record, Mention) else Sound(place, record)


def post_stone(post_id: str) -> str:
    """Give the id of the tombstone of a post."""
    return f"p{ids.post_key(post_id)}"


def mention_stone(mention_id: str) -> str:
    """Give the id of the tombstone of a withdrawn mention."""
    # Hashed like the other: an id of 512 bytes has no room for a letter more.
    return f"m{ids.post_key(mention_id)}"


def forbidden_of(source: Mapping[str, Any]) -> Withdrawal | Retraction:
    """Give what a tombstone stands for."""
    if source["kind"] == "retraction":
        return Retraction(
            post_id=source["post_id"],
            source=source["source"],
            retracted_at=datetime.fromisoformat(source["at"]),
            reason=source["reason"],
        )
    return Withdrawal(
        mention_id=source["mention_id"],
        post_id=source["post_id"],
        brand_id=source["brand_id"],
        version=source["version"],
    )


class Stones:
    """What is forbidden of some records: posts as a whole, mentions up to a version."""

    def __init__(self, elastic: Elastic, index: str, records: Iterable[Record]) -> None:
        self.retracted: set[str] = set()
        self.withdrawn: dict[str, int] = {}
        wanted, names = self.wanted(index, records)
        self.take(names, get_many(elastic, wanted, patient=True))

    @staticmethod
    def wanted(index: str, records: Iterable[Record]) -> tuple[list[Wanted], list[tuple[str, str]]]:
        """Give what to read, and whose tombstone each is."""
        names: dict[tuple[str, str], Wanted] = {}
        for record in records:
            names["post", record.post_id] = Wanted(index, post_stone(record.post_id))
            if not isinstance(record, Retraction):
                mention_id = record.mention_id
                names["mention", mention_id] = Wanted(index, mention_stone(mention_id), ("version",))
        return list(names.values()), list(names)

    def take(self, names: Sequence[tuple[str, str]], found: Sequence[Found | None]) -> None:
        """Take what was read."""
        for (kind, name), one in zip(names, found, strict=True):
            if one is None:
                continue
            if kind == "post":
                self.retracted.add(name)
            else:
                self.withdrawn[name] = one.source["version"]


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
        self.places: dict[str, int] = {}
        self.keys_of_began: dict[str, tuple[int, ...]] = {}
        self._moved: set[str] = set()
        self._read()

    # --- reading

    def _read(self) -> None:
        records = [one.record for one in self._records]
        stones, names = Stones.wanted(self._names.tombstones, records)
        posts = list(dict.fromkeys(record.post_id for record in records))
        mentions = {one.mention_id: one for one in records if isinstance(one, Mention)}
        wanted = [
            *stones,
            *(self.shelf.wanted(post_id) for post_id in posts),
            *(
                Wanted(self._names.month(one.routing_month), mention_id, (ENRICHED_AT,))
                for mention_id, one in mentions.items()
            ),
        ]
        found = get_many(self._elastic, wanted, patient=True)
        self._stones = Stones(self._elastic, self._names.tombstones, ())
        self._stones.take(names, found[: len(stones)])
        for post_id, one in zip(posts, found[len(stones) :], strict=False):
            self.shelf.know(post_id, one)
        for mention_id, one in zip(mentions, found[len(stones) + len(posts) :], strict=True):
            if one is not None:
                doc = _Doc(self._names.written(one.index), one.version, enriched_at_of(one.source))
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
        return newer and mention.post_id not in self._stones.retracted

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
            posts[record.post_id] = None
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
                "_source": ["post_id", f"{AS_WRITTEN}.post_id", ENRICHED_AT],
                "track_total_hits": False,
            }
            path = f"/{self._names.mentions}/_search"
            answer = self._elastic.ask("POST", path, body, parameters=WHOLE, patient=True)
            for hit in answer.body["hits"]["hits"]:
                post_id = hit["_source"].get(AS_WRITTEN, {}).get("post_id") or hit["_source"]["post_id"]
                if post_id in part:
                    index = self._names.written(hit["_index"])
                    doc = _Doc(index, hit["_version"], enriched_at_of(hit["_source"]))
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
            return self._retract(record)
        if record.post_id in self._stones.retracted:
            # Left over from a write that was cut off, or that crossed the retraction.
            self._remove_all(record.post_id)
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

    def _retract(self, retraction: Retraction) -> bool:
        post_id = retraction.post_id
        applied = post_id not in self._stones.retracted
        if applied:
            self._stones.retracted.add(post_id)
            document = {
                "kind": "retraction",
                "post_id": post_id,
                "source": retraction.source,
                "at": retraction.retracted_at,
                "reason": retraction.reason,
            }
            self.forbidding.append(Op("index", self._names.tombstones, post_stone(post_id), to_json(document)))
        self._remove_all(post_id)
        return applied

    def _remove_all(self, post_id: str) -> None:
        for mention_id in self._mentions[post_id]:
            self.writes.pop(mention_id, None)
            self.places.pop(mention_id, None)
            if mention_id in self._docs:
                self.deletes[mention_id] = _ABOVE_ALL
            self._versions[mention_id] = (_ABOVE_ALL, False)
        self._stories.remove(post_id)

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
