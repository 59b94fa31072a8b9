"""The pages `/alerts` (what fires, what rules see, what was, silences) and `/alerts/{alert_id}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.book import NOISE, USEFUL
from alerts.health import KINDS
from alerts.rule import Severity
from alerts.sentences import explanation, measured
from dashboard.alert_changes import acknowledge, alert_of, end_silence, mark, silence, silence_like
from dashboard.alert_chart import chart_span, draw
from dashboard.alert_desk import AlertDesk, Cause, Curve
from dashboard.alert_reading import MOST_RULES, WEEKS, brand_names, find, overview, rows_of, usefulness
from dashboard.alert_words import life, rule_words
from dashboard.answers import Problem
from dashboard.asking import Askers
from dashboard.brand_desk import BrandDesk
from dashboard.display import excerpt, relative
from dashboard.forms import read_form
from dashboard.problems import NotFound, problem_of
from domain.clock import Clock
from domain.errors import ServiceError
from domain.records import Mention
from domain.safe_text import safe_link

_MARKS: Mapping[str, str] = {"useful": USEFUL, "noise": NOISE, "unmark": ""}
# What the pages say was done; whatever else an address claims was not.
DONE: Mapping[str, str] = {
    "acknowledge": "Noted: it has been seen, and is not said again.",
    "useful": "Noted as useful.",
    "noise": "Noted as noise.",
    "unmark": "The mark is taken back.",
    "silence": "Silenced: it stands here, and nobody is told.",
    "end": "The silence has ended.",
}
_EXCERPT = 400


def build_alert_pages(
    desk: AlertDesk, brands: BrandDesk, templates: jinja2.Environment, clock: Clock, askers: Askers
) -> APIRouter:
    """Make the routes of the pages."""
    pages = APIRouter(include_in_schema=False)

    def overview_page(after: str = "", done: str = "", problem: Problem | None = None, status: int = 200) -> Response:
        now = clock.now()
        names, silences = brand_names(brands), desk.book.silences()
        firing = [alert for alert in desk.book.current(now) if alert.resolved_at is None]
        found = find(desk, after=after)
        page = templates.get_template("alerts.html").render(
            now=now,
            life=life(desk.pulse(), desk.holder(now), now),
            firing=rows_of(firing[::-1], silences, now),
            overview=overview(desk, names),
            history=rows_of(found.alerts, silences, now),
            older=found.after,
            after=after,
            usefulness=sorted(usefulness(desk, now), key=lambda one: -one.whole.alerts)[:MOST_RULES],
            weeks=WEEKS,
            silences=[each for each in silences if each.end > now],
            rules=desk.rules,
            kinds=KINDS,
            brands=names,
            severities=list(Severity),
            rule_words=rule_words,
            measured=measured,
            done=DONE.get(done, ""),
            problem=problem,
        )
        return HTMLResponse(page, status)

    def alert_page(alert_id: str, done: str = "", problem: Problem | None = None, status: int = 200) -> Response:
        now = clock.now()
        alert = alert_of(desk, alert_id)
        same = [one for one in desk.book.current(now) if one.brand_id == alert.brand_id]
        (row,) = (
            one
            for one in rows_of([alert, *(each for each in same if each != alert)], desk.book.silences(), now)
            if one.alert is alert
        )
        start, end = chart_span(alert, now)
        curve = desk.curve(alert, start, end) if alert.brand_id else Curve()
        cause = desk.cause(alert) if alert.brand_id else Cause()
        page = templates.get_template("alert.html").render(
            now=now,
            row=row,
            alert=alert,
            chart=draw(alert, curve, start, end),
            cause=cause,
            samples=[_sample(mention, now) for mention in cause.samples],
            rule=next((rule for rule in desk.rules if rule.rule_id == alert.rule_id), None),
            sentences=explanation(alert, UTC),
            rule_words=rule_words,
            measured=measured,
            done=DONE.get(done, ""),
            problem=problem,
        )
        return HTMLResponse(page, status)

    @pages.get("/alerts")
    def show(
        after: Annotated[str, Query(max_length=100, pattern=r"^[0-9a-z-]*$")] = "",
        done: Annotated[str, Query(max_length=16)] = "",
    ) -> Response:
        return overview_page(after, done)

    @pages.post("/alerts/silences")
    async def send_silence(request: Request) -> Response:
        sent, who = await read_form(request), askers.name(request)
        return await run_in_threadpool(_change_silences, desk, brands, clock, sent, who, overview_page)

    @pages.get("/alerts/{alert_id}")
    def show_alert(alert_id: str, done: Annotated[str, Query(max_length=16)] = "") -> Response:
        return alert_page(alert_id, done)

    @pages.post("/alerts/{alert_id}")
    async def send(alert_id: str, request: Request) -> Response:
        sent, who = await read_form(request), askers.name(request)
        return await run_in_threadpool(_change_alert, desk, clock, alert_id, sent, who, alert_page)

    return pages


def _sample(mention: Mention, now: datetime) -> dict[str, Any]:
    return {
        "mention": mention,
        "text": excerpt(mention.text, (), mention.spans, _EXCERPT),
        "when": relative(mention.published_at or mention.collected_at, now),
        "link": safe_link(mention.url),
    }


def _change_alert(
    desk: AlertDesk,
    clock: Clock,
    alert_id: str,
    sent: Mapping[str, str],
    who: str,
    page: Callable[..., Response],
) -> Response:
    act, now = sent.get("act", ""), clock.now()
    alert = alert_of(desk, alert_id)
    try:
        if act == "acknowledge":
            acknowledge(desk, alert_id, who, now)
        elif act in _MARKS:
            mark(desk, alert_id, _MARKS[act], who, now)
        elif act == "silence":
            silence_like(desk, alert, _number(sent.get("hours", "")), who, now)
        else:
            raise _bad_act(act, ("acknowledge", *_MARKS, "silence"))
    except ServiceError as error:
        status, problem = problem_of(error)
        return page(alert_id, problem=problem, status=status)
    place = "/alerts" if sent.get("back") == "list" else f"/alerts/{alert.alert_id}"
    return RedirectResponse(f"{place}?done={act}", 303)


def _change_silences(
    desk: AlertDesk,
    brands: BrandDesk,
    clock: Clock,
    sent: Mapping[str, str],
    who: str,
    page: Callable[..., Response],
) -> Response:
    act = sent.get("act", "")
    try:
        if act == "silence":
            values = {
                "brands": _one(sent, "brand"),
                "rules": _one(sent, "rule"),
                "severities": _one(sent, "severity"),
                "hours": _number(sent.get("hours", "")),
                "why": sent.get("why", ""),
            }
            silence(desk, values, brand_names(brands), who, clock.now())
        elif act == "end":
            end_silence(desk, sent.get("silence_id", ""))
        else:
            raise _bad_act(act, ("silence", "end"))
    except ServiceError as error:
        status, problem = problem_of(error)
        return page(problem=problem, status=status)
    return RedirectResponse(f"/alerts?done={act}", 303)


def _one(sent: Mapping[str, str], name: str) -> tuple[str, ...]:
    return (sent[name],) if sent.get(name) else ()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _bad_act(act: str, known: tuple[str, ...]) -> NotFound:
    expected = "one of " + ", ".join(known)
    return NotFound(Problem(code="bad_choice", parameter="act", found=repr(act[:100]), expected=expected))
