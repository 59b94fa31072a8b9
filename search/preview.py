"""What a query finds among the posts that are kept: how many, where, some of them, and those least like the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from domain.aggregation import Buckets, Distinct, DistinctResult, Terms
from domain.query.ast import And, Everything, Keyword, Node, Range
from domain.records import Mention
from search.store import MAX_PAGE, SearchRequest, Sort, Store

SHOWN = 20
# Few posts say nothing about what is usual.
LEAST_COMPARED = 10
UNLIKE = 5
MAX_SOURCES = 20
# Up to so many mentions both stores count posts one by one.
MOST_COUNTED = 20_000
# Four weeks even out weekdays.
MOST_DAYS = 28.0
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Unlike:
    """A post that is little like the others: `distance` is 1 less the average share of them that have its words."""

    mention: Mention
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a query finds among the posts that are kept, each counted once however many brands it names.

    `newest` and `compared` are of the newest posts. `lately` of them are of the `days` before `until`, the newest post
    of all, and `a_day` is that many by so many days; None where nothing has a date.
    """

    posts: int
    # The stores' own estimate, for so many.
    estimated: bool = False
    by_source: tuple[tuple[str, int], ...] = ()
    newest: tuple[Mention, ...] = ()
    compared: int = 0
    unlike: tuple[Unlike, ...] = ()
    a_day: float | None = None
    a_day_by_source: tuple[tuple[str, float], ...] = ()
    lately: int = 0
    days: float = 0.0
    until: datetime | None = None


def preview(store: Store, node: Node, *, shown: int = SHOWN) -> Preview:
    """Look at what a query finds. Of more than `MOST_COUNTED` mentions the counts are estimates of the store.

    Raises:
        RetryLater, BackendDown: the store cannot be read.
    """
    page = store.search(SearchRequest(node, limit=MAX_PAGE))
    posts = _once(page.mentions)
    if not posts:
        return Preview(posts=0)
    by_source = _by_source(store, node)
    dates = And((Everything(), Range("published_at", None, None)))
    ends = [store.search(SearchRequest(dates, sort=sort, limit=1)).mentions for sort in (Sort.OLDEST, Sort.NEWEST)]
    first, until = (found[0].published_at if found else None for found in ends)
    days, lately = 0.0, 0
    daily: tuple[tuple[str, float], ...] = ()
    if first is not None and until is not None:
        span = min(max(until - first, _DAY), MOST_DAYS * _DAY)
        days = span / _DAY
        counts = _by_source(store, And((node, Range("published_at", until - span, None))))
        lately = sum(number for _, number in counts)
        daily = tuple((source, number / days) for source, number in counts)
    return Preview(
        posts=_posts(store, node),
        estimated=page.total > MOST_COUNTED,
        by_source=by_source,
        newest=tuple(posts[:shown]),
        compared=len(posts),
        unlike=least_like(posts),
        a_day=lately / days if days else None,
        a_day_by_source=daily,
        lately=lately,
        days=days,
        until=until,
    )


def least_like(mentions: Sequence[Mention]) -> tuple[Unlike, ...]:
    """Give the posts least like the rest, the strangest first; none where there are too few to compare."""
    words = [frozenset(mention.words or mention.tokens.split()) for mention in mentions]
    if len(words) < LEAST_COMPARED:
        return ()
    others = len(words) - 1
    having = Counter(word for one in words for word in one)
    found = [
        Unlike(mention, 1.0 - sum(having[word] - 1 for word in one) / (len(one) * others))
        for mention, one in zip(mentions, words, strict=True)
        if one
    ]
    return tuple(sorted(found, key=lambda one: (-one.distance, one.mention.mention_id))[:UNLIKE])


def _once(mentions: Sequence[Mention]) -> list[Mention]:
    first: dict[str, Mention] = {}
    for mention in mentions:
        first.setdefault(mention.post_id, mention)
    return list(first.values())


def _posts(store: Store, node: Node) -> int:
    return cast(DistinctResult, store.aggregate(node, {"posts": Distinct("post_id")})["posts"]).count


def _by_source(store: Store, node: Node) -> tuple[tuple[str, int], ...]:
    sources = cast(Buckets, store.aggregate(node, {"by": Terms("source", MAX_SOURCES)})["by"]).buckets
    counts = [(str(row.key), _posts(store, And((node, Keyword("source", str(row.key)))))) for row in sources]
    return tuple(sorted(counts, key=lambda pair: (-pair[1], pair[0])))
