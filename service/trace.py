"""One post followed through everything that may know of it: ledger, log, store, dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain import ids
from domain.errors import BadRecord
from domain.query.ast import Keyword
from domain.records import AuthorRetraction, MatchedPost, Mention, Post, Restoration, Retraction, Topic, Withdrawal
from domain.text import fold
from ingest.ledger import AUTHOR_SPACE, SPACE, AuthorRow, Seen
from search.retractions import RetractionRow
from search.store import MAX_PAGE, SearchRequest, Store
from stream.codec import Record, decode
from stream.protocol import Log, LogRecord

_LETTERS_AT_ONCE = 500
# Of the ledger of retractions, the newest first.
_ROWS = 10_000


def trace(log: Log, store: Store, post_id: str) -> dict[str, Any]:
    """Give all that is known of a post, as values of JSON: where it is and what became of it, never what it says.

    Returns:
        `ledger` (None when the post was never taken in), `posts` and `mentions` (what the log still has), `stored`,
        `retracted_at` (None when it was not retracted), `retraction` (who asked for that), `author` (None where
        nothing that is left says whose it is), `author_retraction` (None unless the author is gone), `dead_letters`.

    Raises:
        RetryLater, BackendDown: the log or the store cannot be read.
    """
    row = log.state(SPACE, [post_id]).get(post_id)
    retracted_at = store.retracted_at(post_id)
    posts, mentions = (log.records_of(topic.value, post_id) for topic in (Topic.POSTS, Topic.MENTIONS))
    stored = list(_mentions(store, post_id))
    author = _author([*stored, *(content for one in (*posts, *mentions) if (content := _read(one)) is not None)])
    rows = store.retractions(_ROWS)
    return {
        "post_id": post_id,
        "ledger": None if row is None else _ledger(Seen.from_bytes(row)),
        "posts": [_record(one) for one in posts],
        "mentions": [_record(one) for one in mentions],
        "stored": [_stored(one) for one in stored],
        "retracted_at": None if retracted_at is None else retracted_at.isoformat(),
        "retraction": None if retracted_at is None else _asked(rows, "post", post_id),
        "author": author,
        "author_retraction": _asked(rows, "author", author) if author and _may_be_gone(log, author) else None,
        "dead_letters": list(_letters(log, post_id)),
    }


def is_known(found: Mapping[str, Any]) -> bool:
    """Tell whether anything knows of the post that `trace` was asked for."""
    return any(bool(value) for name, value in found.items() if name != "post_id")


def _ledger(seen: Seen) -> dict[str, Any]:
    return {
        "revision_ms": seen.revision_ms,
        "brands": list(seen.brand_ids),
        "routing_month": seen.routing_month,
        "gone": seen.gone,
    }


def _author(contents: Sequence[Record]) -> str | None:
    """Give the key of the author, from whatever is left of the post."""
    for content in contents:
        if isinstance(content, AuthorRetraction):
            return content.author_key
        said = content.post if isinstance(content, MatchedPost) else content
        if isinstance(said, Post | Mention) and said.author_id is not None:
            return ids.author_key(said.source, said.author_id)
    return None


def _may_be_gone(log: Log, author: str) -> bool:
    """Tell whether an author is gone by the ledger; one whom it does not know may be by an import."""
    row = log.state(AUTHOR_SPACE, [author]).get(author)
    return row is None or AuthorRow.from_bytes(row).standing.is_gone


def _asked(rows: Sequence[RetractionRow], subject: str, key: str) -> dict[str, Any] | None:
    """Give who asked last for a retraction, and when."""
    for row in rows:
        if (row.subject, row.key) == (subject, key):
            done_at = None if row.done_at is None else row.done_at.isoformat()
            return {
                "asked_at": row.asked_at.isoformat(),
                "asked_by": row.asked_by,
                "reason": row.reason,
                "done_at": done_at,
            }
    return None


def _read(record: LogRecord) -> Record | None:
    try:
        return decode(record.value)
    except BadRecord:
        return None


def _record(record: LogRecord) -> dict[str, Any]:
    about: dict[str, Any] = {
        "place": f"{record.topic}/{record.partition}@{record.offset}",
        "appended_at": record.appended_at.isoformat(),
        "run": record.run,
    }
    try:
        return {**about, **_content(decode(record.value))}
    except BadRecord as exc:
        return {**about, "kind": "unreadable", "reason": exc.reason.value}


def _content(record: Record) -> dict[str, Any]:
    match record:
        case MatchedPost():
            brands = [match.brand_id for match in record.matches]
            return {"kind": "post", "revision_ms": record.post.revision_ms, "brands": brands}
        case Mention():
            return {"kind": "mention", **_mention(record)}
        case Withdrawal():
            return {
                "kind": "withdrawal",
                "mention_id": record.mention_id,
                "brand": record.brand_id,
                "version": record.version,
            }
        case Retraction():
            return {"kind": "retraction", "retracted_at": record.retracted_at.isoformat(), "reason": record.reason}
        case AuthorRetraction():
            at = record.retracted_at.isoformat()
            return {"kind": "retraction of its author", "retracted_at": at, "reason": record.reason}
        case Restoration():
            return {"kind": "restoration", "restored_at": record.restored_at.isoformat()}
    return {"kind": type(record).__name__.lower()}


def _mention(mention: Mention) -> dict[str, Any]:
    return {
        "mention_id": mention.mention_id,
        "brand": mention.brand_id,
        "version": mention.version,
        "sentiment": mention.sentiment,
        "model": mention.model,
    }


def _mentions(store: Store, post_id: str) -> Iterator[Mention]:
    page = store.search(SearchRequest(Keyword("post_id", fold(post_id)), limit=MAX_PAGE))
    yield from (mention for mention in page.mentions if mention.post_id == post_id)


def _stored(mention: Mention) -> dict[str, Any]:
    return {**_mention(mention), "story": mention.story_id, "month": mention.routing_month}


def _letters(log: Log, post_id: str) -> Iterator[dict[str, Any]]:
    number = 0
    while rows := log.dead_letters(after=number, limit=_LETTERS_AT_ONCE, unresolved_only=False):
        number = rows[-1].number
        for row in rows:
            if row.letter.post_id == post_id:
                yield {
                    "number": row.number,
                    "stage": row.letter.stage,
                    "reason": row.letter.reason,
                    "position": row.letter.position,
                    "parked_at": row.letter.parked_at.isoformat(),
                    "resolution": row.resolution,
                }
