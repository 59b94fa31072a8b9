"""The page `/brands`: what is listened for, and a form to change it with what its query would find beside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from domain.brand import BrandState, version_of
from domain.clock import Clock
from domain.errors import ConfigError, ServiceError
from domain.query.ast import Everything, Keyword, Node
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
    """What the form holds. `brand_id` names the brand that is edited, "" for a new one; `version` as it was read."""

    brand_id: str = ""
    name: str = ""
    query: str = ""
    handles: str = ""
    competitors: str = ""
    version: str = ""


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
        version: Annotated[str, Query(max_length=64)] = "",
        done: Annotated[str, Query(max_length=16)] = "",
    ) -> HTMLResponse:
        if edit:
            state, problem = _editable(desk, store, edit)
            if state is None or problem is not None:
                # What can only be copied is shown as a new one, with what was typed.
                draft = Draft("", name, (query or "").strip(), handles, competitors)
                if query is None and state is not None:
                    draft = replace(_draft_of(state), brand_id="", version="", name=f"{state.brand.name} (copy)")
                return page(draft, problem=problem, status=404 if state is None else 200)
            if query is None:
                return page(_draft_of(state), done=done)
        return page(Draft(edit, name, (query or "").strip(), handles, competitors, version), done=done)

    @pages.post("/brands")
    async def send(request: Request) -> Response:
        sent = await read_form(request)
        return await run_in_threadpool(_send, desk, page, sent)

    return pages


def _send(desk: BrandDesk, page: Any, sent: Mapping[str, str]) -> Response:
    act, brand_id = sent.get("act", ""), sent.get("brand_id", "")
    names = ("brand_id", "name", "query", "handles", "competitors", "version")
    draft = Draft(*(sent.get(name, "").strip() for name in names))
    try:
        if act == "rematch":
            rematch(desk, brand_id)
        elif act in ("add", "edit"):
            values = {
                "name": draft.name,
                "query": draft.query,
                "handles": _words(draft.handles),
                "competitors": _words(draft.competitors),
                "version": draft.version,
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
        if act == "edit":
            shown, problem = _again(desk, draft, problem)
        answer: Response = page(shown, problem=problem, status=status)
        return answer
    # What was saved is shown with what it finds, and with what the linter says of it.
    told = {"done": act} | ({"edit": brand_id} if act in ("add", "edit") else {})
    return RedirectResponse(f"/brands?{urlencode(told)}#brands", 303)


def _editable(desk: BrandDesk, store: Store, brand_id: str) -> tuple[BrandState | None, Problem | None]:
    """Give the brand that the form is to change, and what stands in the way: it is the file's, or not there."""
    for state in desk.states():
        if state.brand.brand_id == brand_id:
            if not state.file:
                return state, None
            found, hint = (
                f"a brand of {state.file}",
                "it is changed there, and can be paused here; what stands below is a copy",
            )
            return state, Problem(code="brand_of_file", found=found, expected="one that was made here", hint=hint)
    mentions = count_by_brand(store, Keyword("brand_id", brand_id)).measures.mentions
    found = f"no brand {brand_id[:64]!a} any more" if mentions else f"no brand {brand_id[:64]!a}"
    kept = f"it was removed; its {mentions:,} mentions stay. Listening for it begins anew below" if mentions else ""
    hint = kept or "it may have been removed; all that are there stand below"
    return None, Problem(code="no_such_brand", found=found, expected="one of those below", hint=hint)


def _again(desk: BrandDesk, draft: Draft, problem: Problem) -> tuple[Draft, Problem]:
    """Give the form and the problem of an edit that was refused, so that Save does what is then said."""
    if problem.code == "brand_changed":
        now = version_of(brand_of(desk, draft.brand_id).brand)
        hint = "what you typed is kept below; Save puts it in place of that"
        return replace(draft, version=now), problem.model_copy(update={"hint": hint})
    if problem.code == "no_such_brand":
        hint = "it was removed meanwhile; what you typed is kept below, and can be listened for anew"
        return replace(draft, brand_id="", version=""), problem.model_copy(update={"hint": hint})
    return draft, problem


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text) if word]


def _draft_of(state: BrandState) -> Draft:
    brand = state.brand
    handles, competitors = ", ".join(brand.handles), ", ".join(brand.competitors)
    return Draft(brand.brand_id, brand.name, brand.query, handles, competitors, version_of(brand))


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
