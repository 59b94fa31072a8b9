"""`backfill`: the past of a live source in the running pipeline, as a run of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.live_hackernews import HackerNewsWorld, environment, open_hackernews
from fakes.running_pipeline import Running, running_pipeline

from domain.clock import SystemClock
from domain.errors import ConfigError
from domain.query.ast import Everything
from ingest.folder import FolderSource
from ingest.mastodon import MastodonSource
from ingest.rss import FeedSource
from ingest.source import History
from ingest.webhook import WebhookSource
from ingest.x import XSource
from ingest.youtube import YouTubeSource
from search.store import MAX_PAGE, SearchRequest
from service.components import live_sources
from service.settings import load
from service.sources import SOURCE_KINDS

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(hours=5)


@pytest.fixture
def world() -> Iterator[HackerNewsWorld]:
    with open_hackernews() as world:
        for hour in range(5):
            at = int((START + timedelta(hours=hour, minutes=30)).timestamp())
            world.publish(range(hour * 40, hour * 40 + 40), at=at)
        world.publish([999], text="after the end, acme", at=int((END + timedelta(minutes=1)).timestamp()))
        yield world


@pytest.fixture
def running(tmp_path: Path, world: HackerNewsWorld) -> Iterator[Running]:
    # It is not enabled: filling up is asked for by hand.
    with running_pipeline(tmp_path, environment(world) | {"SOUNDINGS_SOURCES_ENABLED": ""}) as running:
        yield running


def quiet(progress: object) -> None:
    """Nobody looks."""


def test_the_past_comes_in_as_a_run_of_its_own_marked_as_backfilled(running: Running) -> None:
    books = running.pipeline.backfill("hackernews", START, END, quiet)
    assert (books["read"], books["matched"], books["mentions"]) == (200, 200, 200)
    page = running.pipeline._store.search(SearchRequest(Everything(), limit=MAX_PAGE))
    assert page.total == 200
    assert all(mention.backfilled for mention in page.mentions)
    again = running.pipeline.backfill("hackernews", START, END, quiet)
    assert again["run"] != books["run"]
    assert (again["duplicate"], again["matched"]) == (200, 0)


def test_a_backfill_that_was_cut_off_goes_on_and_loses_nothing(running: Running, world: HackerNewsWorld) -> None:
    class CutOff(Exception):
        pass

    def cut_off(progress: object) -> None:
        raise CutOff

    with pytest.raises(CutOff):
        running.pipeline.backfill("hackernews", START, END, cut_off)
    books = running.pipeline.backfill("hackernews", START, END, quiet)
    assert books["resumed"]
    # What the source gives once more after a cut is a duplicate; nothing is missing and nothing there twice.
    assert books["matched"] == books["mentions"] == books["stored_total"] == 200
    assert books["read"] == 200 + books["duplicate"]


def test_a_time_in_which_nobody_wrote_is_no_mistake(running: Running) -> None:
    books = running.pipeline.backfill("hackernews", START - timedelta(days=2), START - timedelta(days=1), quiet)
    assert books["read"] == 0


@pytest.mark.parametrize(
    ("name", "start", "end", "problem"),
    [
        ("nosuch", START, END, "expected one of"),
        ("webhook", START, END, r"has no history: it gives only what is new.*docs/sources/webhook.md"),
        ("rss", START, END, "has no history.*or name one of mastodon, x, hackernews, gdelt"),
        ("hackernews", END, START, "05:00 UTC is not before the end of --to .*; are they swapped"),
        ("hackernews", START, datetime.now(UTC) + timedelta(days=2), "--to: .* lies ahead"),
        ("hackernews", datetime.now(UTC) + timedelta(days=2), END, "--from: .* lies ahead"),
    ],
)
def test_what_cannot_be_filled_up_says_why(
    tmp_path: Path, world: HackerNewsWorld, name: str, start: datetime, end: datetime, problem: str
) -> None:
    # Neither secret nor address of the others is there: they are not asked for first.
    with running_pipeline(tmp_path, environment(world)) as running, pytest.raises(ConfigError, match=problem):
        running.pipeline.backfill(name, start, end, quiet)


def test_the_table_says_which_sources_have_a_past(tmp_path: Path) -> None:
    with_a_past = {"hackernews": True, "gdelt": True, "bluesky": False}
    kinds = {kind.name: kind.has_past for kind in SOURCE_KINDS}
    assert {name: kinds[name] for name in with_a_past} == with_a_past
    settings = load(environ={"SOUNDINGS_SOURCES_ENABLED": ",".join(with_a_past), "SOUNDINGS_DATA_DIR": str(tmp_path)})
    for source in live_sources(settings, (), SystemClock()):
        assert isinstance(source, History) == kinds[source.name]
    assert all(issubclass(source, History) for source in (XSource, MastodonSource))
    assert not any(issubclass(source, History) for source in (FeedSource, WebhookSource, FolderSource, YouTubeSource))
