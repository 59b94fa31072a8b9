"""The JSON API of brands: what is listened for, changing it, and what a query would find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from dashboard.answers import ErrorAnswer, Problem, WarningAnswer
from dashboard.api import mention_answer, query_warnings
from dashboard.brand_answers import (
    BrandAnswer,
    BrandChangeBody,
    BrandsAnswer,
    ChangedBrandAnswer,
    NewBrandBody,
    PreviewAnswer,
    RematchAnswer,
    RematchAskedAnswer,
    RemovedBrandAnswer,
    SourcePreviewAnswer,
    UnlikeAnswer,
)
from dashboard.brand_changes import brand_of, change, rematch
from dashboard.brand_desk import BrandDesk
from dashboard.counting import count_by_brand
from dashboard.question import BadParameter, check_length
from domain.brand import BrandState
from domain.errors import ConfigError
from domain.query.anchors import anchors, check_live
from domain.query.ast import Everything, Keyword, Node
from domain.query.parser import parse
from search.preview import preview
from search.store import Store

BrandId = Annotated[str, Path(description="id of the brand")]


def build_brand_api(store: Store, desk: BrandDesk) -> APIRouter:
    """Make the routes of brands under `/api`."""
    refused: dict[int | str, dict[str, Any]] = {status: {"model": ErrorAnswer} for status in (400, 404, 409, 422, 503)}
    api = APIRouter(prefix="/api", tags=["api"])

    def changed(brand_id: str) -> ChangedBrandAnswer:
        state = brand_of(desk, brand_id)
        mentions = count_by_brand(store, Keyword("brand_id", brand_id)).measures.mentions
        return ChangedBrandAnswer(
            brand=brand_answer(state, mentions, desk.rematches()), warnings=query_warnings(state.brand.query)
        )

    @api.get("/brands", summary="The brands that are listened for")
    def get_brands() -> BrandsAnswer:
        mentions = {group.key: group.measures.mentions for group in count_by_brand(store, Everything()).groups}
        done = desk.rematches()
        return BrandsAnswer(
            brands=[brand_answer(one, mentions.get(one.brand.brand_id, 0), done) for one in desk.states()]
        )

    @api.post("/brands", status_code=201, responses=refused, summary="Listen for a brand, from now on")
    def add_brand(body: NewBrandBody) -> ChangedBrandAnswer:
        return changed(str(change(desk, "add", values=body.model_dump())["brand_id"]))

    @api.patch("/brands/{brand_id}", responses=refused, summary="Change, pause or resume a brand")
    def change_brand(brand_id: BrandId, body: BrandChangeBody) -> ChangedBrandAnswer:
        brand_of(desk, brand_id)
        values = body.model_dump(exclude_none=True)
        paused = values.pop("paused", None)
        if values:
            change(desk, "edit", brand_id, values)
        if paused is not None:
            change(desk, "pause" if paused else "resume", brand_id)
        return changed(brand_id)

    @api.delete("/brands/{brand_id}", responses=refused, summary="No longer listen for a brand; its mentions stay")
    def remove_brand(brand_id: BrandId) -> RemovedBrandAnswer:
        change(desk, "remove", brand_id)
        return RemovedBrandAnswer(removed=brand_id)

    @api.post(
        "/brands/{brand_id}/rematch",
        status_code=202,
        responses=refused,
        summary="Hold the posts that are kept against the query of a brand",
    )
    def rematch_brand(brand_id: BrandId) -> RematchAskedAnswer:
        rematch(desk, brand_id)
        return RematchAskedAnswer(brand_id=brand_id)

    @api.get("/preview", responses=refused, summary="What a query finds among the posts that are kept")
    def get_preview(q: Annotated[str, Query(description="the query")] = "") -> PreviewAnswer:
        return preview_answer(store, desk, q)

    return api


def brand_answer(state: BrandState, mentions: int, rematches: Mapping[str, Mapping[str, Any]]) -> BrandAnswer:
    """Tell a brand."""
    brand, now = state.brand, rematches.get(state.brand.brand_id)
    return BrandAnswer(
        brand_id=brand.brand_id,
        name=brand.name,
        query=brand.query,
        query_revision=brand.query_revision,
        handles=list(brand.handles),
        competitors=list(brand.competitors),
        mentions=mentions,
        paused=state.paused,
        file=state.file,
        rematch=None if now is None else RematchAnswer(**{name: now[name] for name in RematchAnswer.model_fields}),
    )


def preview_answer(store: Store, desk: BrandDesk, q: str) -> PreviewAnswer:
    """Tell what a query finds.

    Raises:
        QueryError, BadParameter: it cannot be read, or is too long.
        RetryLater, BackendDown: the store cannot be read.
    """
    if not q.strip():
        raise BadParameter(
            Problem(code="bad_query", parameter="q", found="an empty query", expected="words", position=0)
        )
    node = parse(check_length(q))
    found = preview(store, node)
    daily, costs = dict(found.a_day_by_source), desk.prices()
    problem = brand_query_problem(node)
    warnings: list[WarningAnswer] = query_warnings(q)
    return PreviewAnswer(
        posts=found.posts,
        estimated=found.estimated,
        sources=[
            SourcePreviewAnswer(
                source=source,
                posts=posts,
                a_day=daily.get(source, 0.0) if found.days else None,
                cost_a_day=daily.get(source, 0.0) * costs[source][0] if source in costs and found.days else None,
                currency=costs[source][1] if source in costs else "",
            )
            for source, posts in found.by_source
        ],
        a_day=found.a_day,
        lately=found.lately,
        days=found.days,
        until=found.until,
        newest=[mention_answer(mention, node) for mention in found.newest],
        compared=found.compared,
        unlike=[UnlikeAnswer(distance=one.distance, mention=mention_answer(one.mention, node)) for one in found.unlike],
        usable=not problem,
        problem=problem,
        warnings=warnings,
    )


def brand_query_problem(node: Node) -> str:
    """Say why a query cannot be a brand's; "" where it can."""
    problems: list[str] = []
    for check in (check_live, anchors):
        try:
            check(node)
        except ConfigError as exc:
            problems += exc.problems
    return "; ".join(problems)
