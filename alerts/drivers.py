"""What drives a spike: the words and people that stand out against the brand's own past, and posts that show it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alerts.asking import Mentions
from alerts.doubts import counted
from alerts.event_time import within
from alerts.rule import Metric, Watch
from domain.aggregation import Aggregation, Buckets, Result, Terms
from domain.measures import StandingOut, standing_out
from domain.records import Mention

# What is usual of a brand's words: four weeks, so that each day of the week weighs the same.
BACKGROUND: Final = timedelta(days=28)
# More words than can stand out; of the past as many as a store counts in one answer without effort.
_WORDS_NOW, _WORDS_EVER = 200, 2_000
_AUTHORS_NOW, _AUTHORS_EVER = 50, 2_000
MAX_WORDS, MAX_AUTHORS, SAMPLES = 8, 5, 5
# The newest of a window among which samples are chosen: enough for every story that is loud.
_CANDIDATES: Final = 300
# An author with one mention drives nothing, however new he is.
_LEAST_BY_AUTHOR: Final = 2
# How much less a post is worth as a sample that repeats what a chosen one shows.
_SAME_STORY, _SAME_AUTHOR, _SAME_SOURCE = 8.0, 4.0, 0.5


@dataclass(frozen=True, slots=True)
class Drivers:
    """What stands out in a window. `authors` are handles; `sources` are mentions by source, the most first."""

    words: tuple[StandingOut, ...] = ()
    authors: tuple[StandingOut, ...] = ()
    sources: Mapping[str, int] = field(default_factory=dict)
    mentions: int = 0


def drivers(mentions: Mentions, watch: Watch, start: datetime, end: datetime) -> Drivers:
    """Ask what stands out of the mentions that a watch counts in `[start, end)`, against its last four weeks.

    Negative mentions are compared with all of the past: a word is news when people begin to complain with it, even
    where it was always there among the complaints.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    now = mentions.aggregate(within(counted(watch), start, end), _asked(_WORDS_NOW, _AUTHORS_NOW))
    ever = mentions.aggregate(within(watch.node, end - BACKGROUND, end), _asked(_WORDS_EVER, _AUTHORS_EVER))
    total, everything = _total(now["source"]), _total(ever["source"])
    own = {part for word in (watch.brand_id, watch.brand) for part in word.lower().replace("-", " ").split()}
    words = {word: count for word, count in _counts(now["word"]).items() if word.lower() not in own}
    authors = {name: count for name, count in _counts(now["author"]).items() if count >= _LEAST_BY_AUTHOR}
    return Drivers(
        words=tuple(_standing_out(words, total, ever["word"], everything, MAX_WORDS)),
        authors=tuple(_standing_out(authors, total, ever["author"], everything, MAX_AUTHORS)),
        sources=_counts(now["source"]),
        mentions=total,
    )


def samples(mentions: Mentions, watch: Watch, start: datetime, end: datetime, found: Drivers) -> list[Mention]:
    """Give up to five posts of a window that show what it is about, as different from each other as there are.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    return chosen(mentions.newest(within(counted(watch), start, end), _CANDIDATES), found, watch.rule.metric)


def chosen(candidates: Sequence[Mention], found: Drivers, metric: Metric) -> list[Mention]:
    """Choose samples: each time the one that adds most; the same for the same candidates, in any order.

    A post is worth the driving words that no chosen one shows, how sure its sentiment is, and a little for how many
    people saw it. One of a story, an author or a source that was chosen is worth less.
    """
    words = {each.word: 1.0 / (place + 1) for place, each in enumerate(found.words)}
    left = sorted(candidates, key=lambda mention: mention.mention_id)
    picked: list[Mention] = []
    while left and len(picked) < SAMPLES:
        shown = {word for mention in picked for word in mention.words}
        best = max(left, key=lambda mention: _worth(mention, words, shown, picked, metric))
        picked.append(best)
        left.remove(best)
    return picked


def _worth(
    mention: Mention, words: Mapping[str, float], shown: set[str], picked: Sequence[Mention], metric: Metric
) -> float:
    new = sum(weight for word, weight in words.items() if word in mention.words and word not in shown)
    sure = 0.0 if metric is Metric.VOLUME else mention.p_negative or 0.0
    reach = (mention.author_followers or 0) + 10 * sum(_engagement(mention))
    worth = 2.0 * new + sure + 0.1 * math.log1p(max(reach, 0))
    for other in picked:
        if _same(mention.story_id, other.story_id) or mention.text == other.text:
            worth -= _SAME_STORY
        if _same(mention.author_id, other.author_id) or _same(mention.author_handle, other.author_handle):
            worth -= _SAME_AUTHOR
        if mention.source == other.source:
            worth -= _SAME_SOURCE
    return worth


def _engagement(mention: Mention) -> Iterator[int]:
    yield from (count for count in (mention.likes, mention.reposts, mention.replies) if count is not None)


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _asked(words: int, authors: int) -> dict[str, Aggregation]:
    return {
        "word": Terms("words", words),
        "author": Terms("author_handle", authors),
        "source": Terms("source", 50),
    }


def _standing_out(
    counts: Mapping[str, int], total: int, background: Result, background_total: int, size: int
) -> list[StandingOut]:
    """Rank what stands out. The past's list is cut; what is not in it was as frequent as its last one at most."""
    ever = _counts(background)
    cut = isinstance(background, Buckets) and background.other > 0
    least = min(ever.values(), default=0) if cut else 0
    known = {name: min(max(ever.get(name, least), count), background_total) for name, count in counts.items()}
    if total > background_total:
        return []
    return standing_out(counts, total, known, background_total, size=size)


def _counts(result: Result) -> dict[str, int]:
    rows = result.buckets if isinstance(result, Buckets) else ()
    return {str(row.key): row.count for row in rows}


def _total(result: Result) -> int:
    return sum(_counts(result).values()) + (result.other if isinstance(result, Buckets) else 0)
