"""What a person asks to be forgotten, in every file of a data folder while the pipeline runs on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.running_pipeline import Running, post, running_pipeline, write_rows

from domain.clock import SystemClock
from domain.errors import ConfigError
from domain.records import MatchedPost, Retraction, Topic
from search.embedded import EmbeddedStore
from search.store import SearchRequest
from service.cli import main
from service.forget import read_request, told
from service.forgetting import Forgetting
from stream.codec import decode
from stream.embedded import EmbeddedLog
from stream.protocol import OutRecord, Settlement

SENTENCE = "acme and a most unusual sentence"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_pipeline(tmp_path) as running:
        yield running


def quiet(progress: object) -> None:
    """Nobody looks."""


def holding(folder: Path, words: str) -> set[str]:
    """Give the names of the files that hold these bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if words.encode() in path.read_bytes()}


def test_what_was_forgotten_stands_in_no_file_while_the_pipeline_runs(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, SENTENCE), post(2)]))
    data = running.settings.data.dir
    (source,) = {one.source for one in running.pipeline._store.search(SearchRequest()).mentions}
    assert {"log.sqlite-wal", "store/mentions.sqlite3-wal"} <= holding(data, SENTENCE)
    request = read_request(post=f"{source}:p1", author=None, asked_by="Ada", reason="asked by mail")
    assert running.pipeline.forget(request, quiet)["cut"]
    assert holding(data, SENTENCE) == set()
    # What is left of it in the log is a retraction, and other posts are untouched.
    records = running.pipeline._log.records_of(Topic.POSTS.value, f"{source}:p1")
    assert [type(decode(record.value)) for record in records] == [Retraction, Retraction]
    (other,) = running.pipeline._log.records_of(Topic.POSTS.value, f"{source}:p2")
    assert isinstance(decode(other.value), MatchedPost)


def test_an_author_is_forgotten_in_the_records_of_the_log_too(running: Running, tmp_path: Path) -> None:
    rows = [post(n, f"acme, said number{n}here", author_id=f"ann-é-{n % 2}") for n in range(1_200)]
    running.replay(write_rows(tmp_path / "a.jsonl", rows))
    assert said(running, author="file:ann-é-1") == "The author file:ann-é-1 is gone: 600 mentions."
    files = b"".join(path.read_bytes() for path in running.settings.data.dir.rglob("*") if path.is_file())
    assert [n for n in range(1, 1_200, 2) if f"said number{n}here".encode() in files] == []
    assert b"said number2here" in files


ROWS = [
    post(1, author="ann", author_id="4711"),
    post(2, author="ann", author_id="4711"),
    post(3, author="bob"),
    '{"id": "x-letter-1", "text": "acme that is cut off',
]


def said(running: Running, **subject: str) -> str:
    """Have something forgotten; gives what is said of it."""
    request = read_request(
        post=subject.get("post"), author=subject.get("author"), asked_by="Ada", reason="asked by mail"
    )
    return "\n".join(told(request, running.pipeline.forget(request, quiet)))


def test_it_is_said_how_much_was_forgotten_and_that_nothing_was(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
    assert said(running, author="file:4711") == "The author file:4711 is gone: 2 mentions."
    assert said(running, post="file:x-letter-1").endswith("is gone: 0 mentions, and what 1 dead letter held.")
    again = said(running, author="file:4711")
    assert "nothing of it was stored, so nothing went" in again
    assert "already forgotten at 20" in again
    assert "as Ada asked" in again
    unknown = said(running, post="file:p77")
    assert "nothing went; from now on it is kept out" in unknown
    assert "a post of file has an id such as file:p3" in unknown
    assert "no mention of bluesky is stored at all" in said(running, author="bluesky:did:plc:abc")


def test_letters_that_were_dealt_with_say_so_once(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", [*ROWS, '{"id": "p9", "text": "acme", "created_at": "soon"}']))
    said(running, post="file:x-letter-1")
    running.pipeline._log.resolve_dead_letters([2], "discarded", SystemClock().now())
    assert running.pipeline.retry([1, 2], quiet)["problems"] == [
        "dead letter 1: is about what was retracted: it holds nothing any more",
        "dead letter 2: was discarded already",
    ]
    assert main(["dead-letters", "list", "--all", "--data-dir", str(running.settings.data.dir)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(": (what was retracted: it holds nothing any more)")
    assert second.endswith("(discarded)")


def test_a_handle_given_for_an_id_is_told_with_the_id(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", ROWS))
    assert "@Ann is a handle here; the id of this author is file:4711" in said(running, author="file:@Ann")
    assert "posts of @bob came without an id of the author" in said(running, author="file:bob")
    assert "an author of file has an id such as file:4711" in said(running, author="file:carl")
    assert running.pipeline._store.count() == 3


def test_a_source_that_nobody_knows_is_refused_and_nothing_is_asked_for(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "a.jsonl", [post(1, platform="forum"), post(2)]))
    with pytest.raises(ConfigError, match="did you mean bluesky") as error:
        said(running, post="blusky:p1")
    assert "file, folder, forum" in str(error.value)
    assert not running.pipeline._store.retractions()
    assert "is gone: 1 mention." in said(running, post="forum:p1")
    # Nothing of it is stored any more, but it was.
    assert "already forgotten" in said(running, post="forum:p1")


def test_a_write_ahead_file_that_somebody_reads_is_cut_when_they_are_done(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(EmbeddedLog.open(path)) as log, closing(EmbeddedStore.open(tmp_path / "store")) as store:
        forgetting = Forgetting(log, store, SystemClock(), files=[log, store])
        assert forgetting.cut()
        with closing(sqlite3.connect(path, isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM record").fetchone()
            log.settle(Settlement(outputs=[OutRecord(Topic.POSTS.value, "key", SENTENCE.encode(), "run")]))
            again = Forgetting(log, store, SystemClock(), files=[log, store])
            again.step()
            assert not again.cut()
            assert "log.sqlite-wal" in holding(tmp_path, SENTENCE)
            reading.execute("COMMIT")
            assert again.cut()
        assert holding(tmp_path, SENTENCE) == {"log.sqlite"}


def test_what_an_import_forbids_is_kept_out_before_it_is_tagged_and_stands_so_in_the_books(tmp_path: Path) -> None:
    posts = [post(n, author_id=f"author-{n % 2}") for n in range(4)]
    file, export = write_rows(tmp_path / "a.jsonl", posts), tmp_path / "all.jsonl"
    (first := tmp_path / "first").mkdir()
    (second := tmp_path / "second").mkdir()
    with running_pipeline(first) as running:
        running.replay(file)
        said(running, post="file:p0")
        said(running, author="file:author-1")
        assert main(["export", str(export), "--data-dir", str(running.settings.data.dir)]) == 0
    for _ in range(2):
        assert main(["import", str(export), "--data-dir", str(second / "data")]) == 0
    with running_pipeline(second) as running:
        books = running.replay(file)
        assert [books[name] for name in ("read", "matched", "duplicate", "filtered", "mentions")] == [4, 1, 1, 2, 1]
        # The one that is left is stored already; what went is no `ok` of anybody.
        index = cast(dict[str, Any], books["stages"])["index"]
        assert (index["ok"], index["duplicate"]) == (0, 1)
        assert running.pipeline._store.count() == 1
