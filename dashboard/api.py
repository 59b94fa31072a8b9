"""The JSON API: mentions, counts, books, sources and their gaps, and a check of a query. It only reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query

from dashboard.answers import (
    BooksAnswer,
    CountsAnswer,
    ErrorAnswer,
    GapAnswer,
    GapsAnswer,
    GroupAnswer,
    MeasuresAnswer,
    MentionAnswer,
    MentionsAnswer,
    MomentAnswer,
    Problem,
    QueryCheckAnswer,
    RetractionAnswer,
    RetractionsAnswer,
    RunAnswer,
    SourceAnswer,
    SourcesAnswer,
    SpanAnswer,
    StageAnswer,
    WarningAnswer,
)
from dashboard.books import StageBooks, StageInfo, read_books
from dashboard.counting import FACETS, MAX_GROUPS, Measures, count
from dashboard.listening import SHOWN
from dashboard.problems import NotFound, query_problem
from dashboard.question import BadParameter, Question, check_length, read_question, read_time
from domain.clock import Clock
from domain.errors import QueryError
from domain.fields import find_field
from domain.query.ast import Everything, Node
from domain.query.lint import lint
from domain.records import Mention, Outcome, Span
from domain.safe_text import safe_link
from search.highlight import highlights
from search.retractions import MAX_ROWS, NOT_RECALLED
from search.store import MAX_PAGE, SearchRequest, Store
from stream.protocol import Log

Asked = Annotated[Question, Depends(read_question)]


def build_api(store: Store, log: Log, stages: Sequence[StageInfo], clock: Clock) -> APIRouter:
    """Make the routes under `/api`."""
    refused: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 422)}
    api = APIRouter(prefix="/api", tags=["api"])

    @api.get("/mentions", responses=refused, summary="Mentions that match, newest first")
    def get_mentions(
        asked: Asked, limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="mentions on a page")] = 50
    ) -> MentionsAnswer:
        query = asked.query_node()
        page = store.search(SearchRequest(asked.node(), cursor=asked.cursor or None, limit=limit))
        return MentionsAnswer(
            total=page.total,
            mentions=[mention_answer(mention, query) for mention in page.mentions],
            next_cursor=page.next_cursor,
            warnings=query_warnings(asked.q),
        )

    @api.get(
        "/mentions/{mention_id}", responses={404: {"model": ErrorAnswer}, **refused}, summary="One mention, by its id"
    )
    def get_mention(mention_id: Annotated[str, Path(description="as in /api/mentions")]) -> MentionAnswer:
        mention = store.get(mention_id)
        if mention is None:
            raise NotFound(
                Problem(
                    code="no_such_mention",
                    parameter="mention_id",
                    found=repr(mention_id[:100]),
                    expected="the id of a stored mention",
                    hint="it may have been retracted; search for it with /api/mentions",
                )
            )
        return mention_answer(mention, Everything())

    @api.get("/counts", responses=refused, summary="How many mentions match, by field and over time")
    def get_counts(
        asked: Asked,
        by: Annotated[str, Query(description="field to group by: " + ", ".join(FACETS))] = "",
        interval: Annotated[Literal["hour", "day"] | None, Query(description="adds a timeline, in UTC")] = None,
        size: Annotated[int, Query(ge=1, le=MAX_GROUPS, description="groups listed, most frequent first")] = 10,
    ) -> CountsAnswer:
        field = _facet(by)
        counts = count(store, asked.node(), by=field, size=size, interval=interval)
        return CountsAnswer(
            measures=measures_answer(counts.measures),
            by=field,
            groups=[
                GroupAnswer(key=group.key, measures=measures_answer(group.measures), timeline=_timeline(group.moments))
                for group in counts.groups
            ],
            other=counts.other,
            interval=interval,
            timeline=_timeline(counts.moments),
            warnings=query_warnings(asked.q),
        )

    @api.get("/books", summary="What became of every record, stage by stage")
    def get_books() -> BooksAnswer:
        books = read_books(log, stages)
        return BooksAnswer(
            stages=[_stage_answer(stage) for stage in books],
            waiting=sum(stage.waiting for stage in books),
            mentions=store.count(),
        )

    @api.get("/sources", summary="How each live source fares")
    def get_sources() -> SourcesAnswer:
        now = clock.now()
        return SourcesAnswer(
            sources=[
                SourceAnswer(stale=one.is_stale(now), behind_seconds=one.behind_seconds, **asdict(one))
                for one in store.sources()
            ]
        )

    @api.get("/gaps", responses=refused, summary="When sources did not listen")
    def get_gaps(
        since: Annotated[str, Query(alias="from", description="a date or time; seven days ago by default")] = "",
        until: Annotated[str, Query(alias="to", description="a date, included, or a time; now by default")] = "",
    ) -> GapsAnswer:
        end = read_time("to", until, end=True) or clock.now()
        start = read_time("from", since) or end - SHOWN
        found = store.gaps(start, end) if start < end else ()
        return GapsAnswer(gaps=[GapAnswer(**asdict(gap)) for gap in found])

    @api.get("/retractions", summary="What was retracted, who asked for it, and when it was done")
    def get_retractions(
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="rows, the last one first")] = 50,
    ) -> RetractionsAnswer:
        return RetractionsAnswer(
            retractions=[
                RetractionAnswer(
                    subject=row.subject,
                    id=row.key,
                    source=row.source,
                    reason=row.reason,
                    asked_by=row.asked_by,
                    asked_at=row.asked_at,
                    done_at=row.done_at,
                    mentions=row.mentions,
                )
                for row in store.retractions(limit)
            ],
            note=NOT_RECALLED,
        )

    @api.get("/query/check", responses=refused, summary="Whether a query can be read, and what is odd about it")
    def check_query(q: Annotated[str, Query(description="the query")] = "") -> QueryCheckAnswer:
        try:
            return QueryCheckAnswer(ok=True, error=None, warnings=query_warnings(check_length(q)))
        except QueryError as error:
            return QueryCheckAnswer(ok=False, error=query_problem(error), warnings=[])

    return api


def query_warnings(q: str) -> list[WarningAnswer]:
    """Say what is odd about a query that can be read; nothing about an empty one.

    Raises:
        QueryError: it cannot be read.
    """
    return [WarningAnswer(message=warning.message, position=warning.position) for warning in lint(q)]


def _facet(by: str) -> str | None:
    """Give the field that `by` names, or None for "".

    Raises:
        BadParameter: it names none that can be counted by value.
    """
    if not by:
        return None
    field = find_field(by)
    if field is None or not field.facet:
        raise BadParameter(
            Problem(code="bad_choice", parameter="by", found=repr(by[:100]), expected="one of " + ", ".join(FACETS))
        )
    return field.name


def _spans(spans: Iterable[Span]) -> list[SpanAnswer]:
    return [SpanAnswer(start=span.start, end=span.end, field=span.field) for span in spans]


def mention_answer(mention: Mention, query: Node) -> MentionAnswer:
    """Tell a mention, with what the query matched in it."""
    return MentionAnswer(
        mention_id=mention.mention_id,
        post_id=mention.post_id,
        brand_id=mention.brand_id,
        brand=mention.brand,
        source=mention.source,
        kind=mention.kind,
        title=mention.title,
        text=mention.text,
        url=safe_link(mention.url),
        lang=mention.lang,
        author_handle=mention.author_handle,
        author_name=mention.author_name,
        author_followers=mention.author_followers,
        published_at=mention.published_at,
        edited_at=mention.edited_at,
        collected_at=mention.collected_at,
        sentiment=mention.sentiment,
        sentiment_score=mention.sentiment_score,
        sentiment_expected=mention.sentiment_expected,
        sentiment_reliable=mention.sentiment_reliable,
        p_negative=mention.p_negative,
        p_neutral=mention.p_neutral,
        p_positive=mention.p_positive,
        model=mention.model,
        hashtags=list(mention.hashtags),
        likes=mention.likes,
        reposts=mention.reposts,
        replies=mention.replies,
        views=mention.views,
        engagement_at=mention.engagement_at,
        named=_spans(mention.spans),
        matched=_spans(highlights(query, mention)),
    )


def measures_answer(measures: Measures) -> MeasuresAnswer:
    """Tell counts with net sentiment."""
    net = measures.net()
    return MeasuresAnswer(
        mentions=measures.mentions,
        negative=measures.negative,
        neutral=measures.neutral,
        positive=measures.positive,
        unreliable=measures.unreliable,
        net=None if net is None else net.value,
        net_low=None if net is None else net.low,
        net_high=None if net is None else net.high,
        too_few=measures.too_few,
    )


def _timeline(moments: Iterable[tuple[datetime, Measures]] | None) -> list[MomentAnswer] | None:
    if moments is None:
        return None
    return [MomentAnswer(start=start, measures=measures_answer(measures)) for start, measures in moments]


def _stage_answer(books: StageBooks) -> StageAnswer:
    return StageAnswer(
        stage=books.info.name,
        entered=books.entered,
        ok=books.outcomes[Outcome.OK],
        duplicate=books.outcomes[Outcome.DUPLICATE],
        filtered=books.outcomes[Outcome.FILTERED],
        parked=books.outcomes[Outcome.PARKED],
        retried=books.outcomes[Outcome.RETRIED],
        waiting=books.waiting,
        balanced=books.balanced,
        dead_letters=dict(books.reasons),
        runs=[RunAnswer(run=run, outcomes=dict(outcomes)) for run, outcomes in sorted(books.runs.items())],
    )
