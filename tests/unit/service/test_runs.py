"""Runs: an unfinished one goes on under its name, a finished one starts anew, counts are kept by run."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.errors import ConfigError
from domain.ids import mention_id
from domain.records import Mention
from service import runs
from service.tally import GROUP, TOPICS, keep_tally, read_tally
from stream.codec import encode
from stream.embedded import EmbeddedLog
from stream.protocol import OutRecord, Settlement

NOW = datetime(2026, 10, 1, tzinfo=UTC)


def test_an_unfinished_run_is_resumed_and_a_finished_one_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "My Posts (2).jsonl.gz"
    path.write_bytes(b"content")
    log = EmbeddedLog.open(tmp_path / "log.sqlite")
    first = runs.begin(log, path)
    assert (first.attempt, first.resumed) == (1, False)
    log.close()
    log = EmbeddedLog.open(tmp_path / "log.sqlite")
    again = runs.begin(log, path)
    assert (again.run_id, again.resumed) == (first.run_id, True)
    runs.finish(log, again)
    second = runs.begin(log, path)
    assert (second.attempt, second.resumed) == (2, False)
    assert first.run_id.startswith("my-posts-2-")
    assert second.run_id == first.run_id[:-1] + "2"
    log.close()


def test_the_same_content_under_another_name_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "c").write_bytes(b"other content")
    assert runs.fingerprint(tmp_path / "a") == runs.fingerprint(tmp_path / "b") != runs.fingerprint(tmp_path / "c")


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        runs.fingerprint(tmp_path / "missing")


def test_the_tally_counts_each_mention_once_by_run_brand_and_sentiment(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite")
    mention = Mention(
        mention_id=mention_id("file:1", "acme"),
        post_id="file:1",
        brand_id="acme",
        brand="Acme",
        query_revision=1,
        version=1,
        source="file",
        kind="post",
        text="acme",
        tokens="acme",
        collected_at=NOW,
        enriched_at=NOW,
        routing_month="2026.10",
        sentiment="negative",
    )
    values = [
        ("one", encode(mention)),
        ("one", encode(replace(mention, sentiment="positive"))),
        ("one", encode(mention)),
        ("two", encode(replace(mention, brand_id="globex", sentiment=None))),
        ("two", b"not a record"),
    ]
    for _ in range(2):
        log.settle(Settlement(outputs=[OutRecord("mentions", "k", value, run) for run, value in values]))
        stop = threading.Event()
        worker = threading.Thread(target=keep_tally, args=(log, stop))
        worker.start()
        deadline = time.monotonic() + 60
        while log.lag(GROUP, TOPICS) and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        worker.join()
    assert read_tally(log, "one") == {"acme": {"negative": 4, "positive": 2}}
    assert read_tally(log, "two") == {"globex": {"untagged": 2}}
    assert read_tally(log, "three") == {}
    log.close()
