"""Items of Hacker News: a hit of its search, or an item of its live data written as one, read as a post."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from domain.errors import BadReason, BadRecord
from ingest.clean import plain_text
from ingest.source import Item, RawPost, Removed

# Where we write down in a hit when its words were found to be others than before, in seconds since 1970.
EDITED = "edited_at_i"


def hit_id(hit: Mapping[str, Any]) -> str:
    """Give the native id, "" where there is none."""
    return str(hit.get("objectID") or "")


def written(hit: Mapping[str, Any]) -> int:
    """Give when it was written, in seconds since 1970; 0 where it does not say."""
    value = hit.get("created_at_i")
    return value if isinstance(value, int) and 0 <= value < 2**32 else 0


def in_order(hit: Mapping[str, Any]) -> tuple[int, str]:
    """Sort hits as they were written."""
    return written(hit), hit_id(hit).rjust(20)


def item_of(hit: Mapping[str, Any], cursor: str) -> Item:
    """Read a hit."""
    raw = json.dumps(hit, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Item(position=f"hackernews:{hit_id(hit)}", cursor=cursor, raw=raw, content=_content(hit))


def fingerprint(hit: Mapping[str, Any]) -> bytes:
    """Give what changes when the words do. Punctuation and mark-up do not count: search and live data differ in it."""
    parts = [hit.get("title"), hit.get("story_text"), hit.get("comment_text")]
    words = " ".join(plain_text(part, "always")[0] for part in parts if isinstance(part, str))
    letters = "".join(filter(str.isalnum, words.casefold()))
    return blake2b(letters.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def hit_of(item: Mapping[str, Any], story_id: object) -> dict[str, Any]:
    """Write an item of the live data as a hit; `story_id` is what the search said of it."""
    is_comment = item.get("type") == "comment"
    hit = {
        "objectID": str(item.get("id", "")),
        "author": item.get("by"),
        "created_at_i": item.get("time"),
        "points": item.get("score"),
        "num_comments": item.get("descendants"),
        "title": item.get("title"),
        "url": item.get("url"),
        "comment_text" if is_comment else "story_text": item.get("text"),
        "parent_id": item.get("parent"),
        "story_id": story_id,
    }
    return {name: value for name, value in hit.items() if value is not None}


def _content(hit: Mapping[str, Any]) -> RawPost | Removed | BadRecord:
    name = hit_id(hit)
    if not name:
        return BadRecord(BadReason.MISSING_ID, "objectID: is absent")
    is_comment = hit.get("comment_text") is not None
    words = [hit.get(field) for field in ("comment_text", "story_text", "title")]
    if not any(words) and not hit.get("author"):
        # What was deleted before the search came by has neither words nor an author.
        return Removed(native_id=name, removed_at=datetime.fromtimestamp(written(hit), UTC))
    title = None if is_comment else hit.get("title")
    fields = {
        "id": name,
        # A story that is a link has no text but its title.
        "text": hit.get("comment_text") if is_comment else hit.get("story_text") or hit.get("title"),
        "title": title if hit.get("story_text") else None,
        "url": f"https://news.ycombinator.com/item?id={name}",
        "kind": "comment" if is_comment else "story",
        "author_handle": hit.get("author"),
        "author_id": hit.get("author"),
        "published_at": hit.get("created_at_i"),
        "edited_at": hit.get(EDITED),
        "likes": hit.get("points"),
        "replies": hit.get("num_comments"),
        "thread_id": None if hit.get("story_id") is None else str(hit["story_id"]),
        "reply_to": None if hit.get("parent_id") is None else str(hit["parent_id"]),
        "links": [hit["url"]] if isinstance(hit.get("url"), str) and hit["url"] else None,
    }
    return RawPost(fields={key: value for key, value in fields.items() if value is not None})
