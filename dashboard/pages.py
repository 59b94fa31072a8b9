"""The pages `/` (search, facets, counts, results, books; the URL holds all of it) and `/pipeline` (sources, gaps)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import jinja2
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from alerts.book import AlertBook
from dashboard.alert_reading import AlertRow, rows_of
from dashboard.answers import Problem
from dashboard.books import StageBooks, StageInfo, read_books
from dashboard.brand_desk import BrandDesk
from dashboard.counting import Counts, Measures, count_by_brand
from dashboard.display import Excerpt, excerpt, relative
from dashboard.listening import RECENT, SHOWN, deaf_now, read_sources, strips, warn_of
from dashboard.notes import QueryNote, error_note, warning_note
from dashboard.problems import problem_of
from dashboard.question import SENTIMENT_CHOICES, Question, read_question, read_time
from dashboard.timeline import Timeline, marked, read_timeline
from domain.clock import Clock
from domain.errors import ConfigError
from domain.query.ast import And, Node, Words
from domain.query.lint import lint
from domain.records import Mention
from domain.safe_text import safe_link
from search.highlight import highlights
from search.listening import GapReport
from search.store import SearchPage, SearchRequest, Store
from stream.protocol import Log

PAGE = 25
# Gaps that stand open on the page, and those that it can unfold.
NEWEST_GAPS = 10
MOST_GAPS = 100
# Alerts that fire, named above the mentions; the page of alerts has all.
MOST_FIRING = 3
# A title is a line; what is longer is a text in the wrong field.
MAX_TITLE = 200
SENTIMENT_NAMES: Mapping[str, str] = {
    "negative": "Negative",
    "neutral": "Neutral",
    "positive": "Positive",
    "unreliable": "Not judged",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet: `address` toggles it."""

    value: str
    name: str
    count: int
    chosen: bool
    address: str


@dataclass(frozen=True, slots=True)
class Row:
    """One brand, or all, in the table of counts. `addresses` lead to the mentions behind each figure, by sentiment."""

    name: str
    measures: Measures
    address: str
    addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResultView:
    """One mention as it is shown."""

    mention: Mention
    label: str
    title: Excerpt | None
    text: Excerpt
    when: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Answers:
    """All that a question that can be read is answered with."""

    page: SearchPage
    results: tuple[ResultView, ...]
    rows: tuple[Row, ...]
    total: Row
    facets: Mapping[str, tuple[Choice, ...]]
    suggestion: str | None
    older: str | None


def build_pages(
    store: Store,
    log: Log,
    desk: BrandDesk,
    stages: Sequence[StageInfo],
    templates: jinja2.Environment,
    clock: Clock,
    enabled: Sequence[str] | None = None,
    book: AlertBook | None = None,
) -> APIRouter:
    """Make the routes of the pages.

    `enabled` are the live sources that are to be listened to; `book` holds alerts, None where there are none.
    """
    pages = APIRouter(include_in_schema=False)

    def listened_for() -> dict[str, str]:
        return {state.brand.brand_id: state.brand.name for state in desk.states()}

    @pages.get("/")
    def explore(asked: Annotated[Question, Depends(read_question)]) -> HTMLResponse:
        now = clock.now()
        books = read_books(log, stages)
        answers: Answers | None = None
        notes: tuple[QueryNote, ...] = ()
        problem: Problem | None = None
        status = 200
        deaf: tuple[GapReport, ...] = ()
        sources = read_sources(store, now, enabled)
        try:
            deaf = warn_of(_deaf(store, asked, now))
            notes = tuple(warning_note(asked.q, warning) for warning in lint(asked.q))
            answers = _answers(store, asked, listened_for(), clock)
        except ConfigError as error:
            status, problem = problem_of(error)
            if problem.position is not None:
                notes = (error_note(asked.q, problem),)
                problem = None
        return HTMLResponse(
            templates.get_template("explore.html").render(
                asked=asked,
                answers=answers,
                notes=notes,
                problem=problem,
                deaf=deaf,
                deaf_now=deaf_now(sources, now),
                sources=sources,
                firing=_firing(book, asked, now),
                timeline=None if answers is None else _timeline(store, asked, book),
                sentiments=SENTIMENT_NAMES,
                brands=list(listened_for()),
                **books_context(books, store),
            ),
            status_code=status,
        )

    @pages.get("/pipeline")
    def pipeline() -> HTMLResponse:
        now = clock.now()
        books = read_books(log, stages)
        gaps = store.gaps(now - SHOWN, now)
        newest = list(reversed(gaps))
        sources = read_sources(store, now, enabled)
        page = templates.get_template("pipeline.html").render(
            now=now,
            since=now - SHOWN,
            sources=sources,
            gaps=newest[:NEWEST_GAPS],
            older_gaps=newest[NEWEST_GAPS:MOST_GAPS],
            more_gaps=len(newest[MOST_GAPS:]),
            strips=strips(gaps, [one.report.source for one in sources], now - SHOWN, now),
            **books_context(books, store),
        )
        return HTMLResponse(page)

    return pages


