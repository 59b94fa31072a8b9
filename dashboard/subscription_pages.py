"""The page `/alerts/subscriptions`: who is told of what, by which way; those made here can be added and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.rule import Severity
from alerts.subscription import AUDIENCES, DIGESTS, Subscription
from dashboard.alert_changes import needs_confirmation, send_test, subscribe, unsubscribe
from dashboard.alert_desk import AlertDesk
from dashboard.alert_reading import brand_names
from dashboard.alert_words import wants, when
from dashboard.answers import Problem
from dashboard.asking import Askers
from dashboard.brand_desk import BrandDesk
from dashboard.forms import read_fields
from dashboard.problems import NotFound, problem_of
from domain.clock import Clock
from domain.errors import ServiceError

ADDRESS = "/alerts/subscriptions"
DONE: Mapping[str, str] = {
    "add": "Added. An address of an e-mail that is new here gets a message with a link; it is told nothing more before "
    "whoever reads it has followed the link.",
    "remove": "Removed: it is told nothing more.",
    "test": "A test is on its way.",
}
ACTS = ("add", "remove", "test")
# What the form begins with, and what is left out of it is.
_PLAIN = ("channel", "recipient", "severity", "audience", "timezone", "digest")


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """One subscription as it is shown."""

    subscription: Subscription
    configured: bool
    unconfirmed: bool
    # Its channel is gone from the configuration, so nobody is told by it.
    lost: bool
    kind: str
    what: str
    when: str


def build_subscription_pages(
    desk: AlertDesk, brands: BrandDesk, templates: jinja2.Environment, clock: Clock, askers: Askers
) -> APIRouter:
    """Make the routes of the page."""
    pages = APIRouter(include_in_schema=False)

    def page(
        sent: Mapping[str, Sequence[str]] | None = None,
        *,
        done: str = "",
        problem: Problem | None = None,
        status: int = 200,
    ) -> Response:
        names = brand_names(brands)
        shown = templates.get_template("subscriptions.html").render(
            rows=subscription_rows(desk, names),
            channels=desk.channels,
            public=desk.public,
            brands=names,
            rules=desk.rules,
            severities=list(Severity),
            audiences=AUDIENCES,
            digests=DIGESTS,
            draft=_draft(sent or {}),
            done=DONE.get(done, ""),
            problem=problem,
        )
        return HTMLResponse(shown, status)

    @pages.get(ADDRESS)
    def show(done: Annotated[str, Query(max_length=16)] = "") -> Response:
        return page(done=done)

    @pages.post(ADDRESS)
    async def send(request: Request) -> Response:
        sent, who = await read_fields(request), askers.name(request)
        return await run_in_threadpool(_change, desk, brands, clock, sent, who, page)

    return pages


def subscription_rows(desk: AlertDesk, brands: Mapping[str, str]) -> list[SubscriptionRow]:
    """Give all subscriptions: those of the configuration, then those made here; `brands` are names by id."""
    configured = {each.subscription_id for each in desk.configured}
    kinds = {each.channel_id: each.kind for each in desk.channels}
    made = [each for each in desk.book.subscriptions() if each.subscription_id not in configured]
    return [
        SubscriptionRow(
            each,
            configured=each.subscription_id in configured,
            unconfirmed=needs_confirmation(desk, each),
            lost=each.channel not in kinds,
            kind=kinds.get(each.channel, ""),
            what=wants(each, brands),
            when=when(each),
        )
        for each in (*desk.configured, *made)
    ]


def _change(
    desk: AlertDesk,
    brands: BrandDesk,
    clock: Clock,
    sent: Mapping[str, Sequence[str]],
    who: str,
    page: Callable[..., Response],
) -> Response:
    act, subscription_id = _first(sent, "act"), _first(sent, "subscription_id")
    try:
        if act == "add":
            subscribe(desk, _draft(sent), brand_names(brands), who, clock.now())
        elif act == "remove":
            unsubscribe(desk, subscription_id)
        elif act == "test":
            send_test(desk, subscription_id, clock.now())
        else:
            expected = "one of " + ", ".join(ACTS)
            raise NotFound(Problem(code="bad_choice", parameter="act", found=repr(act[:100]), expected=expected))
    except ServiceError as error:
        status, problem = problem_of(error)
        return page(sent if act == "add" else None, problem=problem, status=status)
    return RedirectResponse(f"{ADDRESS}?done={act}", 303)


def _draft(sent: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Give what a form holds, as a subscription's values."""
    begin, end = _first(sent, "quiet_from"), _first(sent, "quiet_to")
    values: dict[str, Any] = {name: _first(sent, name) for name in _PLAIN if _first(sent, name)}
    return {"channel": "", "recipient": "", "severity": "info", "audience": "marketing", "timezone": "UTC"} | {
        "digest": "none",
        **values,
        "brands": [one for one in sent.get("brands", ()) if one],
        "rules": [one for one in sent.get("rules", ()) if one],
        "quiet_hours": f"{begin}-{end}" if begin or end else "",
        # A box that is not ticked is not sent.
        "resolved": not sent or "resolved" in sent,
    }


def _first(sent: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(sent.get(name, ())), "").strip()
