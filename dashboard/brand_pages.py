"""The page `/brands`: what is listened for, and a form to change it with what its query would find beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboard.answers import Problem
from dashboard.brand_api import brand_query_problem
from dashboard.brand_changes import brand_of, change, rematch
from dashboard.brand_desk import BrandDesk
from dashboard.counting import count_by_brand
from dashboard.display import Excerpt, excerpt, relative
from dashboard.forms import read_form
from dashboard.notes import QueryNote, error_note, warning_note
from dashboard.problems import NotFound, problem_of
from dashboard.question import Question, check_length
from domain.brand import BrandState
from domain.clock import Clock
from domain.errors import ConfigError, ServiceError
from domain.query.ast import Everything, Node
from domain.query.lint import lint
from domain.query.parser import parse
from domain.records import Mention
from domain.safe_text import safe_link
from search.highlight import highlights
from search.preview import Preview, preview
from search.store import Store

ACTS = ("add", "edit", "pause", "resume", "remove", "rematch")


@dataclass(frozen=True, slots=True)
class BrandRow:
    """One brand in the list; `address` leads to its mentions."""

    state: BrandState
    mentions: int
    address: str
    rematch: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form holds. `brand_id` names the brand that is edited, "" for a new one."""

    brand_id: str = ""
    name: str = ""
    query: str = ""
    handles: str = ""
    competitors: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One post that the query finds; `distance` is "" for one of the newest."""

    mention: Mention
    text: Excerpt
    when: str
    link: str | None
    distance: str = ""


@dataclass(frozen=True, slots=True)
class PreviewView:
    """What stands beside the form."""

    preview: Preview
    costs: tuple[tuple[str, float, str], ...]
    newest: tuple[Found, ...]
    unlike: tuple[Found, ...]
    unusable: str


def build_brand_pages(store: Store, desk: BrandDesk, templates: jinja2.Environment, clock: Clock) -> APIRouter:
    """Make the routes of the page."""
    pages = APIRouter(include_in_schema=False)

    def page(draft: Draft, *, done: str = "", problem: Problem | None = None, status: int = 200) -> HTMLResponse:
        view: PreviewView | None = None
        notes: tuple[QueryNote, ...] = ()
        try:
            if draft.query:
                node = parse(check_length(draft.query))
                notes = tuple(warning_note(draft.query, warning) for warning in lint(draft.query))
                view = _view(store, desk, node, clock)
        except ConfigError as error:
            found, told = problem_of(error)
            if told.position is not None:
                notes, problem = (error_note(draft.query, told),), None
                status = max(status, found)
        mentions = {str(group.key): group.measures.mentions for group in count_by_brand(store, Everything()).groups}
        return HTMLResponse(
            templates.get_template("brands.html").render(
                rows=_rows(desk, mentions),
                draft=draft,
                done=done,
                problem=problem,
                notes=notes,
                view=view,
            ),
            status_code=status,
        )

    @pages.get("/brands")
    def show(
        edit: Annotated[str, Query(max_length=64)] = "",
        name: Annotated[str, Query(max_length=400)] = "",
        query: Annotated[str | None, Query(max_length=8_000)] = None,
        handles: Annotated[str, Query(max_length=20_000)] = "",
        competitors: Annotated[str, Query(max_length=20_000)] = "",
        done: Annotated[str, Query(max_length=16)] = "",
    ) -> HTMLResponse:
        if query is None and edit:
            return page(_draft_of(brand_of(desk, edit)), done=done)
        return page(Draft(edit, name, (query or "").strip(), handles, competitors), done=done)

    @pages.post("/brands")
    async def send(request: Request) -> Response:
        sent = await read_form(request)
        return await run_in_threadpool(_send, desk, page, sent)

    return pages


def _send(desk: BrandDesk, page: Any, sent: Mapping[str, str]) -> Response:
    act, brand_id = sent.get("act", ""), sent.get("brand_id", "")
    draft = Draft(*(sent.get(name, "").strip() for name in ("brand_id", "name", "query", "handles", "competitors")))
    try:
        if act == "rematch":
            rematch(desk, brand_id)
        elif act in ("add", "edit"):
            values = {
                "name": draft.name,
                "query": draft.query,
                "handles": _words(draft.handles),
                "competitors": _words(draft.competitors),
            }
            brand_id = str(change(desk, act, brand_id, values)["brand_id"])
        elif act in ACTS:
            change(desk, act, brand_id)
        else:
            expected = "one of " + ", ".join(ACTS)
            raise NotFound(Problem(code="bad_choice", parameter="act", found=repr(act[:100]), expected=expected))
    except ServiceError as error:
        status, problem = problem_of(error)
        shown = draft if act in ("add", "edit") else Draft()
        answer: Response = page(shown, problem=problem, status=status)
        return answer
    # What was saved is shown with what it finds, and with what the linter says of it.
    told = {"done": act} | ({"edit": brand_id} if act in ("add", "edit") else {})
    return RedirectResponse(f"/brands?{urlencode(told)}#brands", 303)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text) if word]


def _draft_of(state: BrandState) -> Draft:
    brand = state.brand
    return Draft(brand.brand_id, brand.name, brand.query, ", ".join(brand.handles), ", ".join(brand.competitors))


def _rows(desk: BrandDesk, mentions: Mapping[str, int]) -> list[BrandRow]:
    done = desk.rematches()
    found = [(state.brand.brand_id, state) for state in desk.states()]
    return [
        BrandRow(state, mentions.get(name, 0), Question().only(brand=name).address(), done.get(name))
        for name, state in found
    ]


def _view(store: Store, desk: BrandDesk, node: Node, clock: Clock) -> PreviewView:
    found, now = preview(store, node), clock.now()
    daily = dict(found.a_day_by_source)

    def shown(mention: Mention, distance: str = "") -> Found:
        spans = [span for span in highlights(node, mention) if span.field == "text"]
        when = relative(mention.published_at or mention.collected_at, now)
        return Found(mention, excerpt(mention.text, spans, [], 280), when, safe_link(mention.url), distance)

    return PreviewView(
        preview=found,
        costs=tuple(
            (source, daily[source] * price, currency)
            for source, (price, currency) in desk.prices().items()
            if source in daily
        ),
        newest=tuple(shown(mention) for mention in found.newest),
        unlike=tuple(shown(one.mention, f"{one.distance:.2f}") for one in found.unlike),
        unusable=brand_query_problem(node),
    )
