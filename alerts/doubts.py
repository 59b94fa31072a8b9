"""Whether what looks like a spike is one: who wrote it, how many stories it tells, whether the sources were heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from alerts.asking import Deaf, Mentions
from alerts.event_time import within
from alerts.records import Doubt, Reading
from alerts.rule import Metric, Rule, Watch
from domain.aggregation import Buckets, Distinct, DistinctResult, Result, Terms
from domain.query.ast import And, Flag, Keyword, Node

# Sources that a filter's mentions come from: more than are ever enabled.
_MAX_SOURCES: Final = 50


@dataclass(frozen=True, slots=True)
class Spread:
    """Over whom and what the mentions of a window are spread.

    `authors` counts each mention that names no author as one of its own; where some sources give ids of authors and
    others handles alone, it is rather too small than too large. `loudest_author` and
    `loudest_story` are the mentions of the one that has most; `sources` are mentions by source.
    """

    mentions: int
    authors: int
    stories: int
    loudest_author: int = 0
    loudest_story: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)


def counted(watch: Watch) -> Node:
    """Give the mentions that the watch's metric is about: the negative ones, except for volume."""
    if watch.rule.metric is Metric.VOLUME:
        return watch.node
    return And((watch.node, Flag("sentiment_reliable", True), Keyword("sentiment", "negative")))


def spread(mentions: Mentions, watch: Watch, start: datetime, end: datetime) -> Spread:
    """Ask over whom and what the mentions of a window are spread.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    answer = mentions.aggregate(
        within(counted(watch), start, end),
        {
            "source": Terms("source", _MAX_SOURCES),
            "author": Terms("author_id", 1),
            "authors": Distinct("author_id"),
            "handle": Terms("author_handle", 1),
            "handles": Distinct("author_handle"),
            "story": Terms("story_id", 1),
            "stories": Distinct("story_id"),
        },
    )
    sources = {str(row.key): row.count for row in _buckets(answer["source"]).buckets}
    total = sum(sources.values()) + _buckets(answer["source"]).other
    named, handled, told = (_total(answer[name]) for name in ("author", "handle", "story"))
    by_id, by_handle = _distinct(answer["authors"]) + total - named, _distinct(answer["handles"]) + total - handled
    return Spread(
        mentions=total,
        authors=min(by_id, by_handle),
        stories=_distinct(answer["stories"]) + total - told,
        loudest_author=max(_loudest(answer["author"]), _loudest(answer["handle"])),
        loudest_story=_loudest(answer["story"]),
        sources=sources,
    )


def doubts(
    rule: Rule, reading: Reading, found: Spread, deaf: Sequence[Deaf], usual: Sequence[str], *, backfilled: bool
) -> frozenset[Doubt]:
    """Give what speaks against a window that is a spike by its numbers.

    Args:
        rule: what asks for how much.
        reading: of the window.
        found: over whom and what it is spread.
        deaf: when sources were deaf, of what touches the window.
        usual: the sources that the filter's mentions come from as a rule.
        backfilled: whether some of it was filled up afterwards.

    Returns:
        Nothing, where it is a spike. One author or one story may be loud, but without it there must be a spike still:
        one bot, or an article that a hundred sites print, is none.
    """
    against = set()
    if found.mentions < rule.min_mentions:
        against.add(Doubt.FEW_MENTIONS)
    floor = _floor(rule, reading)
    # The loudest author counts as one mention, and so does the loudest story.
    if found.authors < rule.min_authors or found.mentions - found.loudest_author + 1 < floor:
        against.add(Doubt.FEW_AUTHORS)
    if found.stories < rule.min_stories or found.mentions - found.loudest_story + 1 < floor:
        against.add(Doubt.FEW_STORIES)
    heard = {*usual, *found.sources}
    if any(each.source in heard for each in deaf):
        against.add(Doubt.GAP)
    if backfilled:
        against.add(Doubt.BACKFILL)
    return frozenset(against)


def _floor(rule: Rule, reading: Reading) -> float:
    """Give how many mentions there must be still without the loudest: as many as the rule asks for of all."""
    if reading.metric in (Metric.VOLUME, Metric.NEGATIVE):
        return max(float(rule.min_mentions), rule.min_ratio * reading.expected)
    return float(rule.min_mentions)


def _buckets(result: Result) -> Buckets:
    return result if isinstance(result, Buckets) else Buckets(())


def _total(result: Result) -> int:
    buckets = _buckets(result)
    return sum(row.count for row in buckets.buckets) + buckets.other


def _loudest(result: Result) -> int:
    return max((row.count for row in _buckets(result).buckets), default=0)


def _distinct(result: Result) -> int:
    return result.count if isinstance(result, DistinctResult) else 0
