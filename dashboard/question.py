"""What a page or an API call asks: query, filters and place, all of it in the URL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from dashboard.answers import Problem
from domain.errors import ServiceError
from domain.query.ast import And, Everything, Flag, Keyword, Node, Or, Range
from domain.query.parser import MAX_QUERY, parse
from domain.records import SENTIMENTS

MAX_FILTERS = 100
# Mentions in a language without a model: their label is a guess, so they are a choice of their own.
UNRELIABLE = "unreliable"
SENTIMENT_CHOICES: tuple[str, ...] = (*SENTIMENTS, UNRELIABLE)


class BadParameter(ServiceError):
    """A parameter of a request cannot be used."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.parameter}: found {problem.found}, expected {problem.expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. `since` and `until` stay as they were typed; empty means open."""

    q: str = ""
    brands: tuple[str, ...] = ()
    sentiments: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    cursor: str = ""

    def query_node(self) -> Node:
        """Give the tree of the query alone.

        Raises:
            QueryError: it cannot be read.
        """
        return parse(self.q)

    def node(self, *, without: str = "") -> Node:
        """Give the tree of the query and all filters, except those of the facet `without`.

        Raises:
            QueryError: the query cannot be read.
            BadParameter: a time cannot be read.
        """
        nodes: list[Node] = [self.query_node()]
        if self.brands and without != "brand":
            nodes.append(Or(tuple(Keyword("brand_id", brand) for brand in self.brands)))
        if self.sentiments and without != "sentiment":
            nodes.append(Or(tuple(_sentiment_node(sentiment) for sentiment in self.sentiments)))
        low, high = read_time("from", self.since), read_time("to", self.until, end=True)
        if low is not None or high is not None:
            nodes.append(Range("published_at", low, high, include_high=False))
        nodes = [node for node in nodes if not isinstance(node, Everything)]
        return And(tuple(nodes)) if len(nodes) > 1 else nodes[0] if nodes else Everything()

    def toggled(self, facet: str, value: str) -> Question:
        """Give this question with one value of a facet chosen, or no longer chosen; from the first page on."""
        chosen = self.brands if facet == "brand" else self.sentiments
        changed = tuple(one for one in chosen if one != value) if value in chosen else (*chosen, value)
        return self._with(facet, changed)

    def only(self, **facets: str) -> Question:
        """Give this question with exactly one value in each facet named; from the first page on."""
        question = self
        for facet, value in facets.items():
            question = question._with(facet, (value,))
        return question

    def _with(self, facet: str, values: tuple[str, ...]) -> Question:
        if facet == "brand":
            return replace(self, brands=values, cursor="")
        return replace(self, sentiments=values, cursor="")

    def between(self, start: datetime, end: datetime) -> Question:
        """Give this question of `[start, end)`, UTC; from the first page on."""
        since, until = (f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in (start, end))
        return replace(self, since=since, until=until, cursor="")

    def newest(self) -> Question:
        """Give this question from its first page on."""
        return replace(self, cursor="")

    def asking(self, q: str) -> Question:
        """Give these filters with another query."""
        return replace(self, q=q, cursor="")

    def unfiltered(self) -> Question:
        """Give the query alone."""
        return Question(q=self.q)

    @property
    def filtered(self) -> bool:
        """Whether anything but the query narrows the answer."""
        return bool(self.brands or self.sentiments or self.since or self.until)

    def parameters(self) -> list[tuple[str, str]]:
        """Give the URL's parameters, in a fixed order; those that are open are left out."""
        pairs = [("q", self.q)]
        pairs += [("brand", brand) for brand in self.brands]
        pairs += [("sentiment", sentiment) for sentiment in self.sentiments]
        pairs += [("from", self.since), ("to", self.until), ("cursor", self.cursor)]
        return [(name, value) for name, value in pairs if value]

    def address(self, path: str = "/") -> str:
        """Give the path that asks this."""
        pairs = self.parameters()
        return f"{path}?{urlencode(pairs)}" if pairs else path


def _sentiment_node(sentiment: str) -> Node:
    if sentiment == UNRELIABLE:
        return Flag("sentiment_reliable", False)
    return And((Keyword("sentiment", sentiment), Flag("sentiment_reliable", True)))


def read_time(parameter: str, text: str, *, end: bool = False) -> datetime | None:
    """Read an ISO date or time; a time without zone is UTC. None for "".

    A date means its first moment, or with `end` the first moment of the next day.

    Raises:
        BadParameter: it is neither.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) == len("2026-10-06"):
            moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return moment + timedelta(days=1) if end else moment
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadParameter(
            Problem(
                code="bad_time",
                parameter=parameter,
                found=repr(text[:100]),
                expected="a date such as 2026-10-06, or a time such as 2026-10-06T14:30:00Z",
                hint="write a + in an address as %2B" if " " in text else "leave it out to set no limit",
            )
        ) from exc


def read_question(
    q: Annotated[str, Query(description="query; see docs/query-language.md. Empty matches all")] = "",
    brand: Annotated[list[str] | None, Query(description="brand id; repeat for several")] = None,
    sentiment: Annotated[
        list[str] | None, Query(description="negative, neutral, positive or unreliable; repeat for several")
    ] = None,
    since: Annotated[str, Query(alias="from", description="published at or after this date or time, UTC")] = "",
    until: Annotated[
        str, Query(alias="to", description="published before this time, or on or before this date, UTC")
    ] = "",
    cursor: Annotated[str, Query(description="`next_cursor` of the page before")] = "",
) -> Question:
    """Read the parameters that pages and API share.

    Raises:
        BadParameter: a parameter cannot be used. The query itself is not parsed here.
    """
    brands, sentiments = _chosen("brand", brand), _chosen("sentiment", sentiment)
    for choice in sentiments:
        if choice not in SENTIMENT_CHOICES:
            raise BadParameter(
                Problem(
                    code="bad_choice",
                    parameter="sentiment",
                    found=repr(choice[:100]),
                    expected="one of " + ", ".join(SENTIMENT_CHOICES),
                )
            )
    read_time("from", since)
    read_time("to", until)
    return Question(q=check_length(q), brands=brands, sentiments=sentiments, since=since, until=until, cursor=cursor)


def check_length(q: str) -> str:
    """Give the query back.

    Raises:
        BadParameter: it is longer than `MAX_QUERY` code points.
    """
    if len(q) > MAX_QUERY:
        raise BadParameter(
            Problem(
                code="query_too_long",
                parameter="q",
                found=f"{len(q):,} characters",
                expected=f"at most {MAX_QUERY:,}",
                hint="make it a brand in the configuration, or search for fewer alternatives",
            )
        )
    return q


def _chosen(parameter: str, values: list[str] | None) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(value for value in values or () if value))
    if len(chosen) > MAX_FILTERS:
        raise BadParameter(
            Problem(
                code="too_many_values",
                parameter=parameter,
                found=f"{len(chosen)} values",
                expected=f"at most {MAX_FILTERS}",
                hint="leave the filter out to see all",
            )
        )
    return chosen
