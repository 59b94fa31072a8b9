"""One post followed through everything that may know of it: ledger, log, store, dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domain.errors import BadRecord
from domain.query.ast import Keyword
from domain.records import MatchedPost, Mention, Restoration, Retraction, Topic, Withdrawal
from domain.text import fold
from ingest.ledger import SPACE, Seen
from search.store import MAX_PAGE, SearchRequest, Store
from stream.codec import Record, decode
from stream.protocol import Log, LogRecord

_LETTERS_AT_ONCE = 500


def trace(log: Log, store: Store, post_id: str) -> dict[str, Any]:
    """Give all that is known of a post, as values of JSON: where it is and what became of it, never what it says.

    Returns:
        `ledger` (None when the post was never taken in), `posts` and `mentions` (what the log still has), `stored`,
        `retracted_at` (None when it was not retracted), `dead_letters`.

    Raises:
        RetryLater, BackendDown: the log or the store cannot be read.
    """
    row = log.state(SPACE, [post_id]).get(post_id)
    retracted_at = store.retracted_at(post_id)
    return {
        "post_id": post_id,
        "ledger": None if row is None else _ledger(Seen.from_bytes(row)),
        "posts": [_record(one) for one in log.records_of(Topic.POSTS.value, post_id)],
        "mentions": [_record(one) for one in log.records_of(Topic.MENTIONS.value, post_id)],
        "stored": [_stored(one) for one in _mentions(store, post_id)],
        "retracted_at": None if retracted_at is None else retracted_at.isoformat(),
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
