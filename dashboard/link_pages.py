"""The pages that a signed link in a message leads to: they say what it is for, and have a button that does it.

Whoever has the link may do what it is for, and nothing else; nobody signs in. A link that is only looked at, as mail
programs do to check it, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import jinja2
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from alerts.book import NOISE, USEFUL
from alerts.errands import Errand
from alerts.links import PAGE, BadLink
from alerts.wording import headline
from dashboard.alert_desk import AlertDesk
from dashboard.forms import read_form
from domain.clock import Clock


def build_link_pages(desk: AlertDesk, templates: jinja2.Environment, clock: Clock) -> APIRouter:
    """Make the routes of the pages."""
    pages = APIRouter(include_in_schema=False)

    def page(token: str, call: Callable[[], Errand], *, followed: bool) -> Response:
        errand: Errand | None = None
        bad = ""
        try:
            errand = call()
        except BadLink as error:
            bad = str(error)
        shown = templates.get_template("link.html").render(
            errand=errand,
            address=f"{PAGE}{token}",
            words=headline(errand.alert) if errand is not None and errand.alert is not None else "",
            followed=followed,
            bad=bad,
        )
        # The address is a key: nobody keeps it, and nobody is told of it.
        headers = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
        return HTMLResponse(shown, 400 if bad else 200, headers=headers)

    @pages.get(PAGE + "{token}")
    def show(token: str) -> Response:
        return page(token, lambda: desk.errand(token, clock.now()), followed=False)

    @pages.post(PAGE + "{token}")
    async def follow(token: str, request: Request) -> Response:
        sent = (await read_form(request)).get("mark", "")
        word = sent if sent in (USEFUL, NOISE) else ""
        return await run_in_threadpool(
            lambda: page(token, lambda: desk.run_errand(token, word, clock.now()), followed=True)
        )

    return pages