def books_context(books: Sequence[StageBooks], store: Store) -> dict[str, object]:
    """Give what the head and the books of a page show."""
    return {
        "books": books,
        "waiting": sum(stage.waiting for stage in books),
        "balanced": all(stage.balanced for stage in books),
        "parked": sum(sum(stage.reasons.values()) for stage in books),
        "stored": store.count(),
    }


def _answers(store: Store, asked: Question, names: Mapping[str, str], clock: Clock) -> Answers:
    node, query = asked.node(), asked.query_node()
    page = store.search(SearchRequest(node, cursor=asked.cursor or None, limit=PAGE))
    counts = count_by_brand(store, node)
    by_brand = count_by_brand(store, asked.node(without="brand")) if asked.brands else counts
    by_sentiment = count_by_brand(store, asked.node(without="sentiment")) if asked.sentiments else counts
    now = clock.now()
    results = tuple(
        ResultView(
            mention,
            label=mention.sentiment if mention.sentiment and mention.sentiment_reliable else "unreliable",
            title=None if mention.title is None else _part(mention, query, "title", mention.title, MAX_TITLE),
            text=_part(mention, query, "text", mention.text),
            when=relative(mention.published_at or mention.collected_at, now),
            link=safe_link(mention.url),
        )
        for mention in page.mentions
    )
    rows = tuple(
        _row(names.get(str(group.key), str(group.key)), group.measures, asked.only(brand=str(group.key)))
        for group in counts.groups
    )
    return Answers(
        page=page,
        results=results,
        rows=rows,
        total=_row("All", counts.measures, asked),
        facets={
            "brand": _brand_choices(asked, by_brand, names),
            "sentiment": tuple(
                Choice(
                    value,
                    SENTIMENT_NAMES[value],
                    getattr(by_sentiment.measures, value),
                    value in asked.sentiments,
                    asked.toggled("sentiment", value).address(),
                )
                for value in SENTIMENT_CHOICES
            ),
        },
        suggestion=_any_of(asked, query) if page.total == 0 else None,
        older=replace(asked, cursor=page.next_cursor).address() if page.next_cursor else None,
    )


def _firing(book: AlertBook | None, asked: Question, now: datetime) -> tuple[AlertRow, ...]:
    """Give what fires of the brands asked for, the latest first; of all where none is chosen."""
    if book is None:
        return ()
    found = [
        alert
        for alert in book.current(now)
        if alert.resolved_at is None and alert.brand_id and (not asked.brands or alert.brand_id in asked.brands)
    ]
    return rows_of(found[::-1][:MOST_FIRING], book.silences(), now)


def _timeline(store: Store, asked: Question, book: AlertBook | None) -> Timeline | None:
    """Count what matches over time, with gaps and alerts on it."""
    found = read_timeline(store, asked, asked.node())
    if found is None:
        return None
    alerts = [] if book is None else book.between(found.start, found.end)
    wanted = [one for one in alerts if one.brand_id and (not asked.brands or one.brand_id in asked.brands)]
    return marked(found, store.gaps(found.start, found.end), wanted)


def _deaf(store: Store, asked: Question, now: datetime) -> Sequence[GapReport]:
    """Give the gaps in the time that is asked for; where no dates are chosen, those of the last day."""
    low, high = read_time("from", asked.since), read_time("to", asked.until, end=True)
    start = low or (now - RECENT if high is None else high - RECENT)
    return store.gaps(start, high or now) if start < (high or now) else ()


def _part(mention: Mention, query: Node, field: str, text: str, limit: int | None = None) -> Excerpt:
    matched = [span for span in highlights(query, mention) if span.field == field]
    named = [span for span in mention.spans if span.field == field]
    return excerpt(text, matched, named) if limit is None else excerpt(text, matched, named, limit)


def _row(name: str, measures: Measures, asked: Question) -> Row:
    return Row(
        name,
        measures,
        asked.address(),
        {sentiment: asked.only(sentiment=sentiment).address() for sentiment in SENTIMENT_CHOICES},
    )


def _brand_choices(asked: Question, counts: Counts, names: Mapping[str, str]) -> tuple[Choice, ...]:
    """Give every brand listened for, in its order, then brands that only the store or the question knows."""
    found = {str(group.key): group.measures.mentions for group in counts.groups}
    return tuple(
        Choice(
            brand_id,
            names.get(brand_id, brand_id),
            found.get(brand_id, 0),
            brand_id in asked.brands,
            asked.toggled("brand", brand_id).address(),
        )
        for brand_id in dict.fromkeys((*names, *found, *asked.brands))
    )


def _any_of(asked: Question, query: Node) -> str | None:
    """Propose a query that asks for any of the words, where all of them were asked for and none were found."""
    if not isinstance(query, And) or not all(isinstance(node, Words) for node in query.nodes):
        return None
    return " OR ".join(asked.q[node.place.start : node.place.end] for node in query.nodes)
