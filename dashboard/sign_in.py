"""The page `/sign-in`: shows a form, takes the token, gives the cookie; `/sign-out` takes it away."""

from __future__ import annotations

from typing import Annotated

import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboard.access import SECONDS_A_TRY, SESSION_SECONDS, SIGN_IN, Doorkeeper
from dashboard.answers import Problem
from dashboard.forms import read_form

# A token and a path; what is longer is no form of ours.
MAX_FORM_BYTES = 16_384


def build_sign_in(keeper: Doorkeeper, templates: jinja2.Environment) -> APIRouter:
    """Make the routes of signing in and out."""
    pages = APIRouter(include_in_schema=False)
    settings = keeper.settings

    def page(destination: str, problem: Problem | None = None) -> HTMLResponse:
        shown = templates.get_template("sign_in.html").render(next=destination, problem=problem)
        return HTMLResponse(shown, 200 if problem is None else 429 if problem.code == "too_many_tries" else 401)

    @pages.get(SIGN_IN)
    def form(destination: Annotated[str, Query(alias="next")] = "/") -> Response:
        return page(local_path(destination))

    @pages.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        sent = await read_form(request, MAX_FORM_BYTES)
        destination = local_path(sent.get("next", "/"))
        problem = keeper.try_token(sent.get("token", "").strip(), keeper.address_of(request.scope))
        if problem is not None:
            answer: Response = page(destination, problem)
            if answer.status_code == 429:
                answer.headers["Retry-After"] = str(int(SECONDS_A_TRY))
            return answer
        answer = RedirectResponse(destination, 303)
        answer.set_cookie(
            settings.cookie,
            keeper.new_session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=settings.secure,
        )
        return answer

    @pages.post("/sign-out")
    def sign_out() -> Response:
        answer = RedirectResponse(SIGN_IN, 303)
        answer.delete_cookie(settings.cookie, httponly=True, samesite="strict", secure=settings.secure)
        return answer

    return pages


def local_path(asked: str) -> str:
    """Give a path on this service to go on to; "/" for whatever would lead elsewhere."""
    # Browsers read a backslash as a slash and leave control characters out, and two slashes name another host.
    if not asked.startswith("/") or asked[1:2] in ("/", "\\") or not asked.isprintable() or "\\" in asked:
        return "/"
    return asked
