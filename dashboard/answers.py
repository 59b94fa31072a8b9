"""The shapes of the JSON API. OpenAPI and `/api/docs` are made from these models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.records import Outcome, Sentiment


class Answer(BaseModel):
    """Parent of all models: unknown fields are mistakes of ours, and answers never change once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Answer):
    """What was found, what was expected, and what to try."""

    code: str = Field(description="stable name of the problem, such as `bad_query`")
    found: str
    expected: str
    hint: str = Field(default="", serialization_alias="try", description="what to try; empty where nothing helps")
    parameter: str | None = Field(default=None, description="the parameter in question")
    position: int | None = Field(default=None, description="code point offset into the query; its length means its end")


class ErrorAnswer(Answer):
    """Every answer with a status of 400 or more."""

    error: Problem


class SpanAnswer(Answer):
    """Code points `[start, end)` of `text` or `title`."""

    start: int
    end: int
    field: Literal["text", "title"]


class MentionAnswer(Answer):
    """One post about one brand. Unknown is null. Times are in UTC."""

    mention_id: str
    post_id: str
    brand_id: str
    brand: str
    source: str
    kind: str
    title: str | None
    text: str
    url: str | None = Field(description="of the original; http and https only, null otherwise")
    lang: str
    author_handle: str | None
    author_name: str | None
    author_followers: int | None
    published_at: datetime | None
    edited_at: datetime | None
    collected_at: datetime
    sentiment: Sentiment | None = Field(description="towards the brand")
    sentiment_score: float | None = Field(description="p_positive - p_negative, from -1 to 1")
    sentiment_expected: float | None = Field(
        description="expected feeling towards the brand, from -2 (very negative) to 2"
    )
    sentiment_reliable: bool = Field(description="false where the language has no model; then not counted in `net`")
    p_negative: float | None
    p_neutral: float | None
    p_positive: float | None
    model: str | None
    hashtags: list[str]
    likes: int | None
    reposts: int | None
    replies: int | None
    views: int | None
    engagement_at: datetime | None = Field(description="when the four numbers were told; null where that is unknown")
    named: list[SpanAnswer] = Field(description="where the brand is named")
    matched: list[SpanAnswer] = Field(description="what the query matched; empty without a query")


class WarningAnswer(Answer):
    """Something about a query that works and is perhaps not what was meant."""

    message: str
    position: int = Field(description="code point offset into the query")


class MentionsAnswer(Answer):
    """One page of mentions, newest first."""

    total: int = Field(description="all matches, not only this page")
    mentions: list[MentionAnswer]
    next_cursor: str | None = Field(description="pass as `cursor` for older mentions; null on the last page")
    warnings: list[WarningAnswer]


class MeasuresAnswer(Answer):
    """Counts of mentions by sentiment towards the brand, with net sentiment in [-1, 1]."""

    mentions: int
    negative: int
    neutral: int
    positive: int
    unreliable: int = Field(description="in a language without a model; counted apart")
    net: float | None = Field(description="(positive - negative) / (negative + neutral + positive); null for none")
    net_low: float | None = Field(description="lower end of its 95 % interval")
    net_high: float | None = Field(description="upper end of its 95 % interval")
    too_few: bool = Field(description="fewer than 30 reliable mentions: too few to compare")


class MomentAnswer(Answer):
    """One interval of a timeline, named by its start. Intervals without mentions are left out."""

    start: datetime
    measures: MeasuresAnswer


class GroupAnswer(Answer):
    """All mentions with one value of the field counted by."""

    key: str | int | float | bool
    measures: MeasuresAnswer
    timeline: list[MomentAnswer] | None


class CountsAnswer(Answer):
    """Counts of everything that matches, and by the field asked for (most frequent first)."""

    measures: MeasuresAnswer
    by: str | None
    groups: list[GroupAnswer]
    other: int = Field(description="matches with values beyond the groups listed")
    interval: Literal["hour", "day"] | None
    timeline: list[MomentAnswer] | None = Field(description="by `published_at` in UTC; those without it are left out")
    warnings: list[WarningAnswer]


class RunAnswer(Answer):
    """The books of one stage for one run: `live`, or the name of a replay."""

    run: str
    outcomes: dict[Outcome, int]


class StageAnswer(Answer):
    """The books of one stage, from durable counts.

    `entered` = ok + duplicate + filtered + parked + waiting; a retried record is still waiting.
    """

    stage: str
    entered: int
    ok: int
    duplicate: int
    filtered: int
    parked: int
    retried: int = Field(description="times that records were given again; not an end of any")
    waiting: int = Field(description="records that came in and are not done")
    balanced: bool = Field(description="every record is accounted for, and each parked one has a reason")
    dead_letters: dict[str, int] = Field(description="parked records by reason")
    runs: list[RunAnswer]


class BooksAnswer(Answer):
    """What became of every record, stage by stage."""

    stages: list[StageAnswer]
    waiting: int
    mentions: int = Field(description="mentions in the store")


class RetractionAnswer(Answer):
    """One retraction that was asked for."""

    subject: Literal["post", "author"]
    id: str = Field(description="the post_id, or source and author id")
    source: str
    reason: str
    asked_by: str = Field(description="the source, or the person who asked")
    asked_at: datetime
    done_at: datetime | None = Field(description="when the last mention was gone; null until then")
    mentions: int = Field(description="mentions that went")


class RetractionsAnswer(Answer):
    """The ledger of retractions, the last one first."""

    retractions: list[RetractionAnswer]
    note: str


class QueryCheckAnswer(Answer):
    """Whether a query can be read, and what is odd about it."""

    ok: bool
    error: Problem | None
    warnings: list[WarningAnswer]


class SourceAnswer(Answer):
    """The last heartbeat of a source. Counts are of the process that listened."""

    source: str
    at: datetime = Field(description="when it was last heard of")
    stale: bool = Field(description="nothing was heard of it lately, though it was not stopped")
    state: str = Field(description="starting, listening, waiting, refused, paused or stopped")
    since: datetime | None
    reason: str = Field(description="why it does not listen; empty while it does")
    silent: bool = Field(description="connected, and silent for longer than is usual for it")
    item_at: datetime | None = Field(description="when something last came")
    event_at: datetime | None = Field(description="time of the newest thing, by the source's own clock")
    behind_seconds: float | None
    items: int
    per_minute: float
    gaps: int
    errors: int
    spent_today: float | None
    currency: str
    note: str


class SourcesAnswer(Answer):
    """Every source that was ever heard of."""

    sources: list[SourceAnswer]


class GapAnswer(Answer):
    """A span of time in which a source did not listen."""

    source: str
    start: datetime
    end: datetime
    reason: str
    recovered: int | None = Field(description="how many items of it were fetched afterwards; null: nothing was tried")
    method: str = Field(description="by what they were fetched")


class GapsAnswer(Answer):
    """Gaps, the oldest first."""

    gaps: list[GapAnswer]
