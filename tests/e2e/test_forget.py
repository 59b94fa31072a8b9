"""`soundings forget` and `soundings retractions`: alone on a folder, beside a running pipeline, on a cluster."""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from e2e.cluster import Cluster
from e2e.command_line import Soundings, write_posts
from e2e.test_up import Running

POSTS = [
    {"id": f"post-{number}", "platform": "x", "created_at": "2026-03-01T00:00:00Z", "author_id": f"author-{number % 3}"}
    | {"text": f"my acme rocket, told {number}"}
    for number in range(9)
]
WHO = ("--by", "Ada", "--reason", "asked us by mail")


def rows(soundings: Soundings) -> list[dict[str, Any]]:
    done = soundings.run("retractions", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def found(soundings: Soundings) -> set[str]:
    done = soundings.run("search", "--json", "*")
    assert done.returncode == 0, done.stderr
    return {mention["post_id"] for mention in json.loads(done.stdout)["mentions"]}


def test_what_a_person_asks_for_goes_and_a_replay_does_not_bring_it_back(soundings: Soundings, tmp_path: Path) -> None:
    file = write_posts(tmp_path / "few.jsonl", POSTS)
    soundings.replay(file)
    assert len(found(soundings)) == 9
    assert soundings.run("retractions").stdout == "No retractions.\n"
    done = soundings.run("forget", "--post", "x:post-1", *WHO)
    assert done.returncode == 0, done.stderr
    assert "The post x:post-1 is gone" in done.stdout
    assert "cannot be recalled" in done.stdout
    done = soundings.run("forget", "--author", "x:author-0", *WHO)
    assert done.returncode == 0, done.stderr
    left = {"x:post-2", "x:post-4", "x:post-5", "x:post-7", "x:post-8"}
    assert found(soundings) == left
    edited = [{**post, "text": f"{post['text']} again", "edited_at": "2026-04-01T00:00:00Z"} for post in POSTS]
    soundings.replay(write_posts(tmp_path / "edited.jsonl", edited))
    assert found(soundings) == left
    ledger = [(row["subject"], row["id"], row["asked_by"], row["reason"], row["mentions"]) for row in rows(soundings)]
    assert ledger == [
        ("author", "x:author-0", "Ada", "asked us by mail", 3),
        ("post", "x:post-1", "Ada", "asked us by mail", 1),
    ]
    traced = soundings.run("trace", "x:post-3")
    assert "author        x:author-0 was retracted, as Ada asked at 20" in traced.stdout
    assert "asked us by mail" in traced.stdout
    assert "tombstone" not in traced.stdout
    assert ", as Ada asked at 20" in soundings.run("trace", "x:post-1").stdout
    assert "author  " not in soundings.run("trace", "x:post-2").stdout
    shown = soundings.run("retractions").stdout
    assert "x:author-0" in shown
    assert "cannot be recalled" in shown
    assert "told" not in shown


def test_what_cannot_be_asked_for_is_told_in_one_go(soundings: Soundings) -> None:
    done = soundings.run("forget", "--post", "post-1", "--by", " ", "--reason", "a\nb")
    assert done.returncode == 2
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["--post", "--by", "--reason"]


def test_a_running_pipeline_forgets_and_its_page_says_so(soundings: Soundings, tmp_path: Path) -> None:
    soundings.replay(write_posts(tmp_path / "few.jsonl", POSTS))
    output = soundings.folder / "up.log"
    with output.open("wb") as stream:
        process = soundings.start("up", "--engine", "tiny", "--port", "0", output=stream)
    running = Running(soundings, process, output)
    running.wait_until_served()
    done = soundings.run("forget", "--author", "x:author-1", *WHO)
    assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(f"{running.address}/api/retractions", timeout=60) as answer:
        told = json.loads(answer.read())
    assert [(row["id"], row["mentions"], row["asked_by"]) for row in told["retractions"]] == [("x:author-1", 3, "Ada")]
    assert told["retractions"][0]["done_at"] is not None
    assert "cannot be recalled" in told["note"]
    assert len(found(soundings)) == 6


def test_on_a_cluster_the_workers_forget(cluster: Cluster, tmp_path: Path) -> None:
    index, enrich = cluster.start("index"), cluster.start("enrich")
    done = cluster.run("ingest", str(write_posts(tmp_path / "few.jsonl", POSTS)))
    assert done.returncode == 0, done.stderr
    with closing(cluster.log()) as log, closing(cluster.store()) as store:
        cluster.wait_for(lambda: store.count() == 9, "the mentions")
        done = cluster.run("forget", "--author", "x:author-2", *WHO)
        assert done.returncode == 0, done.stderr
        cluster.wait_for(lambda: any(row.done_at for row in store.retractions()), "the ledger")
        assert store.count() == 6
        cluster.wait_until_done(log)
    again = cluster.run("retractions", "--json")
    assert json.loads(again.stdout)["mentions"] == 3
    assert [worker.stop() for worker in (enrich, index)] == [0, 0]
