"""Counts of what is watched, over the real store: they are what the store holds, and they mend themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fakes.mentions import START, many_mentions, mention, retraction

from alerts.counting import CountBook
from alerts.rule import Rule, Watch, watches
from alerts.series import Series, empty
from domain import ids
from domain.clock import to_ms
from domain.query.parser import parse
from domain.records import Mention
from search.embedded import EmbeddedStore
from search.sqlite_documents import SqliteDocuments
from service.alert_mentions import StoreMentions

END = START + timedelta(days=6)
LATE = Rule(rule_id="late", query="late OR delay")
ALL = Rule(rule_id="all")
NAMES = {"acme": "Acme", "globex": "Globex", "initech": "Initech"}


class World:
    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedStore.open(folder / "store")
        self.documents = SqliteDocuments.open(folder / "alerts.db")
        self.watches = watches((ALL, LATE), NAMES, {LATE.query: parse(LATE.query)})
        self.book = self.fresh()

    def fresh(self) -> CountBook:
        """Begin as after a restart."""
        return CountBook(StoreMentions(self.store), self.documents)

    def write(self, *mentions: Mention) -> None:
        self.store.write(mentions)
        self.store.refresh()

    def refresh(self, book: CountBook | None = None) -> int:
        return (book or self.book).refresh(self.watches, START, END)

    def close(self) -> None:
        self.store.close()
        self.documents.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as made:
        yield made


def expected(mentions: list[Mention], watch: Watch) -> Series:
    """Count one by one, with none of the code under test."""
    series = empty(to_ms(START), to_ms(END))
    for one in mentions:
        at = one.published_at or one.collected_at
        if one.brand_id != watch.brand_id or not START <= at < END:
            continue
        if watch.rule.query and not ({"late", "delay"} & set(one.tokens.split())):
            continue
        place = series.place(to_ms(at))
        series.mentions[place] += 1
        if one.sentiment_reliable and one.sentiment is not None:
            getattr(series, one.sentiment)[place] += 1
    return series


def same(found: Series, wanted: Series) -> bool:
    return all(
        (getattr(found, name) == getattr(wanted, name)).all()
        for name in ("mentions", "negative", "neutral", "positive")
    )


def agrees(world: World, mentions: list[Mention], book: CountBook | None = None) -> bool:
    counts = book or world.book
    return all(
        same(counts.series(watch.filter_id, to_ms(START), to_ms(END)), expected(mentions, watch))
        for watch in world.watches
    )


def test_counts_are_what_the_store_holds_dated_or_not(world: World) -> None:
    mentions = many_mentions(3000)
    world.write(*mentions)
    assert world.refresh() > 0
    assert agrees(world, mentions)


def test_only_hours_that_something_touched_are_counted_again(world: World) -> None:
    mentions = many_mentions(500)
    world.write(*mentions)
    world.refresh()
    assert world.refresh() == 0
    late = mention("late", "acme", text="so late again", published_at=START + timedelta(days=2, minutes=7))
    world.write(late)
    # The hour of one brand, for both filters that are of it.
    assert world.refresh() == 2
    assert agrees(world, [*mentions, late])


def test_edits_retractions_and_other_feelings_are_noticed(world: World) -> None:
    when = START + timedelta(days=1)
    feeling = {"sentiment_reliable": True, "published_at": when}
    angry = mention("1", sentiment="negative", sentiment_value=-1, sentiment_score=-0.9, **feeling)
    gone = mention("2", sentiment="negative", sentiment_value=-1, sentiment_score=-0.8, **feeling)
    world.write(angry, gone)
    world.refresh()
    mended = mention(
        "1", sentiment="positive", sentiment_value=1, sentiment_score=0.9, version=ids.version(2_000, 1), **feeling
    )
    world.store.write([mended, retraction(gone)])
    world.store.refresh()
    world.refresh()
    assert agrees(world, [mended])


def test_a_restart_counts_nothing_again_and_knows_the_same(world: World) -> None:
    mentions = many_mentions(800)
    world.write(*mentions)
    world.refresh()
    again = world.fresh()
    assert world.refresh(again) == 0
    assert agrees(world, mentions, again)


def test_counts_that_were_lost_are_made_again(world: World, tmp_path: Path) -> None:
    mentions = many_mentions(800)
    world.write(*mentions)
    world.refresh()
    world.documents.close()
    for file in tmp_path.glob("alerts.db*"):
        file.unlink()
    world.documents = SqliteDocuments.open(tmp_path / "alerts.db")
    again = world.fresh()
    assert world.refresh(again) > 0
    assert agrees(world, mentions, again)


def test_filters_that_are_the_same_are_one(world: World) -> None:
    rules = (ALL, Rule(rule_id="share", window_minutes=30), LATE, Rule(rule_id="late-too", query=" late OR delay "))
    found = watches(rules, NAMES, {rule.query: parse(rule.query) for rule in rules if rule.query})
    assert len({watch.filter_id for watch in found}) == 6


def test_what_was_filled_up_is_known_by_brand(world: World) -> None:
    when = START + timedelta(days=3, minutes=12)
    world.write(mention("1", backfilled=True, published_at=when), mention("2", "globex", published_at=when))
    world.refresh()
    start, end = to_ms(START), to_ms(END)
    assert world.book.backfilled("acme", start, end) == [to_ms(START + timedelta(days=3, minutes=10))]
    assert world.book.backfilled("globex", start, end) == []


def test_a_brand_is_listened_for_since_it_was_first_named_whatever_a_query_asks_for(world: World) -> None:
    world.refresh()
    assert world.book.first_ms("acme") is None
    moment: datetime = START + timedelta(days=1)
    world.write(mention("1", text="so kind", published_at=moment + timedelta(minutes=7)))
    world.refresh()
    late = next(watch.filter_id for watch in world.watches if watch.rule is LATE and watch.brand_id == "acme")
    assert world.book.first_ms("acme") == world.book.first_ms(late) == to_ms(moment)
