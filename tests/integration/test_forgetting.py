"""What a person asks to be forgotten, in every file of a data folder while the pipeline runs on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.running_pipeline import Running, post, running_pipeline, write_rows

from domain.clock import SystemClock
from domain.records import Topic
from search.embedded import EmbeddedStore
from search.store import SearchRequest
from service.forget import read_request
from service.forgetting import Forgetting
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


def test_what_was_forgotten_stands_in_no_write_ahead_file_while_the_pipeline_runs(
    running: Running, tmp_path: Path
) -> None:
    rows = [post(1, SENTENCE), post(2), f'{{"id": "x-letter-1", "text": "{SENTENCE} that is cut off']
    running.replay(write_rows(tmp_path / "a.jsonl", rows))
    data = running.settings.data.dir
    (source,) = {one.source for one in running.pipeline._store.search(SearchRequest()).mentions}
    assert {"log.sqlite-wal", "store/mentions.sqlite3-wal"} <= holding(data, SENTENCE)
    request = read_request(post=f"{source}:p1", author=None, asked_by="Ada", reason="asked by mail")
    assert running.pipeline.forget(request, quiet)["cut"]
    # The log keeps what was handled until its retention is over.
    assert holding(data, SENTENCE) <= {"log.sqlite"}


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
