"""A whole store as a stream of pieces, from one store into another; `search.export_file` keeps it in a file.

Ids, versions, stories and what must not come back are kept, whichever kind of store either is. What comes twice changes
nothing, so an import that was cut off is simply started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from domain.documents import ABSENT, MAX_SCAN, Change, Conflict, Document, Documents
from domain.errors import BadRecord
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search.retractions import Record, RetractionRow
from search.store import Written
from search.stories import Place

# Pieces written at once.
_BATCH: Final = 500


class StoryPost(NamedTuple):
    """Where a post stands among the stories, and the words of it that count.

    `said` is "" where the post has no keys: it says too little to be compared with anything, in any store.
    """

    post_id: str
    place: Place
    said: str


Piece: TypeAlias = StoryPost | Record | RetractionRow | Document


class Transferable(Protocol):
    """What a store does to be copied and copied into."""

    def dump(self) -> Iterator[Piece]:
        """Give all of it: posts of stories, mentions with their story, what is withdrawn and retracted, and its ledger.

        Writes go on meanwhile. A retraction that comes before the end is in it; so is every mention that was there at
        the beginning, in one of its versions.

        Raises:
            RetryLater, BackendDown.
        """

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """Put posts where another store has them, except those of which a version as high is known here.

        Raises:
            RetryLater, BackendDown.
        """

    def keep_rows(self, rows: Sequence[RetractionRow]) -> None:
        """Keep rows of another store's ledger of retractions.

        Raises:
            RetryLater, BackendDown.
        """

    def write(self, records: Sequence[Record]) -> Sequence[Written | BadRecord]:
        """As `search.store.Store.write`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that the store cannot hold. `number` is its place among the pieces, counted from 1."""

    number: int
    record: Record
    error: BadRecord


@dataclass(slots=True)
class Copied:
    """What a copy did: pieces by kind, and of the records those stored, known already, and refused.

    Restorations count as retractions.
    """

    story_posts: int = 0
    mentions: int = 0
    withdrawals: int = 0
    retractions: int = 0
    rows: int = 0
    documents: int = 0
    stored: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)

    def count(self, piece: Piece) -> None:
        """Count one piece."""
        match piece:
            case StoryPost():
                self.story_posts += 1
            case Mention():
                self.mentions += 1
            case Withdrawal():
                self.withdrawals += 1
            case Retraction() | AuthorRetraction() | Restoration():
                self.retractions += 1
            case RetractionRow():
                self.rows += 1
            case Document():
                self.documents += 1

    @property
    def pieces(self) -> int:
        """All pieces."""
        return self.story_posts + self.mentions + self.withdrawals + self.retractions + self.rows + self.documents


Progress: TypeAlias = Callable[[int], None]


def dump_documents(documents: Documents, kinds: Iterable[str]) -> Iterator[Document]:
    """Give all documents of some kinds. Writes go on meanwhile, and may be seen or not.

    Raises:
        RetryLater, BackendDown.
    """
    for kind in kinds:
        after = ""
        while page := documents.scan(kind, after=after, limit=MAX_SCAN):
            yield from page
            after = page[-1].doc_id


def copy(
    pieces: Iterable[Piece],
    target: Transferable,
    progress: Progress | None = None,
    *,
    documents: Documents | None = None,
) -> Copied:
    """Put pieces into a store. What it cannot hold (`search.acceptance`) is refused alone; all else goes in.

    Args:
        pieces: as `Transferable.dump` or `read_export` gives them.
        target: where to.
        progress: told the number of pieces done, from time to time.
        documents: where documents go, unless there is one of that id already; None leaves them out.

    Raises:
        RetryLater, BackendDown: as the target; start again with the same pieces.
        ConfigError: as `search.export_file.read_export`.
    """
    copied = Copied()
    posts: list[StoryPost] = []
    records: list[Record] = []
    numbers: list[int] = []
    rows: list[RetractionRow] = []
    kept: list[Document] = []

    def flush() -> None:
        # Stories first: a mention whose post stands somewhere is not told another story.
        if posts:
            target.adopt(posts)
            posts.clear()
        outcomes = target.write(records) if records else ()
        for number, record, outcome in zip(numbers, records, outcomes, strict=True):
            if isinstance(outcome, BadRecord):
                copied.refused.append(Refused(number, record, outcome))
            else:
                copied.stored += outcome is Written.STORED
                copied.known += outcome is not Written.STORED
        records.clear()
        numbers.clear()
        if rows:
            target.keep_rows(rows)
            rows.clear()
        if kept and documents is not None:
            put = _put_missing(documents, kept)
            copied.stored += put
            copied.known += len(kept) - put
        kept.clear()
        if progress is not None:
            progress(copied.pieces)

    for piece in pieces:
        copied.count(piece)
        if isinstance(piece, StoryPost):
            posts.append(piece)
        elif isinstance(piece, RetractionRow):
            rows.append(piece)
        elif isinstance(piece, Document):
            kept.append(piece)
        else:
            records.append(piece)
            numbers.append(copied.pieces)
        if len(posts) + len(records) + len(rows) + len(kept) >= _BATCH:
            flush()
    flush()
    return copied


def _put_missing(documents: Documents, kept: Sequence[Document]) -> int:
    """Put those documents of which there is none of that id; give how many."""
    by_kind: dict[str, list[str]] = {}
    for one in kept:
        by_kind.setdefault(one.kind, []).append(one.doc_id)
    there = {(kind, doc_id) for kind, ids in by_kind.items() for doc_id in documents.get(kind, ids)}
    put = [Change(one.kind, one.doc_id, one.body, ABSENT) for one in kept if (one.kind, one.doc_id) not in there]
    try:
        documents.apply(put)
    except Conflict:
        # Somebody made one meanwhile: that one stays, and the others are put.
        return _put_missing(documents, kept)
    return len(put)
