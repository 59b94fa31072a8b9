"""The evaluator over a real store: a crisis is told once, whoever looks, however often, whatever is cut off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.alert_world import ANN, CRISIS, MINUTE, AlertWorld, crisis, said, usual
from fakes.mentions import retraction

from alerts.backtest import backtest
from alerts.book import AlertBook
from alerts.lease import Lease
from alerts.outbox import Outbox
from alerts.records import Telling, WatchState
from alerts.rule import DEFAULT_RULES, Metric, Rule, Severity, watches
from alerts.silence import Silence
from domain.clock import to_ms
from domain.documents import Change, Document, Documents
from domain.errors import RetryLater
from domain.records import Event

HOUR = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path, quiet_weeks: Path) -> Iterator[AlertWorld]:
    folder = tmp_path / "world"
    shutil.copytree(quiet_weeks, folder)
    with closing(AlertWorld(folder)) as made:
        made.clock.set(CRISIS)
        yield made


def state(world: AlertWorld, brand: str = "acme", rule: str = "negative-spike") -> Mapping[str, object]:
    name = f"{rule}:{brand}"
    return world.documents.get("watch", [name])[name].body


def test_a_crisis_fires_within_minutes_is_told_once_and_resolves(world: AlertWorld) -> None:
    assert world.alerts() == []
    world.write(crisis())
    seen = world.minutes(CRISIS + MINUTE, CRISIS + 4 * HOUR)
    [alert] = world.alerts()
    assert (alert.brand_id, alert.rule_id) == ("acme", "negative-spike")
    assert alert.started_at <= CRISIS + 30 * MINUTE
    assert alert.reading.observed >= 10
    assert alert.authors is not None
    assert alert.authors >= 5
    assert alert.resolved_at is not None
    told = [message for _, messages in seen for message in messages]
    assert [message.telling for message in told] == [Telling.FIRING, Telling.RESOLVED]
    assert state(world)["state"] == WatchState.QUIET


def test_authors_and_stories_are_those_of_the_peak(world: AlertWorld) -> None:
    world.write(crisis())
    found = world.minutes(CRISIS, CRISIS + timedelta(hours=1))
    (began,) = [alert for minute, _ in found for alert in minute.began]
    (alert,) = world.alerts()
    assert (alert.peak_at > began.peak_at, alert.authors == began.authors) == (True, False)
    # Each mention of this world has an author and a story of its own.
    assert (alert.authors, alert.stories) == (alert.reading.mentions, alert.reading.mentions)
    end_ms = to_ms(CRISIS + timedelta(hours=1))
    (past,) = backtest(world.evaluator.judge, world.watches[0], to_ms(CRISIS), end_ms).alerts
    assert (past.peak_at, past.authors, past.stories) == (alert.peak_at, alert.authors, alert.stories)


def test_quiet_weeks_fire_nothing(world: AlertWorld) -> None:
    seen = world.minutes(CRISIS + MINUTE, CRISIS + HOUR)
    assert world.alerts() == []
    assert not any(messages for _, messages in seen)


def test_one_loud_author_is_no_crisis(world: AlertWorld) -> None:
    world.write(crisis(author_id="bot", author_handle="bot"))
    world.minutes(CRISIS + MINUTE, CRISIS + HOUR)
    assert world.alerts() == []
    assert state(world)["state"] == WatchState.SUPPRESSED
    assert "few_authors" in state(world)["doubts"]  # type: ignore[operator]


def test_a_loud_author_of_whom_only_the_handle_is_known_is_no_crisis_either(world: AlertWorld) -> None:
    world.write(crisis(author_id=None, author_handle="bot"))
    world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
    assert world.alerts() == []
    assert "few_authors" in state(world)["doubts"]  # type: ignore[operator]


def test_a_brand_that_was_first_heard_of_an_hour_ago_is_not_judged_and_says_so(tmp_path: Path) -> None:
    with closing(AlertWorld(tmp_path)) as world:
        world.write(list(usual(CRISIS - 2 * HOUR, 2 / 24)) + crisis())
        world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
        assert world.alerts() == []
        assert state(world)["state"] == WatchState.LEARNING


def test_nothing_that_is_told_lies_in_the_future(world: AlertWorld) -> None:
    world.write(crisis())
    at = CRISIS + 12 * MINUTE
    world.look(at)
    [alert] = world.alerts()
    assert max(alert.started_at, alert.peak_at, alert.reading.end) <= at


def test_one_syndicated_article_is_no_crisis(world: AlertWorld) -> None:
    world.write(crisis(story_id="one-story", signature=None))
    world.minutes(CRISIS + MINUTE, CRISIS + HOUR)
    assert world.alerts() == []
    assert "few_stories" in state(world)["doubts"]  # type: ignore[operator]


def test_what_was_filled_up_afterwards_never_fires(world: AlertWorld) -> None:
    world.write(crisis(backfilled=True))
    world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
    assert world.alerts() == []
    assert state(world)["state"] == WatchState.SUPPRESSED
    assert "backfill" in state(world)["doubts"]  # type: ignore[operator]
    world.minutes(CRISIS + 41 * MINUTE, CRISIS + 2 * HOUR)
    assert world.alerts() == []


def test_a_gap_of_the_brands_source_suppresses_and_says_so(world: AlertWorld) -> None:
    gap = {"start_ms": to_ms(CRISIS - 10 * MINUTE), "end_ms": to_ms(CRISIS + 5 * MINUTE), "reason": "cut off"}
    world.store.note([Event(kind="gap", source="x", at=CRISIS, detail=gap)])
    world.write(crisis())
    world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
    assert world.alerts() == []
    assert state(world)["state"] == WatchState.SUPPRESSED
    assert "gap" in state(world)["doubts"]  # type: ignore[operator]


def test_a_gap_of_a_source_that_says_nothing_of_the_brand_suppresses_nothing(world: AlertWorld) -> None:
    gap = {"start_ms": to_ms(CRISIS - 10 * MINUTE), "end_ms": to_ms(CRISIS + 5 * MINUTE), "reason": "cut off"}
    world.store.note([Event(kind="gap", source="rss", at=CRISIS, detail=gap)])
    world.write(crisis())
    world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
    assert len(world.alerts()) == 1


def test_nothing_is_judged_beyond_the_watermark(world: AlertWorld) -> None:
    world.write(crisis())
    world.clock.set(CRISIS + 30 * MINUTE)
    minute = world.evaluator.evaluate(world.watches, CRISIS)
    assert world.alerts() == []
    assert minute.states == {"delayed": 2}


def test_what_lagged_is_walked_through_when_it_is_there(world: AlertWorld) -> None:
    world.write(crisis())
    world.look(CRISIS + 50 * MINUTE)
    [alert] = world.alerts()
    assert alert.started_at <= CRISIS + 30 * MINUTE


def test_a_brand_of_which_nothing_was_ever_said_has_no_data(tmp_path: Path) -> None:
    with closing(AlertWorld(tmp_path)) as world:
        assert world.look(CRISIS).states == {"no_data": 2}


def test_a_retracted_crisis_does_not_fire(world: AlertWorld) -> None:
    mentions = crisis()
    world.write(mentions)
    world.store.write([retraction(one) for one in mentions])
    world.store.refresh()
    world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
    assert world.alerts() == []


def test_a_rule_with_a_query_sees_its_mentions_only(tmp_path: Path) -> None:
    lids = Rule(rule_id="lids", query="lid", metric=Metric.VOLUME)
    with closing(AlertWorld(tmp_path, (*DEFAULT_RULES, lids))) as world:
        world.history()
        world.look(CRISIS)
        world.write([replace(one, tokens="the lid leaks", text="the lid leaks") for one in crisis()])
        world.minutes(CRISIS + MINUTE, CRISIS + 40 * MINUTE)
        assert {alert.rule_id for alert in world.alerts()} == {"lids", "negative-spike"}
        lid = next(alert for alert in world.alerts() if alert.rule_id == "lids")
        # Two weeks in which nobody said the word are history.
        assert not lid.reading.little_history


def test_a_restart_neither_repeats_nor_forgets(world: AlertWorld) -> None:
    world.write(crisis())
    told = []
    at = CRISIS + MINUTE
    while at < CRISIS + 4 * HOUR:
        world.evaluator = world.fresh()
        world.look(at)
        told += world.tell()
        at += 7 * MINUTE
    assert len(world.alerts()) == 1
    assert [message.telling for message in told] == [Telling.FIRING, Telling.RESOLVED]


def test_two_evaluators_at_once_tell_nothing_twice(world: AlertWorld) -> None:
    other = world.fresh()
    world.write(crisis())
    told = []
    at = CRISIS + MINUTE
    while at < CRISIS + 4 * HOUR:
        world.look(at)
        world.look(at, other)
        told += [*world.tell(), *world.tell()]
        at += 5 * MINUTE
    assert len(world.alerts()) == 1
    assert [message.telling for message in told] == [Telling.FIRING, Telling.RESOLVED]
    assert len(Outbox(world.documents).entries()) == 2


class Cut:
    """Documents whose n-th change is cut off: before it is made, or after, with the answer lost."""

    def __init__(self, inner: Documents, at: int, *, made: bool) -> None:
        self._inner, self._left, self._made = inner, at, made

    def get(self, kind: str, doc_ids: Sequence[str]) -> Mapping[str, Document]:
        return self._inner.get(kind, doc_ids)

    def scan(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = 1000, descending: bool = False
    ) -> Sequence[Document]:
        return self._inner.scan(kind, prefix=prefix, after=after, limit=limit, descending=descending)

    def apply(self, changes: Sequence[Change]) -> None:
        self._left -= 1
        if self._left == 0:
            if self._made:
                self._inner.apply(changes)
            raise RetryLater("cut off", 0.0)
        self._inner.apply(changes)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 7))
def test_cut_off_at_any_change_it_comes_to_the_same(world: AlertWorld, at: int, made: bool) -> None:
    world.write(crisis())
    moment = CRISIS + 31 * MINUTE
    cut = Cut(world.documents, at, made=made)
    try:
        world.look(moment, world.fresh(cut))
        world.clock.set(moment + MINUTE)
        world.tell(cut)
    except RetryLater:
        pass
    world.evaluator = world.fresh()
    told = [*world.tell()]
    for minute in range(1, 5):
        world.look(moment + minute * MINUTE)
        told += world.tell()
    assert len(world.alerts()) == 1
    assert [entry.notification.telling for entry in Outbox(world.documents).entries()] == [Telling.FIRING]


def test_an_alert_ends_when_its_brand_is_watched_no_more(world: AlertWorld) -> None:
    world.write(crisis())
    world.look(CRISIS + 31 * MINUTE)
    assert world.alerts()[0].resolved_at is None
    world.watches = [watch for watch in world.watches if watch.brand_id != "acme"]
    world.look(CRISIS + 32 * MINUTE)
    assert world.alerts()[0].resolved_at is not None


def test_who_acknowledges_hears_no_repeat_and_marks_make_the_precision(world: AlertWorld) -> None:
    world.write(crisis())
    world.minutes(CRISIS + 30 * MINUTE, CRISIS + 33 * MINUTE)
    [alert] = world.alerts()
    book = AlertBook(world.documents)
    book.acknowledge(alert.alert_id, "ann", world.clock.now())
    seen = book.mark(alert.alert_id, "useful", "ann", world.clock.now())
    assert (seen.acknowledged_by, seen.mark) == ("ann", "useful")
    [precision] = book.precision(["negative-spike"], CRISIS - HOUR, CRISIS + HOUR)
    assert (precision.alerts, precision.useful, precision.share) == (1, 1, 1.0)


def test_what_is_silenced_is_on_the_page_and_in_no_message(world: AlertWorld) -> None:
    AlertBook(world.documents).silence(
        Silence(silence_id="s", start=CRISIS, end=CRISIS + 8 * HOUR, brands=("acme",), made_by="ann")
    )
    world.write(crisis())
    seen = world.minutes(CRISIS + MINUTE, CRISIS + 2 * HOUR)
    assert len(world.alerts()) == 1
    assert not any(messages for _, messages in seen)


def test_each_subscription_is_told_for_itself(world: AlertWorld) -> None:
    world.subscriptions = [
        ANN,
        replace(ANN, subscription_id="bob", severity=Severity.CRITICAL),
        replace(ANN, subscription_id="eve", brands=("globex",)),
    ]
    world.write(crisis())
    told = [m for _, messages in world.minutes(CRISIS + MINUTE, CRISIS + HOUR) for m in messages]
    assert {message.subscription for message in told} == {"ann", "bob"}


def test_of_two_holders_one_has_the_lease_until_its_time_is_over(world: AlertWorld) -> None:
    one, other = Lease(world.documents, "evaluator", "a"), Lease(world.documents, "evaluator", "b")
    now = CRISIS
    assert one.take(now)
    assert not other.take(now + timedelta(seconds=60))
    assert one.take(now + timedelta(seconds=60))
    assert not other.take(now + timedelta(seconds=120))
    assert other.take(now + timedelta(seconds=200))
    assert not one.take(now + timedelta(seconds=201))
    other.release()
    assert one.take(now + timedelta(seconds=202))


def test_a_new_rule_is_watched_from_now_on(world: AlertWorld) -> None:
    world.write(crisis())
    world.minutes(CRISIS + 30 * MINUTE, CRISIS + 32 * MINUTE)
    late = Rule(rule_id="later", metric=Metric.VOLUME)
    world.watches += watches((late,), {"acme": "Acme"}, {})
    world.look(CRISIS + 12 * HOUR)
    assert {alert.rule_id for alert in world.alerts()} == {"negative-spike"}


def test_a_late_crisis_of_an_hour_that_was_judged_still_counts_in_the_window(world: AlertWorld) -> None:
    world.minutes(CRISIS + MINUTE, CRISIS + 25 * MINUTE)
    assert world.alerts() == []
    world.write([said(f"late{place}", CRISIS + 10 * MINUTE, "negative") for place in range(60)])
    world.look(CRISIS + 31 * MINUTE)
    assert len(world.alerts()) == 1


def test_a_silence_or_a_subscription_that_cannot_be_read_stops_nothing_else(world: AlertWorld) -> None:
    book = AlertBook(world.documents)
    book.silence(Silence(silence_id="good", start=CRISIS, end=CRISIS + HOUR, brands=("acme",)))
    body = {"start_ms": to_ms(CRISIS), "end_ms": to_ms(CRISIS), "brands": ["acme"], "rules": [], "severities": []}
    world.documents.apply(
        [
            Change("silence", "over-at-once", body),
            Change("silence", "of-another-version", {"since": 1}),
            Change("subscription", "of-nowhere", {"channel": "hook", "timezone": "Mars/Base"}),
        ]
    )
    assert [each.silence_id for each in book.silences()] == ["good"]
    assert book.subscriptions() == []
    book.end_silence("over-at-once")
    assert world.documents.get("silence", ["over-at-once"]) == {}
