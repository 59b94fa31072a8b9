"""Killed at any moment and started again, a replay ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import Soundings, make_posts, write_posts

from domain.errors import ServiceError
from domain.query.ast import Everything
from domain.records import Topic
from search.embedded import EmbeddedStore
from search.store import MAX_PAGE, SearchRequest
from service.data_folder import DataFolder
from stream.embedded import EmbeddedLog

KILLS = 10
TOPICS = (Topic.POSTS.value, Topic.MENTIONS.value)


def stored(data: Path) -> dict[str, tuple[str, str, str, int]]:
    """Give what is found of every stored mention: id -> post, brand, text, version."""
    return {key: found[:4] for key, found in with_scores(data).items()}


def with_scores(data: Path) -> dict[str, tuple[str, str, str, int, tuple[float | None, ...]]]:
    """Give what is found of every stored mention, with its scores."""
    store = EmbeddedStore.open(DataFolder(data).store, read_only=True)
    mentions: dict[str, tuple[str, str, str, int, tuple[float | None, ...]]] = {}
    try:
        cursor = None
        while True:
            page = store.search(SearchRequest(Everything(), cursor=cursor, limit=MAX_PAGE))
            for one in page.mentions:
                scores = (one.p_negative, one.p_neutral, one.p_positive)
                mentions[one.mention_id] = (one.post_id, one.brand_id, one.text, one.version, scores)
            cursor = page.next_cursor
            if cursor is None:
                assert len(mentions) == store.count() == page.total
                return mentions
    finally:
        store.close()


def appended(data: Path) -> tuple[int, ...]:
    """Give how many records each topic ever got."""
    log = EmbeddedLog.open(DataFolder(data).log, read_only=True)
    try:
        return tuple(log.appended(topic) for topic in TOPICS)
    finally:
        log.close()


def work_done(data: Path) -> int:
    """Give how many records the stages have settled; grows from 0 to a known end."""
    try:
        log = EmbeddedLog.open(DataFolder(data).log, read_only=True)
    except ServiceError:
        # The log is only just being made.
        return 0
    try:
        return sum(count.number for count in log.counts())
    finally:
        log.close()


def lasting(books: Mapping[str, Any]) -> dict[str, Any]:
    """Give the part of the books that no interruption may change."""
    return {name: value for name, value in books.items() if name not in ("seconds", "resumed")}


def replay_with_kills(
    soundings: Soundings, file: Path, total: int, *, engine: str, kills: int
) -> tuple[int, dict[str, Any]]:
    """Replay a file, killed at seeded points of its progress, to its end; gives how many kills hit, and its books."""
    chance = random.Random(20260301)
    output = soundings.folder / "books.json"
    for hits, point in enumerate(sorted(chance.uniform(0, 0.9 * total) for _ in range(kills))):
        with output.open("wb") as stream:
            process = soundings.start("replay", str(file), "--engine", engine, "--json", output=stream)

        def far_enough(process: subprocess.Popen[bytes] = process, point: float = point) -> bool:
            return work_done(soundings.data) >= point or process.poll() is not None

        soundings.wait_for(far_enough, "progress")
        try:
            # Somewhere in the batch that follows.
            code = process.wait(chance.uniform(0.0, 0.05))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            continue
        # It was quicker than the kill, which proves less but breaks nothing.
        assert code == 0, output.read_text()
        return hits, json.loads(output.read_text().splitlines()[-1])
    return kills, soundings.replay(file, engine=engine)


@pytest.mark.parametrize(("engine", "posts", "kills"), [("tiny", 3000, KILLS), ("exact", 900, 3)])
def test_killed_at_seeded_moments_and_resumed_it_ends_as_if_uninterrupted(
    soundings: Soundings, another: Soundings, tmp_path: Path, engine: str, posts: int, kills: int
) -> None:
    file = write_posts(tmp_path / "posts.jsonl", make_posts(posts))
    whole = another.replay(file, engine=engine)
    total = work_done(another.data)

    hits, books = replay_with_kills(soundings, file, total, engine=engine, kills=kills)

    assert hits >= kills // 2, "the kills came too late to prove anything"
    assert books["resumed"]
    assert lasting(books) == lasting(whole)
    assert appended(soundings.data) == appended(another.data)
    assert work_done(soundings.data) == total
    assert stored(soundings.data) == stored(another.data)
    expected = with_scores(another.data)
    for mention_id, (*_, scores) in with_scores(soundings.data).items():
        assert scores == pytest.approx(expected[mention_id][-1], abs=1e-5)


def retold(number: int) -> list[dict[str, Any]]:
    """Make posts of which many say nearly the same as an earlier one, the others something else."""
    chance = random.Random(11)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    posts: list[dict[str, Any]] = []
    for index, post in enumerate(make_posts(number)):
        words = ["".join(chance.choices(syllables, k=2)) for _ in range(12)]
        if posts and chance.random() < 0.5:
            words = chance.choice(posts)["text"].split()[1:]
            words[chance.randrange(len(words))] = f"other{chr(97 + index % 26)}"
        posts.append({**post, "text": " ".join(["@acme", *words])})
    return posts


def stories(data: Path) -> dict[str, str | None]:
    """Give the story of every stored mention."""
    store = EmbeddedStore.open(DataFolder(data).store, read_only=True)
    try:
        told = [store.get(mention_id) for mention_id in stored(data)]
    finally:
        store.close()
    return {one.mention_id: one.story_id for one in told if one is not None}


def test_killed_and_resumed_it_tells_the_same_stories(soundings: Soundings, another: Soundings, tmp_path: Path) -> None:
    file = write_posts(tmp_path / "posts.jsonl", retold(1500))
    another.replay(file)
    hits, _ = replay_with_kills(soundings, file, work_done(another.data), engine="tiny", kills=5)
    assert hits >= 2, "the kills came too late to prove anything"
    expected = stories(another.data)
    assert stories(soundings.data) == expected
    assert None not in expected.values()
    assert 100 < len(set(expected.values())) < 0.8 * len(expected)


def test_a_killed_replay_of_standard_input_goes_on_when_the_same_comes_again(
    soundings: Soundings, another: Soundings, tmp_path: Path
) -> None:
    file = write_posts(tmp_path / "posts.jsonl", make_posts(1500))
    whole = another.replay(file)
    process = soundings.start("replay", str(file), "--engine", "tiny")
    soundings.wait_for(lambda: work_done(soundings.data) > 0 or process.poll() is not None, "progress")
    process.kill()
    process.wait()
    done = soundings.run("replay", "-", "--engine", "tiny", "--json", stdin=file.read_bytes())
    books = json.loads(done.stdout)
    assert books["stages"] == whole["stages"]
    assert stored(soundings.data) == stored(another.data)


def test_interrupted_by_ctrl_c_it_says_how_to_go_on(soundings: Soundings, tmp_path: Path) -> None:
    file = write_posts(tmp_path / "posts.jsonl", make_posts(3000))
    with (tmp_path / "output").open("wb") as output:
        process = soundings.start("replay", str(file), "--engine", "tiny", output=output)
        soundings.wait_for(lambda: work_done(soundings.data) > 0 or process.poll() is not None, "progress")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "interrupted; nothing is lost" in (tmp_path / "output").read_text()
    books = soundings.replay(file)
    assert books["resumed"]
    assert books["read"] == 3000
