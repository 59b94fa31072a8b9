"""What alerts are made of: a reading of one window, the state of a watch, an alert, and what is to be told to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from alerts.rule import Metric, Severity


class Doubt(StrEnum):
    """Why a spike by the numbers is not taken for one."""

    FEW_MENTIONS = "few_mentions"
    FEW_AUTHORS = "few_authors"
    FEW_STORIES = "few_stories"
    GAP = "gap"
    BACKFILL = "backfill"


class Level(StrEnum):
    """How a window compares with what was expected: beyond the threshold, below it but not yet over, or calm."""

    SPIKE = "spike"
    ELEVATED = "elevated"
    CALM = "calm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one window of one watch compares with its own history.

    The window is `[end - window, end)` in event time. `observed` and `expected` are in the metric's own unit: counts
    of the window for volume and negative, a share in [0, 1], a net sentiment in [-1, 1]. `low` and `high` bound what is
    usual (as sure as the rule's sensitivity asks for). `ratio` is observed by expected for counts, else None.
    `surprise` is -log10 of the probability of something this far out by chance. `mentions` are those that
    the metric is about: of a share or a net sentiment, all that were judged. `little_history`: the stated prior weighs
    more than what was seen. `window_minutes` is the window's length: the rule's, or of the longer one by which slow
    rises are seen. `needed` is the surprise that it takes to be a spike for this brand.
    """

    end: datetime
    metric: Metric
    level: Level
    observed: float
    expected: float
    low: float
    high: float
    ratio: float | None
    surprise: float
    mentions: int
    little_history: bool = False
    window_minutes: int = 60
    needed: float = 0.0


class WatchState(StrEnum):
    """What a rule sees of a brand right now."""

    QUIET = "quiet"
    PENDING = "pending"
    FIRING = "firing"
    # A spike by the numbers, and a reason not to tell anybody (`Doubt`).
    SUPPRESSED = "suppressed"
    # What there is to judge lies more than five minutes back.
    DELAYED = "delayed"
    NO_DATA = "no_data"
    # Heard of for less than a day: what is usual is not known enough to judge anything.
    LEARNING = "learning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A spike that was told of, or would have been. One that is not resolved has no `resolved_at`.

    `alert_id` sorts by when it began and is the same whoever evaluates (see `alerts.ids`). `started_at` is the end
    of the first window that fired, `peak_at` that of the most improbable one so far, both in event time; `reading` is
    the peak's, and `window_minutes` the length of its window. `fired_at`, `acknowledged_at`, `marked_at` are by
    our clock, `resolved_at` too except in a backtest. `mark` is "useful" or "noise", as a person judged.
    """

    alert_id: str
    rule_id: str
    rule: str
    brand_id: str
    brand: str
    metric: Metric
    severity: Severity
    window_minutes: int
    started_at: datetime
    fired_at: datetime
    reading: Reading
    peak_at: datetime
    authors: int | None = None
    stories: int | None = None
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    mark: str = ""
    marked_at: datetime | None = None
    marked_by: str = ""
    # For alerts about the pipeline itself, what is wrong in a sentence.
    reason: str = ""
    query: str = ""


class Telling(StrEnum):
    """What a notification is about."""

    FIRING = "firing"
    REPEAT = "repeat"
    RESOLVED = "resolved"
    DELAYED = "delayed"
    DIGEST = "digest"
    CONFIRM = "confirm"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Something to be told to one recipient through one channel, kept in the outbox until it is.

    `notification_id` is the idempotency key: the same across tries, restarts and evaluators. `alert_ids` are the
    alerts of one group. Nothing that people wrote is kept here: the message is made when it is sent, of what the store
    still has then. `detail` is what else the telling needs, such as the period of a digest.
    """

    notification_id: str
    telling: Telling
    channel: str
    # The address of an e-mail; "" where the channel has one place only.
    recipient: str
    created_at: datetime
    alert_ids: tuple[str, ...] = ()
    subscription: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
