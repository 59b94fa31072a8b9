"""Live sources end to end: `soundings up --brand NAME` on a laptop, ingest workers in a cluster, killed and resumed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from e2e.cluster import Cluster
from e2e.command_line import Soundings
from e2e.test_up import Running
from fakes.live_hackernews import HackerNewsWorld, environment, open_hackernews

from domain.errors import RetryLater
from domain.query import parse
from search.store import SearchRequest

TEXT = "post {n} about @acme"


@pytest.fixture
def world() -> Iterator[HackerNewsWorld]:
    with open_hackernews() as opened:
        yield opened


def listen(soundings: Soundings, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch) -> Running:
    for name, value in environment(world).items():
        monkeypatch.setitem(soundings.extra, name, value)
    output = soundings.folder / "up.log"
    with output.open("ab") as stream:
        process = soundings.start("up", "--engine", "tiny", "--port", "0", output=stream)
    running = Running(soundings, process, output)
    running.wait_until_served()
    return running


def found(address: str) -> int:
    with urllib.request.urlopen(f"{address}/api/mentions?limit=500", timeout=60) as answer:
        total: int = json.loads(answer.read())["total"]
        return total


def test_a_live_source_is_searched_within_moments_and_a_kill_loses_nothing(
    soundings: Soundings, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = listen(soundings, world, monkeypatch)
    metrics = running.output.read_text().partition("Health and metrics: ")[2].split()[0]
    soundings.wait_for(lambda: 'source_up{source="hackernews"} 1.0' in text_of(metrics), "the source")
    world.publish(range(100, 140), text=TEXT)
    soundings.wait_for(lambda: found(running.address) == 40, "the first mentions")
    world.publish(range(140, 180), text=TEXT)
    running.kill()
    world.publish(range(180, 200), text=TEXT)
    running.output.unlink()
    running = listen(soundings, world, monkeypatch)
    soundings.wait_for(lambda: found(running.address) == 100, "what came while it was away")


def test_a_dead_letter_of_a_live_source_is_read_again(
    soundings: Soundings, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = listen(soundings, world, monkeypatch)
    world.publish_bad()
    world.publish([100], text=TEXT)
    soundings.wait_for(lambda: found(running.address) == 1, "the good one")
    soundings.wait_for(lambda: "999" in soundings.run("dead-letters", "list").stdout, "the bad one")
    done = soundings.run("dead-letters", "retry", "--all")
    assert "still wrong_type" in done.stdout + done.stderr
    running.process.terminate()
    running.process.wait()
    soundings.extra.pop("SOUNDINGS_SOURCES_ENABLED")
    done = soundings.run("dead-letters", "retry", "--all")
    assert "name it in sources.enabled" in done.stdout + done.stderr


def test_what_posts_have_earned_is_looked_up_again(
    soundings: Soundings, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After two seconds, and after a few more.
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ENGAGEMENT_HOURS", "0.0005")
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ENGAGEMENT_AGAIN_HOURS", "0.003")
    running = listen(soundings, world, monkeypatch)
    metrics = running.output.read_text().partition("Health and metrics: ")[2].split()[0]
    world.publish([100, 101], text=TEXT)
    world.change(100, kids=[7])
    soundings.wait_for(lambda: [answers for _, answers in engaged(running.address)] == ["1"], "the first numbers")
    world.change(100, kids=[7, 8, 9])
    soundings.wait_for(lambda: [answers for _, answers in engaged(running.address)] == ["3"], "the later ones")
    # Nobody has told anything of the other.
    assert found(running.address) == 2
    assert 'engagement_posts_total{answer="numbers",source="hackernews"} 2.0' in text_of(metrics)
    assert 'engagement_posts_total{answer="nothing",source="hackernews"}' in text_of(metrics)


def engaged(address: str) -> list[tuple[str, str]]:
    """Give time and number of answers of each mention that has them."""
    with urllib.request.urlopen(f"{address}/api/mentions?limit=500", timeout=60) as answer:
        mentions = json.loads(answer.read())["mentions"]
    return [(one["engagement_at"], str(one["replies"])) for one in mentions if one["engagement_at"] is not None]


def text_of(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def test_a_name_is_enough_and_what_cannot_be_reached_is_told(
    soundings: Soundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ENABLED", "hackernews")
    # Nobody listens on this port.
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ALLOW_PRIVATE", "true")
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCE_HACKERNEWS_ADDRESS", "http://127.0.0.1:9")
    soundings.config.unlink()
    assert soundings.run("brands", "add", "Mug Works").returncode == 0
    output = soundings.folder / "up.log"
    with output.open("wb") as stream:
        process = soundings.start("up", "--brand", "Acme", "--engine", "tiny", "--port", "0", output=stream)
    running = Running(soundings, process, output)
    running.wait_until_served()
    soundings.wait_for(
        lambda: "Listening to hackernews for Acme, Mug Works" in output.read_text(), "what it listens to"
    )
    soundings.wait_for(lambda: "source hackernews is waiting: 127.0.0.1 cannot be reached" in output.read_text(), "it")
    assert process.poll() is None


def test_another_worker_listens_when_the_owner_of_a_source_dies(
    cluster: Cluster, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment(world), "SOUNDINGS_SOURCES_ENGAGEMENT_HOURS": "0.0005"}.items():
        monkeypatch.setitem(cluster.extra, name, value)
    index, enrich = cluster.start("index"), cluster.start("enrich")
    first = cluster.start("ingest")
    cluster.wait_for(lambda: "source hackernews is read here now" in first.text(), "the owner")
    second = cluster.start("ingest")
    cluster.wait_for(second.is_ready, "the other worker")
    owner, other = (first, second) if owns(first) and not owns(second) else (second, first)
    world.publish(range(100, 150), text=TEXT)
    world.change(149, kids=[1, 2])
    with closing(cluster.log()) as log, closing(cluster.store()) as store:
        cluster.wait_for(lambda: counted(store.count) == 50, "the first mentions")
        owner.kill()
        world.publish(range(150, 200), text=TEXT)
        cluster.wait_for(lambda: owns(other), "the other worker's turn")
        cluster.wait_for(lambda: counted(store.count) == 100, "all mentions")
        cluster.wait_until_done(log)
        query = SearchRequest(parse("replies:2"))
        cluster.wait_for(lambda: counted(lambda: store.search(query).total) == 1, "what one of them has earned since")
    assert [worker.stop() for worker in (other, enrich, index)] == [0, 0, 0]


def owns(worker: object) -> bool:
    text = worker.text()  # type: ignore[attr-defined]
    return text.count("hackernews is read here now") > text.count("hackernews is no longer read here")


def counted(count: Callable[[], int]) -> int:
    try:
        return count()
    except RetryLater:
        return -1
