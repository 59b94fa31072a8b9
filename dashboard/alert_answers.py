"""The shapes of the JSON API that are about alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from alerts.records import Doubt, Level, WatchState
from alerts.rule import Metric, Sensitivity, Severity
from alerts.subscription import Audience, Digest
from dashboard.answers import Answer
from dashboard.brand_answers import Body


class ReadingAnswer(Answer):
    """How one window compares with its brand's own history, in its metric's unit: a count, share, net sentiment."""

    end: datetime = Field(description="where the window ends, in event time")
    level: Level
    observed: float
    expected: float
    low: float = Field(description="lower end of what is usual")
    high: float = Field(description="upper end of what is usual")
    ratio: float | None = Field(description="observed by expected, for counts")
    surprise: float = Field(description="-log10 of the probability of something this far out by chance")
    mentions: int = Field(description="mentions that the metric is about")
    little_history: bool = Field(description="what is usual is assumed more than seen")


class AlertAnswer(Answer):
    """A spike: something far from what the brand's own history predicts."""

    alert_id: str
    rule_id: str
    rule: str
    brand_id: str | None = Field(description="null for the pipeline's own health")
    brand: str | None
    metric: Metric
    severity: Severity
    window_minutes: int
    words: str = Field(description="what is unusual and how much, in a sentence")
    started_at: datetime = Field(description="end of the first window that fired, in event time")
    fired_at: datetime = Field(description="when it was found")
    peak_at: datetime
    resolved_at: datetime | None = Field(description="null while it fires")
    reading: ReadingAnswer = Field(description="of the most unusual window so far")
    authors: int | None
    stories: int | None
    query: str = Field(description="what narrows the mentions; empty for all of the brand")
    acknowledged_at: datetime | None
    acknowledged_by: str
    mark: Literal["", "useful", "noise"] = Field(description="as a person judged")
    marked_at: datetime | None
    marked_by: str


class AlertsAnswer(Answer):
    """A page of alerts, those that began last first."""

    alerts: list[AlertAnswer]
    next_after: str | None = Field(description="pass as `after` for older alerts; null on the last page")


class WordAnswer(Answer):
    """A word or an author that stands out."""

    word: str
    count: int = Field(description="mentions of the alert")
    background: int = Field(description="mentions of the brand in four weeks")


class WholeAlertAnswer(Answer):
    """An alert, how its windows went, and what drives it."""

    alert: AlertAnswer
    readings: list[ReadingAnswer] = Field(description="one each five minutes, from a day before it began")
    words: list[WordAnswer]
    authors: list[WordAnswer]
    sources: dict[str, int] = Field(description="mentions by source")
    samples: list[str] = Field(description="mention_id of posts that show it")


class MarkBody(Body):
    """What a person says to an alert."""

    mark: Literal["", "useful", "noise"] = Field(description="empty takes it back")


class SilenceBody(Body):
    """What is not told for a while, from now on. It names a brand, a rule or a severity at least."""

    hours: float = Field(description="for how long; a year at most")
    brands: list[str] = Field(default=[], description="ids; any when left out")
    rules: list[str] = Field(default=[], description="ids; any when left out")
    severities: list[Severity] = Field(default=[], description="any when left out")
    why: str = ""


class AlertSilenceBody(Body):
    """For how long nobody is told of alerts of this rule and brand."""

    hours: float = Field(description="a year at most")


class SilenceAnswer(Answer):
    """What is not told for a while. It still stands on the page."""

    silence_id: str
    start: datetime
    end: datetime
    brands: list[str]
    rules: list[str]
    severities: list[Severity]
    made_by: str
    why: str


class SilencesAnswer(Answer):
    """Silences that stand or are to come."""

    silences: list[SilenceAnswer]


class EndedSilenceAnswer(Answer):
    """A silence that has ended."""

    ended: str


class SubscriptionBody(Body):
    """Somebody to be told. An address of an e-mail that is new is asked first."""

    channel: str = Field(description="id of a channel of the configuration")
    recipient: str = Field(default="", description="address, for a channel of e-mail")
    brands: list[str] = Field(default=[], description="ids; all when left out")
    rules: list[str] = Field(default=[], description="ids; all when left out")
    severity: Severity = Field(default=Severity.INFO, description="the least urgent that is told")
    audience: Audience = Field(
        default="marketing", description="marketing is told of brands, it of the pipeline's own health"
    )
    quiet_hours: str = Field(default="", description="such as 22:00-07:00: nobody is told then")
    timezone: str = Field(default="UTC", description="of quiet hours and digest, such as Europe/Berlin")
    digest: Digest = Field(default="none", description="a summary of what was")
    resolved: bool = Field(default=True, description="whether the end of an alert is told too")


class SubscriptionAnswer(Answer):
    """Somebody who is told."""

    subscription_id: str
    channel: str
    recipient: str
    brands: list[str]
    rules: list[str]
    severity: Severity
    audience: Audience
    quiet_hours: str
    timezone: str
    digest: Digest
    resolved: bool
    made_by: str
    configured: bool = Field(description="it is of the configuration, and changed there")
    confirmed: bool = Field(description="false: nothing is told before whoever reads the address agrees")


class SubscriptionsAnswer(Answer):
    """All subscriptions: those of the configuration, then those made here."""

    subscriptions: list[SubscriptionAnswer]
    channels: list[str] = Field(description="ids of the channels there are")


class RemovedSubscriptionAnswer(Answer):
    """A subscription that is told nothing more."""

    removed: str


class TestAnswer(Answer):
    """A message that says that it is a test is on its way."""

    subscription_id: str


class WatchAnswer(Answer):
    """What one rule sees of one brand, as of the last look."""

    rule_id: str
    brand_id: str
    state: WatchState | None = Field(description="null: nobody looked yet")
    words: str
    end: datetime | None = Field(description="where the last window ends")
    reading: ReadingAnswer | None
    doubts: list[Doubt] = Field(description="why a spike by its numbers is not told")
    alert_id: str | None


class UsefulnessAnswer(Answer):
    """How right a rule was in the last four weeks, as people marked its alerts."""

    alerts: int
    useful: int
    noise: int
    share: float | None = Field(description="useful by marked; null where none was marked")


class RuleAnswer(Answer):
    """A rule."""

    rule_id: str
    name: str
    metric: Metric
    window_minutes: int
    sensitivity: Sensitivity
    severity: Severity
    query: str
    usefulness: UsefulnessAnswer


class EvaluatorAnswer(Answer):
    """How the look at everything fares."""

    mood: Literal["good", "waiting", "wrong"]
    words: str
    at: datetime | None = Field(description="when everything was looked at last; null: never")
    edge: datetime | None = Field(description="event time up to which it could look")
    late_since: datetime | None = Field(description="since when that lies more than five minutes back")
    holder: str


class WatchesAnswer(Answer):
    """What is watched, and how that stands. Watches that are as usual come last."""

    evaluator: EvaluatorAnswer
    rules: list[RuleAnswer]
    states: dict[str, int] = Field(description="watches by state, in words")
    watches: list[WatchAnswer] = Field(description="at most a hundred")
