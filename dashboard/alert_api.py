"""The JSON API of alerts: what fires and fired, what rules see, silences and subscriptions, and changing them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from alerts.records import Alert, Reading
from alerts.silence import Silence
from alerts.wording import headline
from dashboard.alert_answers import (
    AlertAnswer,
    AlertsAnswer,
    AlertSilenceBody,
    EndedSilenceAnswer,
    EvaluatorAnswer,
    MarkBody,
    ReadingAnswer,
    RemovedSubscriptionAnswer,
    RuleAnswer,
    SilenceAnswer,
    SilenceBody,
    SilencesAnswer,
    SubscriptionAnswer,
    SubscriptionBody,
    SubscriptionsAnswer,
    TestAnswer,
    UsefulnessAnswer,
    WatchAnswer,
    WatchesAnswer,
    WholeAlertAnswer,
    WordAnswer,
)
from dashboard.alert_changes import (
    acknowledge,
    alert_of,
    end_silence,
    mark,
    send_test,
    silence,
    silence_like,
    subscribe,
    unsubscribe,
)
from dashboard.alert_chart import chart_span
from dashboard.alert_desk import AlertDesk, Cause, Curve
from dashboard.alert_reading import MAX_PAGE, PAGE, StandingRow, Usefulness, brand_names, find, overview, usefulness
from dashboard.alert_words import life
from dashboard.answers import ErrorAnswer
from dashboard.asking import Askers
from dashboard.brand_desk import BrandDesk
from dashboard.subscription_pages import SubscriptionRow, subscription_rows
from domain.clock import Clock
from domain.measures import StandingOut

AlertId = Annotated[str, Path(description="id of the alert")]
SilenceId = Annotated[str, Path(description="id of the silence")]
SubscriptionId = Annotated[str, Path(description="id of the subscription")]


def build_alert_api(desk: AlertDesk, brands: BrandDesk, clock: Clock, askers: Askers) -> APIRouter:
    """Make the routes of alerts under `/api`."""
    refused: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 404, 409, 422, 503)}
    api = APIRouter(prefix="/api", tags=["api"])

    @api.get("/alerts", responses=refused, summary="Alerts, those that began last first")
    def get_alerts(
        brand: Annotated[str, Query(description="id of a brand")] = "",
        rule: Annotated[str, Query(description="id of a rule")] = "",
        firing: Annotated[bool | None, Query(description="true: those that fire; false: those that are over")] = None,
        after: Annotated[str, Query(max_length=100, pattern=r"^[0-9a-z-]*$", description="`next_after`")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="alerts on a page")] = PAGE,
    ) -> AlertsAnswer:
        found = find(desk, brand_id=brand or None, rule_id=rule, firing=firing, after=after, limit=limit)
        return AlertsAnswer(alerts=[alert_answer(one) for one in found.alerts], next_after=found.after or None)

    @api.get("/alerts/{alert_id}", responses=refused, summary="One alert, how it went, and what drives it")
    def get_alert(alert_id: AlertId) -> WholeAlertAnswer:
        alert = alert_of(desk, alert_id)
        curve = desk.curve(alert, *chart_span(alert, clock.now())) if alert.brand_id else Curve()
        cause = desk.cause(alert) if alert.brand_id else Cause()
        return WholeAlertAnswer(
            alert=alert_answer(alert),
            readings=[_reading_answer(one) for one in curve.readings],
            words=[_word_answer(one) for one in cause.drivers.words],
            authors=[_word_answer(one) for one in cause.drivers.authors],
            sources=dict(cause.drivers.sources),
            samples=[one.mention_id for one in cause.samples],
        )

    @api.post("/alerts/{alert_id}/acknowledge", responses=refused, summary="Say that an alert was seen")
    def acknowledge_alert(alert_id: AlertId, request: Request) -> AlertAnswer:
        return alert_answer(acknowledge(desk, alert_id, askers.name(request), clock.now()))

    @api.post("/alerts/{alert_id}/mark", responses=refused, summary="Say that an alert was useful, or noise")
    def mark_alert(alert_id: AlertId, body: MarkBody, request: Request) -> AlertAnswer:
        return alert_answer(mark(desk, alert_id, body.mark, askers.name(request), clock.now()))

    @api.post("/alerts/{alert_id}/silence", status_code=201, responses=refused, summary="Silence alerts like this one")
    def silence_alert(alert_id: AlertId, body: AlertSilenceBody, request: Request) -> SilenceAnswer:
        alert = alert_of(desk, alert_id)
        return _silence_answer(silence_like(desk, alert, body.hours, askers.name(request), clock.now()))

    @api.get("/watches", summary="What every rule sees of every brand, and how the look at everything fares")
    def get_watches() -> WatchesAnswer:
        now, pulse, seen = clock.now(), desk.pulse(), overview(desk, brand_names(brands))
        told = life(pulse, desk.holder(now), now)
        return WatchesAnswer(
            evaluator=EvaluatorAnswer(
                mood=cast(Literal["good", "waiting", "wrong"], told.mood),
                words=told.words,
                at=None if pulse is None else pulse.at,
                edge=None if pulse is None else pulse.edge,
                late_since=None if pulse is None else pulse.late_since,
                holder="" if pulse is None else pulse.holder,
            ),
            rules=[_rule_answer(one) for one in usefulness(desk, now)],
            states=dict(seen.states),
            watches=[_watch_answer(row) for row in seen.rows],
        )

    @api.get("/silences", summary="What is not told for a while")
    def get_silences() -> SilencesAnswer:
        now = clock.now()
        return SilencesAnswer(silences=[_silence_answer(one) for one in desk.book.silences() if one.end > now])

    @api.post("/silences", status_code=201, responses=refused, summary="Tell nobody of some alerts for a while")
    def add_silence(body: SilenceBody, request: Request) -> SilenceAnswer:
        values = body.model_dump(mode="json")
        return _silence_answer(silence(desk, values, brand_names(brands), askers.name(request), clock.now()))

    @api.delete("/silences/{silence_id}", responses=refused, summary="End a silence")
    def remove_silence(silence_id: SilenceId) -> EndedSilenceAnswer:
        end_silence(desk, silence_id)
        return EndedSilenceAnswer(ended=silence_id)

    @api.get("/subscriptions", summary="Who is told of what")
    def get_subscriptions() -> SubscriptionsAnswer:
        return SubscriptionsAnswer(
            subscriptions=[_subscription_answer(row) for row in subscription_rows(desk, {})],
            channels=[one.channel_id for one in desk.channels],
        )

    @api.post("/subscriptions", status_code=201, responses=refused, summary="Have somebody told")
    def add_subscription(body: SubscriptionBody, request: Request) -> SubscriptionAnswer:
        values = body.model_dump(mode="json")
        made = subscribe(desk, values, brand_names(brands), askers.name(request), clock.now())
        (row,) = (
            row for row in subscription_rows(desk, {}) if row.subscription.subscription_id == made.subscription_id
        )
        return _subscription_answer(row)

    @api.delete("/subscriptions/{subscription_id}", responses=refused, summary="Tell somebody no more")
    def remove_subscription(subscription_id: SubscriptionId) -> RemovedSubscriptionAnswer:
        unsubscribe(desk, subscription_id)
        return RemovedSubscriptionAnswer(removed=subscription_id)

    @api.post(
        "/subscriptions/{subscription_id}/test", status_code=202, responses=refused, summary="Send a test message"
    )
    def test_subscription(subscription_id: SubscriptionId) -> TestAnswer:
        return TestAnswer(subscription_id=send_test(desk, subscription_id, clock.now()).subscription_id)

    return api


def alert_answer(alert: Alert) -> AlertAnswer:
    """Tell an alert."""
    return AlertAnswer(
        alert_id=alert.alert_id,
        rule_id=alert.rule_id,
        rule=alert.rule,
        brand_id=alert.brand_id or None,
        brand=alert.brand or None,
        metric=alert.metric,
        severity=alert.severity,
        window_minutes=alert.window_minutes,
        words=headline(alert),
        started_at=alert.started_at,
        fired_at=alert.fired_at,
        peak_at=alert.peak_at,
        resolved_at=alert.resolved_at,
        reading=_reading_answer(alert.reading),
        authors=alert.authors,
        stories=alert.stories,
        query=alert.query,
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
        mark=cast(Literal["", "useful", "noise"], alert.mark),
        marked_at=alert.marked_at,
        marked_by=alert.marked_by,
    )


def _reading_answer(reading: Reading) -> ReadingAnswer:
    return ReadingAnswer(**{name: getattr(reading, name) for name in ReadingAnswer.model_fields})


def _word_answer(one: StandingOut) -> WordAnswer:
    return WordAnswer(word=one.word, count=one.count, background=one.background_count)


def _silence_answer(one: Silence) -> SilenceAnswer:
    return SilenceAnswer(
        silence_id=one.silence_id,
        start=one.start,
        end=one.end,
        brands=list(one.brands),
        rules=list(one.rules),
        severities=list(one.severities),
        made_by=one.made_by,
        why=one.why,
    )


def _subscription_answer(row: SubscriptionRow) -> SubscriptionAnswer:
    one = row.subscription
    return SubscriptionAnswer(
        subscription_id=one.subscription_id,
        channel=one.channel,
        recipient=one.recipient,
        brands=list(one.brands),
        rules=list(one.rules),
        severity=one.severity,
        audience=one.audience,
        quiet_hours=one.quiet_hours,
        timezone=one.timezone,
        digest=one.digest,
        resolved=one.resolved,
        made_by=one.made_by,
        configured=row.configured,
        confirmed=not row.unconfirmed,
    )


def _watch_answer(row: StandingRow) -> WatchAnswer:
    seen = row.standing
    return WatchAnswer(
        rule_id=row.rule.rule_id,
        brand_id=row.brand_id,
        state=None if seen is None else seen.state,
        words=f"{row.name}: {row.why}" if row.why else row.name,
        end=None if seen is None else seen.end,
        reading=None if seen is None or seen.reading is None else _reading_answer(seen.reading),
        doubts=[] if seen is None else list(seen.doubts),
        alert_id=None if seen is None else seen.alert_id or None,
    )


def _rule_answer(one: Usefulness) -> RuleAnswer:
    rule, whole = one.rule, one.whole
    return RuleAnswer(
        rule_id=rule.rule_id,
        name=rule.name or rule.rule_id,
        metric=rule.metric,
        window_minutes=rule.window_minutes,
        sensitivity=rule.sensitivity,
        severity=rule.severity,
        query=rule.query,
        usefulness=UsefulnessAnswer(alerts=whole.alerts, useful=whole.useful, noise=whole.noise, share=whole.share),
    )
