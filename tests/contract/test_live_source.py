"""What every live source promises, against a server that speaks its protocol: nothing lost, whatever happens to it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.live_bluesky import open_bluesky, open_bluesky_1
from fakes.live_folder import open_folder
from fakes.live_gdelt import open_gdelt
from fakes.live_hackernews import open_hackernews
from fakes.live_mastodon import open_mastodon
from fakes.live_reddit import open_reddit
from fakes.live_rss import open_rss
from fakes.live_webhook import open_webhook
from fakes.live_worlds import Fault, Open, World
from fakes.live_x import open_x
from fakes.live_youtube import open_youtube

from domain.brand import Brand
from domain.clock import SystemClock
from domain.listening import SourceState
from domain.records import MatchedPost, Outcome, Topic
from ingest.live import listen
from ingest.matching import BrandMatcher
from ingest.runner import RunnerSettings, books_of
from ingest.stage import IngestStage
from ingest.status import SourceWatch
from stream.embedded import EmbeddedLog
from stream.protocol import LIVE_RUN, Log

WORLDS: dict[str, Open] = {
    "bluesky": open_bluesky,
    "bluesky, version 1": open_bluesky_1,
    "hackernews": open_hackernews,
    "mastodon": open_mastodon,
    "x": open_x,
    "rss": open_rss,
    "reddit": open_reddit,
    "folder": open_folder,
    "webhook": open_webhook,
    "gdelt": open_gdelt,
    "youtube": open_youtube,
}
PATIENCE_SECONDS = 30.0
ACME = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as opened:
        yield opened


class Listening:
    """A source being listened to in a thread, over a real log."""

    def __init__(self, world: World, path: Path) -> None:
        self.clock = SystemClock()
        self.log = EmbeddedLog.open(path, clock=self.clock)
        self.source = world.source()
        self.watch = SourceWatch(self.source.name, self.clock)
        self.states: list[tuple[SourceState, str]] = []
        self._stop = threading.Event()
        stage = IngestStage(self.log, BrandMatcher((ACME,)), self.clock)
        self._thread = threading.Thread(
            target=listen,
            args=(self.source, stage, self.log, self.clock),
            kwargs={"stop": self._stop, "watch": self.watch, "settings": RunnerSettings(batch_items=7)},
            daemon=True,
        )
        self._thread.start()

    def numbers(self) -> list[int]:
        """Give the numbers at the end of the ids of all posts that were passed on, in order."""
        return numbers_in(self.log)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            status = self.watch.look()
            if (now := (status.state, status.reason)) not in self.states:
                self.states.append(now)
            assert self._thread.is_alive()
            assert time.monotonic() < deadline, f"{what}: it did not happen; {self.numbers()}, {self.states}"
            time.sleep(0.01)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self.log.close()


def numbers_in(log: Log) -> list[int]:
    consumer = log.consumer(f"look-{time.monotonic_ns()}", [Topic.POSTS.value])
    numbers: list[int] = []
    with closing(consumer):
        while records := consumer.poll(1_000, 0.0):
            posts = [record.read() for record in records]
            numbers += [int(post.post.native_id[-3:]) for post in posts if isinstance(post, MatchedPost)]
    return numbers


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Callable[[], Listening]]:
    """Start listening, and stop it after the test; starting again stops the one before, and the log stays."""
    running: list[Listening] = []

    def start_it() -> Listening:
        while running:
            running.pop().close()
        running.append(Listening(world, tmp_path / "log.sqlite"))
        return running[-1]

    yield start_it
    for one in running:
        one.close()


def has(listening: Listening, *numbers: int) -> Callable[[], bool]:
    return lambda: set(listening.numbers()) >= set(numbers)


def connected(listening: Listening) -> Callable[[], bool]:
    return lambda: listening.watch.look().state is SourceState.LISTENING


def test_what_is_published_is_passed_on_once(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish(range(100, 130))
    listening.wait(has(listening, *range(100, 130)), "all posts")
    assert Counter(listening.numbers()) == Counter(range(100, 130))


def test_it_goes_on_where_it_was(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish(range(100, 110))
    listening.wait(has(listening, *range(100, 110)), "the first posts")
    listening.close()
    world.publish(range(110, 120))
    listening = start()
    listening.wait(has(listening, *range(110, 120)), "what came while it was away")
    assert Counter(listening.numbers()) == Counter(range(100, 120))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.UNAUTHORISED])
def test_it_comes_back_after_a_fault_and_nothing_is_lost(
    fault: Fault, world: World, start: Callable[[], Listening]
) -> None:
    if fault not in world.faults:
        return
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish(range(100, 105))
    listening.wait(has(listening, *range(100, 105)), "the first posts")
    world.fail(fault)
    world.publish(range(105, 110))
    listening.wait(has(listening, *range(105, 110)), "what came about the fault")
    world.publish(range(110, 115))
    listening.wait(has(listening, *range(110, 115)), "what came after it")
    assert Counter(listening.numbers()) == Counter(range(100, 115))
    assert listening.watch.look().errors > 0


def test_a_refusal_names_the_setting_and_the_page(
    world: World, start: Callable[[], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    if Fault.UNAUTHORISED not in world.faults:
        return
    monkeypatch.setattr("ingest.live.REFUSED_SECONDS", 0.3)
    listening = start()
    listening.wait(connected(listening), "listening")
    world.fail(Fault.UNAUTHORISED)
    listening.wait(lambda: any(state is SourceState.REFUSED for state, _ in listening.states), "the refusal")
    (reason,) = {reason for state, reason in listening.states if state is SourceState.REFUSED}
    assert f"source.{listening.source.name}." in reason
    assert f"docs/sources/{listening.source.name}.md" in reason
    world.publish([100])
    listening.wait(has(listening, 100), "what came after somebody mended it")


def test_a_bad_one_among_the_good_is_parked_with_its_bytes(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish([100])
    world.publish_bad()
    world.publish([101])
    listening.wait(has(listening, 100, 101), "the good ones")
    listening.wait(lambda: bool(listening.log.dead_letters()), "the bad one")
    (row,) = listening.log.dead_letters()
    assert row.letter.source == listening.source.name
    assert row.letter.payload
    assert isinstance(listening.source.reread(row.letter.payload, row.letter.position).position, str)


def test_hostile_text_arrives_as_text(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish([100], text="post {n} &lt;script&gt;alert(1)&lt;/script&gt; \u202e\u0000 acme")
    listening.wait(has(listening, 100), "the post")
    assert listening.log.dead_letters() == []


def test_it_keeps_exact_books(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    world.publish(range(100, 110))
    world.publish(range(110, 115), text="post {n} about nobody")
    world.publish([115])
    listening.wait(has(listening, 115), "the last one")
    books = books_of(listening.log, LIVE_RUN)
    assert books.outcomes[Outcome.OK] == 11
    assert books.outcomes[Outcome.FILTERED] == 5


def test_it_stops_at_once(world: World, start: Callable[[], Listening]) -> None:
    listening = start()
    listening.wait(connected(listening), "listening")
    listening.close()
    assert listening.watch.look().state is SourceState.STOPPED
