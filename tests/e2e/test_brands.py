"""Brands from the command line: with and without a pipeline that runs, and the file that is read again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import CONFIG, Soundings, write_posts
from e2e.test_up import Running, start

POSTS = [
    {"id": f"p{n}", "platform": "x", "created_at": "2026-03-01T12:00:00Z", "text": f"@acme {what} number {n}"}
    for n, what in enumerate(("mug", "lid", "mug and lid", "teapot") * 5)
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_posts(tmp_path / "posts.jsonl", POSTS)


def result(soundings: Soundings, *arguments: str) -> Any:
    """Run a command that must succeed; gives the JSON that it prints."""
    done = soundings.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(running: Running) -> dict[str, dict[str, Any]]:
    return {brand["brand_id"]: brand for brand in json.loads(running.text("/api/brands"))["brands"]}


def test_brands_without_a_pipeline_are_kept_in_the_data_folder(soundings: Soundings, file: Path) -> None:
    soundings.replay(file)
    made = result(soundings, "brands", "add", "Mug Works", "--query", "mug", "--handle", "@mugs")["brand"]
    assert (made["brand_id"], made["handles"], made["query_revision"]) == ("mug-works", ["mugs"], 1)
    did = result(soundings, "rematch", "mug-works")
    assert (did["looked"], did["added"], did["withdrawn"]) == (10, 10, 0)
    assert result(soundings, "search", "", "--brand", "mug-works")["total"] == 10
    assert result(soundings, "brands", "edit", "mug-works", "--query", "teapot")["brand"]["query_revision"] == 2
    done = soundings.run("rematch", "mug-works")
    assert done.stdout.startswith("Rematched mug-works in ")
    assert "with revision 2 of its query" in done.stdout
    assert "looked            15  of 20 kept posts" in done.stdout
    assert "added              5" in done.stdout
    assert "withdrawn         10" in done.stdout
    assert [brand["brand_id"] for brand in result(soundings, "brands", "list")["brands"]] == [
        "acme",
        "globex",
        "mug-works",
    ]
    assert soundings.run("brands", "remove", "mug-works").returncode == 0
    assert result(soundings, "search", "", "--brand", "mug-works")["total"] == 5


def test_a_brand_made_in_an_empty_folder_is_enough(
    soundings: Soundings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundings.config.unlink()
    refused = soundings.run("up")
    assert refused.returncode == 2
    assert "none was made by `soundings brands add NAME`" in refused.stderr
    assert not soundings.data.exists()
    result(soundings, "brands", "add", "Mug Works", "--query", "mug")
    assert [brand["brand_id"] for brand in result(soundings, "brands", "list")["brands"]] == ["mug-works"]
    assert result(soundings, "rematch", "mug-works")["added"] == 0
    forgotten = soundings.run("forget", "--post", "x:p0", "--by", "Ada", "--reason", "asked by mail")
    assert "nothing of it was stored" in forgotten.stdout, forgotten.stderr
    assert soundings.replay(file)["mentions"] == 9
    # Nobody listens on this port.
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ENABLED", "hackernews")
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCES_ALLOW_PRIVATE", "true")
    monkeypatch.setitem(soundings.extra, "SOUNDINGS_SOURCE_HACKERNEWS_ADDRESS", "http://127.0.0.1:9")
    up = start(soundings)
    up.wait_until_served()
    soundings.wait_for(lambda: "Listening to hackernews for Mug Works" in up.output.read_text(), "what it listens to")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("edit", "acme", "--query", "other"),
            "belongs to soundings.toml, and is changed there; here it can",
        ),
        (("add", "New", "--query", "mug ("), "found the end of the query"),
        (("add", "New", "--query", "NOT mug"), "positive anchor"),
        (("pause", "nobody"), "is not there"),
        (("edit", "acme"), "nothing to change; expected --name, --query, --handle or --competitor"),
        (("add", "Acme", "--query", "mug"), "is there already"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(soundings: Soundings, arguments: tuple[str, ...], said: str) -> None:
    done = soundings.run("brands", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_preview_says_how_many_where_and_what_is_odd(soundings: Soundings, file: Path) -> None:
    soundings.replay(file)
    found = result(soundings, "preview", "mug OR teapot")
    assert (found["posts"], found["by_source"], found["a_day"]) == (15, {"x": 15}, 15.0)
    assert (len(found["newest"]), found["compared"], found["costs"]) == (15, 15, [])
    refused = soundings.run("preview", " ")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "QUERY: found an empty one" in refused.stderr
    done = soundings.run("preview", "-mug")
    assert "About 10.0 a day: 10 of them in the day to the newest kept, 2026-03-01." in done.stdout
    assert "10 kept posts match" in done.stdout
    assert "positive anchor" in done.stderr


def test_a_running_pipeline_takes_up_what_changes(soundings: Soundings, file: Path) -> None:
    up = start(soundings)
    up.wait_until_served()
    result(soundings, "brands", "add", "Mug Works", "--query", "mug")
    soundings.wait_for(lambda: "mug-works" in shown(up), "the new brand on the page")
    soundings.replay(file)
    assert result(soundings, "search", "", "--brand", "mug-works")["total"] == 10
    result(soundings, "brands", "pause", "acme")
    assert not result(soundings, "brands", "edit", "mug-works", "--query", "lid OR mug")["brand"]["warnings"]
    assert result(soundings, "rematch", "mug-works")["added"] == 5
    soundings.wait_for(lambda: shown(up)["acme"]["paused"], "the paused brand on the page")

    # The file is read again by itself, and at once when told, even where it looks the same.
    soundings.config.write_text(CONFIG + "[[brands]]\nid = 'tea'\nquery = 'teapot'\n", encoding="utf-8")
    soundings.wait_for(lambda: "tea" in shown(up), "the brand of the file")
    before = soundings.config.stat()
    soundings.config.write_text(soundings.config.read_text().replace("'tea'", "'eat'"), encoding="utf-8")
    os.utime(soundings.config, ns=(before.st_atime_ns, before.st_mtime_ns))
    up.process.send_signal(signal.SIGHUP)

    def is_read() -> bool:
        names = {brand["brand_id"] for brand in result(soundings, "brands", "list")["brands"]}
        done = soundings.run("brands", "pause", "eat")
        return "eat" in names and done.returncode == 0

    soundings.wait_for(is_read, "the file, read again")
    assert up.process.poll() is None
    soundings.config.write_text("[[brands]]\nid = 'broken'\n", encoding="utf-8")
    soundings.wait_for(lambda: "its brands stay as they were" in up.output.read_text(), "the problem in the log")
    assert "acme" in shown(up)
