"""What must not come back, in Elasticsearch: tombstones of posts, authors and mentions, and the ledger.

The latest retraction and the latest restoration of a subject are two documents, each with its time as its version: a
later one takes its place and an earlier one changes nothing, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from domain import ids
from domain.clock import to_ms
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search.elastic_bulk import Op
from search.elastic_document import AS_WRITTEN
from search.elastic_http import Elastic
from search.elastic_reads import ALL_FIELDS, Found, Wanted, get_many, refresh, scan
from search.elastic_settings import Names
from search.keywords import folded
from search.retractions import (
    Record,
    RetractionRow,
    Stone,
    author_id_of,
    author_key_of,
    document_of,
    row_of,
    row_of_document,
)
from stream.codec import to_json

Subject: TypeAlias = Literal["post", "author"]

_LETTER: Final[Mapping[Subject, str]] = {"post": "p", "author": "a"}


# What must be known of a mention to say whose it is.
_IDS: Final = ("post_id", "source", "author_id")
_OF_AUTHOR: Final = (*_IDS, *(f"{AS_WRITTEN}.{name}" for name in _IDS), "collected_at")


def post_stone(post_id: str) -> str:
    """Give the id of the tombstone of a post."""
    return f"p{ids.post_key(post_id)}"


def mention_stone(mention_id: str) -> str:
    """Give the id of the tombstone of a withdrawn mention."""
    # Hashed like the other: an id of 512 bytes has no room for a letter more.
    return f"m{ids.post_key(mention_id)}"


def _stone(subject: Subject, key: str) -> str:
    return f"{_LETTER[subject]}{ids.post_key(key)}"


def _restored(subject: Subject, key: str) -> str:
    return f"r{_LETTER[subject]}{ids.post_key(key)}"


def subject_of(record: Retraction | AuthorRetraction | Restoration) -> tuple[Subject, str]:
    """Give what is gone or back."""
    if isinstance(record, AuthorRetraction) or record.post_id is None:
        return "author", record.author_key or ""
    return "post", record.post_id


def stone_op(record: Retraction | AuthorRetraction | Restoration, names: Names) -> Op:
    """Give what keeps a retraction or a restoration, unless a later one is kept already."""
    subject, key = subject_of(record)
    document: dict[str, Any] = {f"{subject}_id" if subject == "post" else "author_key": key, "source": record.source}
    if isinstance(record, Restoration):
        at, doc_id = record.restored_at, _restored(subject, key)
        document |= {"kind": "restoration", "at": at, "taken_from": record.taken_from}
    else:
        at, doc_id = record.retracted_at, _stone(subject, key)
        document |= {"kind": "retraction" if subject == "post" else "author", "at": at, "reason": record.reason}
    return Op("index", names.tombstones, doc_id, to_json(document), max(to_ms(at), 0), strictly=False)


def forbidden_of(source: Mapping[str, Any]) -> Withdrawal | Retraction | AuthorRetraction | Restoration:
    """Give what a tombstone stands for."""
    if source["kind"] == "withdrawal":
        return Withdrawal(
            mention_id=source["mention_id"],
            post_id=source["post_id"],
            brand_id=source["brand_id"],
            version=source["version"],
        )
    at = datetime.fromisoformat(source["at"])
    if source["kind"] == "retraction":
        return Retraction(post_id=source["post_id"], source=source["source"], retracted_at=at, reason=source["reason"])
    if source["kind"] == "author":
        return AuthorRetraction(
            author_key=source["author_key"], source=source["source"], retracted_at=at, reason=source["reason"]
        )
    return Restoration(
        source=source["source"],
        restored_at=at,
        taken_from=datetime.fromisoformat(source["taken_from"]),
        post_id=source.get("post_id"),
        author_key=source.get("author_key"),
    )


class Stones:
    """What is forbidden of some records: posts and authors as a whole, mentions up to a version."""

    def __init__(self, elastic: Elastic, index: str, records: Iterable[Record]) -> None:
        self._elastic, self._index = elastic, index
        self.posts: dict[str, Stone] = {}
        self.authors: dict[str, Stone] = {}
        self.withdrawn: dict[str, int] = {}
        wanted, names = self.wanted(index, records)
        self.take(names, get_many(elastic, wanted, patient=True))

    @classmethod
    def of_posts(cls, elastic: Elastic, index: str, post_ids: Iterable[str]) -> Stones:
        """Read what is forbidden of posts."""
        stones = cls(elastic, index, ())
        wanted = {("post", post_id): Wanted(index, post_stone(post_id), ("at",)) for post_id in post_ids}
        stones.take(list(wanted), get_many(elastic, list(wanted.values()), patient=True))
        return stones

    @staticmethod
    def wanted(index: str, records: Iterable[Record]) -> tuple[list[Wanted], list[tuple[str, str]]]:
        """Give what to read, and whose tombstone each is."""
        names: dict[tuple[str, str], Wanted] = {}

        def want(subject: Subject, key: str, *, restored: bool) -> None:
            names[subject, key] = Wanted(index, _stone(subject, key), ("at",))
            if restored:
                names[f"{subject} back", key] = Wanted(index, _restored(subject, key), ("at", "taken_from"))

        for record in records:
            if isinstance(record, Retraction | AuthorRetraction | Restoration):
                want(*subject_of(record), restored=True)
                continue
            want("post", record.post_id, restored=False)
            names["mention", record.mention_id] = Wanted(index, mention_stone(record.mention_id), ("version",))
            author = author_key_of(record) if isinstance(record, Mention) else None
            if author is not None:
                want("author", author, restored=False)
        return list(names.values()), list(names)

    def take(self, names: Sequence[tuple[str, str]], found: Sequence[Found | None]) -> None:
        """Take what was read; of what is retracted it is looked whether it is back."""
        back: dict[tuple[Subject, str], Found] = {}
        read: set[tuple[Subject, str]] = set()
        for (kind, name), one in zip(names, found, strict=True):
            subject: Subject = "author" if kind.startswith("author") else "post"
            if kind.endswith("back"):
                read.add((subject, name))
                if one is not None:
                    back[subject, name] = one
            elif one is not None and kind == "mention":
                self.withdrawn[name] = one.source["version"]
            elif one is not None:
                self._of(subject)[name] = Stone(_ms(one.source["at"]))
        unread = [(subject, name) for subject in _LETTER for name in self._of(subject) if (subject, name) not in read]
        wanted = [Wanted(self._index, _restored(*one), ("at", "taken_from")) for one in unread]
        for key, one in zip(unread, get_many(self._elastic, wanted, patient=True), strict=True):
            if one is not None:
                back[key] = one
        for (subject, name), one in back.items():
            stone = self._of(subject).get(name, Stone())
            self._of(subject)[name] = stone.restored(_ms(one.source["at"]), _ms(one.source["taken_from"]))

    def _of(self, subject: str) -> dict[str, Stone]:
        return self.posts if subject == "post" else self.authors

    def of(self, record: Retraction | AuthorRetraction | Restoration) -> Stone:
        """Give what is known of the subject of a record that was asked for."""
        subject, key = subject_of(record)
        return self._of(subject).get(key, Stone())

    def forbidding(self, record: Mention | Withdrawal) -> Stone | None:
        """Give the stone that forbids a write, None where none does."""
        stones = [self.posts.get(record.post_id)]
        if isinstance(record, Mention) and (author := author_key_of(record)) is not None:
            stones.append(self.authors.get(author))
        return next((stone for stone in stones if stone is not None and stone.forbids(record)), None)


class OfAuthor(NamedTuple):
    """A mention of an author, as the index has it."""

    mention_id: str
    post_id: str


def mentions_of(elastic: Elastic, names: Names, retraction: AuthorRetraction, stone: Stone) -> list[OfAuthor]:
    """Find all mentions of an author that go, in whatever month they are.

    Raises:
        RetryLater, BackendDown.
    """
    author_id = author_id_of(retraction)
    refresh(elastic, names.mentions, patient=True)
    terms = [{"term": {"author_id": folded(author_id)}}, {"term": {"source": folded(retraction.source)}}]
    found = []
    for hit in scan(elastic, names.mentions, {"bool": {"filter": terms}}, fields=_OF_AUTHOR):
        document = {**hit["_source"], **hit["_source"].get(AS_WRITTEN, {})}
        is_theirs = (document.get("source"), document.get("author_id")) == (retraction.source, author_id)
        if is_theirs and stone.forbids_collected(datetime.fromisoformat(document["collected_at"])):
            found.append(OfAuthor(hit["_id"], document["post_id"]))
    return found


def _ms(at: str) -> int:
    return to_ms(datetime.fromisoformat(at))


# --- the ledger


class Ledger:
    """Rows of the retractions among some records, as far as they are kept already."""

    def __init__(self, elastic: Elastic, names: Names, records: Iterable[Record]) -> None:
        rows = [row for one in records if isinstance(one, Retraction | AuthorRetraction) and (row := row_of(one))]
        wanted = [Wanted(names.retractions, row.row_id, ALL_FIELDS) for row in rows]
        found = get_many(elastic, wanted, patient=True)
        self._kept = {one.doc_id: row_of_document(one.source) for one in found if one is not None}

    def row(self, record: Retraction | AuthorRetraction, mentions: int) -> RetractionRow | None:
        """Give the row to keep; None where there is none to keep, or it is kept and done.

        Of a record that comes again after a crash some mentions may be gone already: the larger number holds.
        """
        row = row_of(record)
        kept = None if row is None else self._kept.get(row.row_id)
        if row is None or (kept is not None and kept.done_at is not None):
            return None
        return replace(row, mentions=max(mentions, kept.mentions if kept is not None else 0))


def row_op(row: RetractionRow, names: Names) -> Op:
    """Give what keeps a row of the ledger."""
    return Op("index", names.retractions, row.row_id, to_json({"row_id": row.row_id, **document_of(row)}))
