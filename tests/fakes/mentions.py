"""Made-up mentions for tests of stores: seeded, so that the same call gives the same mentions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import ids
from domain.records import SENTIMENTS, Mention, Retraction, Withdrawal
from domain.text import index_tokens

START = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = (
    *("late", "flight", "crew", "kind", "delay", "lost", "bag", "thank", "you"),
    *("never", "again", "seat", "great", "food", "cold", "café", "東京", "😀"),
)


def mention(native_id: str = "1", brand: str = "acme", **changed: Any) -> Mention:
    """Give a plain mention; `changed` sets any field. Tokens follow title and text."""
    post = ids.post_id("x", native_id)
    fields: dict[str, Any] = {
        "mention_id": ids.mention_id(post, brand),
        "post_id": post,
        "brand_id": brand,
        "brand": brand.title(),
        "query_revision": 1,
        "version": ids.version(1_000, 1),
        "source": "x",
        "kind": "post",
        "text": "the crew was kind",
        "collected_at": START,
        "enriched_at": START,
        "routing_month": "2026.03",
        "published_at": START,
    }
    fields |= changed
    fields.setdefault("tokens", index_tokens(fields.get("title"), fields["text"]))
    return Mention(**fields)


def withdrawal(of: Mention, version: int | None = None) -> Withdrawal:
    """Give the withdrawal of a mention, of its own version unless another is given."""
    return Withdrawal(
        mention_id=of.mention_id,
        post_id=of.post_id,
        brand_id=of.brand_id,
        version=of.version if version is None else version,
    )


def retraction(of: Mention) -> Retraction:
    """Give the retraction of a mention's post."""
    return Retraction(post_id=of.post_id, source=of.source, retracted_at=START + timedelta(days=1))


def many_mentions(number: int, seed: int = 7) -> list[Mention]:
    """Give different mentions: shared moments, absent fields, repeated tags, long tails, dates before 1970."""
    draw = random.Random(seed)
    made = []
    for index in range(number):
        label = draw.choice(SENTIMENTS)
        known = draw.random() < 0.8
        made.append(
            mention(
                f"n{index}",
                brand=draw.choice(("acme", "globex", "initech")),
                source=draw.choice(("x", "bluesky", "rss")),
                kind=draw.choice(("post", "reply")),
                text=" ".join(draw.choices(WORDS, k=draw.randint(1, 12))),
                title=draw.choice((None, "A Title")),
                lang=draw.choice(("en", "de", "und")),
                author_handle=f"Author{int(draw.paretovariate(0.6))}" if known else None,
                author_followers=draw.choice((None, 0, 7, 99, 100, 101, 25_000)),
                published_at=draw.choice(
                    (
                        None,
                        START + timedelta(minutes=draw.randrange(60 * 24 * 5)),
                        START + timedelta(hours=draw.randrange(3), microseconds=draw.choice((0, 1, 999_999))),
                        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
                    )
                ),
                collected_at=START + timedelta(seconds=draw.randrange(1000)),
                sentiment=label if known else None,
                sentiment_value=SENTIMENTS.index(label) - 1 if known else None,
                sentiment_score=draw.choice((-1.0, -0.5, -0.25, 0.0, 0.5, 0.75)) if known else None,
                sentiment_reliable=known,
                hashtags=tuple(draw.choices(("One", "two", "Straße", "THREE", "four"), k=draw.randrange(4))),
                words=tuple({f"word{int(draw.paretovariate(0.7)) % 400}" for _ in range(draw.randrange(6))}),
                story_id=f"story{draw.randrange(number // 2 + 1)}",
                location=draw.choice((None, "", "Zürich", "東京")),
                backfilled=draw.random() < 0.1,
                likes=draw.choice((None, 0, 1, 2, 3, 1000)),
            )
        )
    return made
