"""The words all rooms share, as frozen records: what travels on the log and what the store keeps.

Unknown is `None` (or an empty tuple), never 0 or "". Times are aware and in UTC. Spans are code point
offsets into the stored text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

SCHEMA_VERSION = 1

Sentiment = Literal["negative", "neutral", "positive"]
# The order of every probability vector in the service.
SENTIMENTS: tuple[Sentiment, Sentiment, Sentiment] = ("negative", "neutral", "positive")


class Outcome(StrEnum):
    """What became of a record in one stage: exactly one of these, always."""

    OK = "ok"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    PARKED = "parked"
    RETRIED = "retried"


class Topic(StrEnum):
    """The topics of the log."""

    POSTS = "posts"
    MENTIONS = "mentions"
    EVENTS = "events"


@dataclass(frozen=True, slots=True)
class Span:
    """Where something was named: code points `[start, end)` of the post's `text`, or of its `title`."""

    start: int
    end: int
    field: Literal["text", "title"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One public item from a source, normalised."""

    post_id: str
    source: str
    native_id: str
    # The post's own edit or event time; the same (post_id, revision_ms) again is a duplicate.
    revision_ms: int
    text: str
    collected_at: datetime
    routing_month: str
    kind: str = "post"
    title: str | None = None
    url: str | None = None
    # Declared by the source; the language found in the text is the mention's `lang`.
    declared_lang: str | None = None
    author_id: str | None = None
    author_handle: str | None = None
    author_name: str | None = None
    author_followers: int | None = None
    reply_to: str | None = None
    thread_id: str | None = None
    published_at: datetime | None = None
    edited_at: datetime | None = None
    # Folded, without their sign.
    hashtags: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    # Whole addresses without tracking parameters, and the domains of these and of `url`.
    links: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    views: int | None = None
    engagement_at: datetime | None = None
    location: str | None = None
    backfilled: bool = False
    attrs: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandMatch:
    """One brand found in a post. `spans` is empty when it was found by author, domain or hashtag alone."""

    brand_id: str
    query_revision: int
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedPost:
    """A post with the brands it names: what `ingest` hands to `enrich`.

    `withdrawn` names brands that an earlier revision of this post matched and this one does not.
    """

    post: Post
    matches: tuple[BrandMatch, ...]
    withdrawn: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """A post was deleted or withheld: every trace goes, and nothing late brings it back.

    `asked_by` is who asked for it, the source itself when absent; `asked_at` is when it reached us, by our clock. Of
    one that does not know when it was asked for, the ledger of the store keeps no row.
    """

    post_id: str
    source: str
    # By the source's clock: of a retraction and a restoration the later one holds.
    retracted_at: datetime
    reason: str = "deleted"
    asked_by: str | None = None
    asked_at: datetime | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorRetraction:
    """An author is gone from a source: as a `Retraction`, of all posts, known or not.

    `author_key` is `domain.ids.author_key`.
    """

    author_key: str
    source: str
    retracted_at: datetime
    reason: str = "author deleted"
    asked_by: str | None = None
    asked_at: datetime | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A retraction is taken back: of a post (`post_id`) or of an author (`author_key`), exactly one of them.

    It brings nothing back. What is collected from `taken_from` on, by our clock, is taken again.
    """

    source: str
    restored_at: datetime
    taken_from: datetime
    post_id: str | None = None
    author_key: str | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A mention that no longer holds because the post was edited away from the brand."""

    mention_id: str
    post_id: str
    brand_id: str
    version: int
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One post about one brand, tagged: the document of the index (flat; see `domain.fields`)."""

    mention_id: str
    post_id: str
    brand_id: str
    brand: str
    query_revision: int
    version: int
    source: str
    kind: str
    text: str
    # Folded tokens of title and text, separated by single spaces (see `domain.text`).
    tokens: str
    collected_at: datetime
    enriched_at: datetime
    routing_month: str
    # Where the brand was named; not indexed, kept for highlights and for what the model saw.
    spans: tuple[Span, ...] = ()
    words: tuple[str, ...] = ()
    title: str | None = None
    url: str | None = None
    domains: tuple[str, ...] = ()
    lang: str = "und"
    author_id: str | None = None
    author_handle: str | None = None
    author_name: str | None = None
    author_followers: int | None = None
    reply_to: str | None = None
    thread_id: str | None = None
    published_at: datetime | None = None
    edited_at: datetime | None = None
    # Towards this brand. Probabilities are in [0, 1] and sum to 1; all absent when no engine ran.
    sentiment: Sentiment | None = None
    sentiment_value: int | None = None
    sentiment_score: float | None = None
    # Expected value on the five points -2 (very negative) to 2 (very positive).
    sentiment_expected: float | None = None
    p_negative: float | None = None
    p_neutral: float | None = None
    p_positive: float | None = None
    sentiment_reliable: bool = False
    post_sentiment: Sentiment | None = None
    model: str | None = None
    # The model read only the beginning of the text.
    truncated: bool = False
    hashtags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    views: int | None = None
    engagement_at: datetime | None = None
    # By what near-duplicates find each other (`domain.stories`), not indexed. Empty: too short to be compared, a story
    # of its own. Absent: made before there were stories.
    signature: str | None = None
    # Assigned by the store, which answers with what it is now.
    story_id: str | None = None
    location: str | None = None
    backfilled: bool = False
    attrs: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that cannot be processed, kept whole with who, when, what and where; it can be replayed.

    `payload` holds the original bytes; beyond 16 MiB its first 64 KiB, with `payload_bytes` and
    `payload_sha256` of the whole.
    """

    stage: str
    reason: str
    detail: str
    # Where it came from: a file and row, or a topic and offset.
    position: str
    payload: bytes
    payload_bytes: int
    payload_sha256: str
    parked_at: datetime
    source: str | None = None
    post_id: str | None = None
    run: str = "live"
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about the pipeline itself: heartbeat, gap, watermark."""

    kind: Literal["heartbeat", "gap", "watermark"]
    source: str
    at: datetime
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How one worker of a stage fared in the minute that ended `at`.

    The counts are of this worker and this minute alone, so that sums over workers and time are right; `lag` is the
    whole stage's, so of that the largest is taken. `ready`: the worker could take work.
    """

    stage: str
    # Machine and process, such as `enrich-7f9c/17`.
    worker: str
    at: datetime
    ready: bool
    came_in: int = 0
    ok: int = 0
    duplicate: int = 0
    filtered: int = 0
    parked: int = 0
    retried: int = 0
    lag: int | None = None
    schema_version: int = SCHEMA_VERSION
