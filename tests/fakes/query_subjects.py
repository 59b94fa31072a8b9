"""Posts and mentions with only what a query test is about filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.records import Mention, Post
from domain.text import index_tokens

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def a_post(text: str = "", **fields: Any) -> Post:
    """Give a post with this text; `fields` replace any other field."""
    filled: dict[str, Any] = {
        "post_id": "test:1",
        "source": "test",
        "native_id": "1",
        "revision_ms": 1,
        "collected_at": AT,
        "routing_month": "2026.01",
    }
    return Post(text=text, **(filled | fields))


def a_mention(text: str = "", **fields: Any) -> Mention:
    """Give a mention with this text and its tokens; `fields` replace any other field."""
    filled: dict[str, Any] = {
        "mention_id": "m1",
        "post_id": "test:1",
        "brand_id": "acme",
        "brand": "Acme",
        "query_revision": 1,
        "version": 1,
        "source": "test",
        "kind": "post",
        "collected_at": AT,
        "enriched_at": AT,
        "routing_month": "2026.01",
        "tokens": index_tokens(fields.get("title"), text),
    }
    return Mention(text=text, **(filled | fields))
