"""What pages and API of alerts show, read from the desk: rows of alerts, what rules see, how right they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerts.book import Precision
from alerts.records import Alert, WatchState
from alerts.rule import Metric, Rule
from alerts.silence import Silence, silenced_by
from alerts.standing import Standing
from alerts.telling import inhibited
from alerts.wording import headline
from dashboard.alert_desk import AlertDesk
from dashboard.alert_words import MOODS, NAMES, since, why
from dashboard.brand_desk import BrandDesk
from dashboard.question import Question

PAGE: Final = 25
MAX_PAGE: Final = 200
# Alerts looked through for those of one brand or rule; an answer says where it stopped.
MOST_LOOKED: Final = 5_000
# Watches listed one by one; those that are as usual come last.
MOST_STANDINGS: Final = 100
# Rules whose marks are listed one by one, those with most alerts first.
MOST_RULES: Final = 50
WEEKS: Final = 4
_ORDER: Final = (
    WatchState.FIRING,
    WatchState.PENDING,
    WatchState.SUPPRESSED,
    WatchState.DELAYED,
    WatchState.NO_DATA,
    WatchState.LEARNING,
    WatchState.QUIET,
)


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert as it is shown. `hushed` says why nobody is told of it, "" where somebody may be."""

    alert: Alert
    brand: str
    words: str
    since: str
    hushed: str
    mentions: str


@dataclass(frozen=True, slots=True)
class StandingRow:
    """What one rule sees of one brand, as it is shown; `standing` None: nobody looked yet."""

    rule: Rule
    brand_id: str
    brand: str
    standing: Standing | None
    mood: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Overview:
    """What rules see: those listed one by one, and how many there are by state."""

    rows: tuple[StandingRow, ...]
    states: Mapping[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class Usefulness:
    """How right a rule was, week by week, this week first, and over all of them."""

    rule: Rule
    weeks: tuple[Precision, ...]
    whole: Precision


@dataclass(frozen=True, slots=True)
class Found:
    """A page of alerts; `after` leads to the older ones, "" where there are none."""

    alerts: tuple[Alert, ...]
    after: str


def brand_names(brands: BrandDesk) -> dict[str, str]:
    """Give the brands that are listened for: id -> name."""
    return {state.brand.brand_id: state.brand.name for state in brands.states() if not state.paused}


def find(
    desk: AlertDesk,
    *,
    brand_id: str | None = None,
    rule_id: str = "",
    firing: bool | None = None,
    after: str = "",
    limit: int = PAGE,
) -> Found:
    """Give alerts, those that began last first; at most `limit`, of a brand, a rule, or those that fire or are over.

    `brand_id` "" is the pipeline's own health. Fewer than `limit` with an `after` means: nothing more of the last
    5,000 looked at.
    """
    found: list[Alert] = []
    for _ in range(MOST_LOOKED // MAX_PAGE):
        page = desk.book.newest(MAX_PAGE, after=after)
        for alert in page:
            after = alert.alert_id
            if (
                brand_id in (None, alert.brand_id)
                and rule_id in ("", alert.rule_id)
                and firing in (None, alert.resolved_at is None)
            ):
                found.append(alert)
                if len(found) == limit:
                    return Found(tuple(found), after)
        if len(page) < MAX_PAGE:
            return Found(tuple(found), "")
    return Found(tuple(found), after)


def rows_of(alerts: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> tuple[AlertRow, ...]:
    """Give alerts as they are shown. `alerts` hold what else fires of their brands."""
    return tuple(
        AlertRow(
            alert,
            alert.brand or "Pipeline",
            headline(alert),
            since(alert, now),
            _hushed(alert, alerts, silences, now),
            mentions_address(alert, now),
        )
        for alert in alerts
    )


def _hushed(alert: Alert, alerts: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> str:
    if alert.resolved_at is not None:
        return ""
    if silenced_by(alert, silences, now) is not None:
        return "silenced"
    if inhibited(alert, alerts):
        return "not told: a more urgent alert of the same brand fires"
    return ""


def mentions_address(alert: Alert, now: datetime) -> str:
    """Give the address of the mentions that an alert counted, from its first window on."""
    if not alert.brand_id:
        return "/pipeline"
    question = Question(
        q=alert.query,
        brands=(alert.brand_id,),
        sentiments=() if alert.metric in (Metric.VOLUME, Metric.NET_SENTIMENT) else ("negative",),
    )
    start = alert.started_at - timedelta(minutes=alert.window_minutes)
    return question.between(start, max(alert.resolved_at or now, alert.started_at)).address()


def overview(desk: AlertDesk, brands: Mapping[str, str]) -> Overview:
    """Give what every rule sees of every brand that it is about."""
    known = {(one.rule_id, one.brand_id): one for one in desk.standings()}
    rows = [
        _standing_row(rule, brand_id, name, known.get((rule.rule_id, brand_id)))
        for rule in desk.rules
        for brand_id, name in brands.items()
        if rule.watches(brand_id)
    ]
    states: dict[str, int] = {}
    for row in rows:
        states[row.name] = states.get(row.name, 0) + 1
    place = {state: number for number, state in enumerate(_ORDER)}
    rows.sort(key=lambda row: place[row.standing.state] if row.standing else len(place))
    return Overview(tuple(rows[:MOST_STANDINGS]), states, len(rows))


def _standing_row(rule: Rule, brand_id: str, brand: str, standing: Standing | None) -> StandingRow:
    if standing is None:
        return StandingRow(rule, brand_id, brand, None, "waiting", "Not looked at", "the next look comes to it")
    return StandingRow(rule, brand_id, brand, standing, MOODS[standing.state], NAMES[standing.state], why(standing))


def usefulness(desk: AlertDesk, now: datetime) -> tuple[Usefulness, ...]:
    """Give how right each rule was in the last four weeks, as people marked its alerts; in the order of the rules."""
    ids = [rule.rule_id for rule in desk.rules]
    week = timedelta(weeks=1)
    weeks = [desk.book.precision(ids, now - (number + 1) * week, now - number * week) for number in range(WEEKS)]
    return tuple(
        Usefulness(rule, tuple(one[place] for one in weeks), _sum(rule.rule_id, [one[place] for one in weeks]))
        for place, rule in enumerate(desk.rules)
    )


def _sum(rule_id: str, parts: Sequence[Precision]) -> Precision:
    return Precision(
        rule_id,
        sum(one.alerts for one in parts),
        sum(one.useful for one in parts),
        sum(one.noise for one in parts),
    )
