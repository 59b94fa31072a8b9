"""The commands on a cluster: what is set up, found, followed, retried and examined, over the real servers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e.cluster import Cluster
from e2e.command_line import PATIENCE_SECONDS
from fakes.elastic_stores import settings_for, wipe
from servers.elastic import ElasticServer
from servers.kafka import KafkaServer

from domain import ids
from domain.clock import SystemClock
from domain.records import Retraction
from search.elastic_http import Elastic
from stream.codec import encode

TOKEN = "a-token-of-more-than-thirty-two-characters"
ROWS = (
    {"id": "1", "platform": "x", "text": "@acme is great", "created_at": "2026-03-01T12:00:00Z"},
    {"id": "2", "platform": "x", "text": "@acme and globexico are awful", "created_at": "2026-03-01T12:00:00Z"},
    {"id": "3", "platform": "x", "text": "@acme", "created_at": "03~01~2026"},
    {"id": "4", "platform": "x", "text": "the weather", "created_at": "2026-03-01T12:00:00Z"},
)


@pytest.fixture(scope="module", params=["kafka", "kafka-python"])
def cluster(
    request: pytest.FixtureRequest,
    kafka_server: KafkaServer,
    elastic_server: ElasticServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """A cluster of one worker of each stage, by either client, that has read a few posts."""
    folder = tmp_path_factory.mktemp("commands")
    prefix = f"t-{request.param}-commands-"
    cluster = Cluster(folder, kafka_server.address, elastic_server.url, prefix, request.param)
    file = folder / "posts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    first, again = cluster.run("setup"), cluster.run("setup")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert f"topic {prefix}posts: created" in first.stdout
    assert "created" not in again.stdout
    for role in ("enrich", "index"):
        cluster.start(role)
    # One that has nothing to read keeps nobody waiting who has.
    cluster.wait_for(cluster.start("ingest").is_ready, "an ingest worker without a file")
    read = cluster.run("ingest", str(file), "--health-port", "0")
    assert read.returncode == 0, read.stderr
    assert "read 4 (ok 2, " in read.stdout
    with closing(cluster.log()) as log:
        cluster.wait_for(lambda: log.lag("enrich", ["posts"]) == 0, "enrich")
        cluster.wait_until_done(log)
    yield cluster
    for worker in cluster.workers:
        if worker.runs:
            assert worker.stop() == 0, worker.text()
    wipe(settings_for(elastic_server.url, prefix))


def result(cluster: Cluster, *arguments: str) -> Any:
    """Run a command that must succeed; gives the JSON that it prints."""
    done = cluster.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def documents(cluster: Cluster, index: str) -> list[dict[str, Any]]:
    """Give the documents of an index that Kibana shows."""
    with closing(Elastic(settings_for(cluster.elastic, cluster.prefix))) as elastic:
        elastic.ask("POST", f"/{cluster.prefix}{index}/_refresh")
        hits = elastic.ask("POST", f"/{cluster.prefix}{index}/_search", {"size": 100}).body["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def test_books_search_and_dead_letters_show_what_the_cluster_has(cluster: Cluster) -> None:
    books = result(cluster, "books")
    assert {stage: book["in"] for stage, book in books["stages"].items()} == {"ingest": 4, "enrich": 2, "index": 3}
    assert (books["stored_total"], books["dead_letters_open"]) == (3, 1)
    assert result(cluster, "search", "@acme", "--brand", "globex")["total"] == 1
    letter = result(cluster, "dead-letters", "list")
    assert (letter["number"], letter["stage"], letter["reason"]) == (1, "ingest", "bad_date")
    assert json.loads(cluster.run("dead-letters", "show", "1", "--raw").stdout)["created_at"] == "03~01~2026"


def test_a_post_is_followed_through_ledger_log_and_store(cluster: Cluster) -> None:
    post_id = ids.post_id("x", "2")
    found = result(cluster, "trace", post_id)
    assert found["ledger"]["brands"] == ["acme", "globex"]
    assert [one["kind"] for one in found["posts"]] == ["post"]
    assert sorted(one["brand"] for one in found["mentions"]) == ["acme", "globex"]
    assert {one["mention_id"] for one in found["stored"]} == {one["mention_id"] for one in found["mentions"]}
    assert (found["retracted_at"], found["dead_letters"]) == (None, [])
    assert "awful" not in json.dumps(found)
    told = cluster.run("trace", "x:nobody").stdout
    assert "never taken in" in told


def test_where_the_log_is_json_an_ingest_worker_says_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps(ROWS[3]) + "\n", encoding="utf-8")
    json_lines = {"SOUNDINGS_LOGGING_FORMAT": "json"}
    done = cluster.run("ingest", str(file), "--health-port", "0", more=json_lines)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    assert {line["role"] for line in lines} == {"ingest"}
    assert [line["message"] for line in lines if f"{file}: read 1 (" in line["message"]]
    refused = cluster.run("ingest", str(tmp_path / "nowhere"), more=json_lines)
    assert [json.loads(line)["level"] for line in refused.stderr.splitlines()] == ["error"]


def test_the_store_is_exported_and_imported_into_a_data_folder_and_back(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "store.jsonl.gz"
    done = cluster.run("export", str(file))
    assert done.returncode == 0, done.stderr
    local = replace(cluster, folder=tmp_path, workers=[])
    embedded = {"SOUNDINGS_STORE_KIND": "embedded", "SOUNDINGS_LOG_KIND": "embedded"}
    brought = local.run("import", str(file), more=embedded)
    assert brought.returncode == 0, brought.stderr
    again = local.run("import", str(file), more=embedded)
    assert "0 stored" in again.stdout
    there = {row["mention_id"]: row["text"] for row in result(cluster, "search", "@acme OR globexico")["mentions"]}
    here = local.run("search", "@acme OR globexico", "--json", more=embedded)
    assert here.returncode == 0, here.stderr
    assert {row["mention_id"]: row["text"] for row in json.loads(here.stdout)["mentions"]} == there != {}
    back = cluster.run("import", str(file))
    assert "0 stored" in back.stdout, back.stderr


def test_months_are_told_before_they_are_dropped_and_stay_as_they_are_when_their_template_is_the_present_one(
    cluster: Cluster,
) -> None:
    migrated = cluster.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    assert "2026.03: version" in migrated.stdout
    assert "as it should be" in migrated.stdout
    told = cluster.run("drop-months", "--before", "2026-04")
    assert "2026-03: would be removed; --yes does it" in told.stdout, told.stderr
    kept = cluster.run("drop-months", "--before", "2026-03", "--yes")
    assert kept.stdout == "no month before 2026-03 is there\n", kept.stderr
    assert result(cluster, "search", "@acme")["total"] > 0
    for wrong in ("2026-13", "2026", "26-01"):
        assert cluster.run("drop-months", "--before", wrong).returncode == 2
    assert cluster.run("backup", "somewhere").returncode == 2


def test_a_retracted_post_leaves_its_tombstone_and_a_record_for_nobody_its_dead_letter(cluster: Cluster) -> None:
    post_id = ids.post_id("x", "1")
    at = SystemClock().now()
    with closing(cluster.log()) as log:
        cluster.append("mentions", [encode(Retraction(post_id=post_id, source="x", retracted_at=at))])
        cluster.append("posts", [b"{broken"])
        cluster.wait_for(lambda: len(log.dead_letters()) == 2, "the dead letter")
        cluster.wait_until_done(log)
    found = result(cluster, "trace", post_id)
    assert found["stored"] == []
    assert found["retracted_at"].startswith(at.isoformat(timespec="milliseconds")[:23])
    assert "tombstone" in cluster.run("trace", post_id).stdout
    (letter,) = result(cluster, "trace", "x:0")["dead_letters"]
    assert (letter["stage"], letter["reason"], letter["position"][:6]) == ("enrich", "not_json", "posts/")


def test_dead_letters_are_copied_for_kibana_without_text_and_change_when_they_are_retried(cluster: Cluster) -> None:
    cluster.wait_for(lambda: len(documents(cluster, "dead")) == 2, "the copies")
    shown = {one["number"]: one for one in documents(cluster, "dead")}
    assert (shown[1]["stage"], shown[1]["reason"]) == ("ingest", "bad_date")
    assert "03~01" not in json.dumps(list(shown.values()))
    assert "detail" not in shown[1]
    # Read as the rows are now configured, the date is a date.
    cluster.config.write_text(
        cluster.config.read_text() + '\n[source.file]\ndate_formats = ["%m~%d~%Y"]\n', encoding="utf-8"
    )
    done = cluster.run("dead-letters", "retry", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Taken up again: 1 ok." in done.stdout
    assert result(cluster, "books")["stages"]["ingest"]["parked"] == 0
    (retried,) = (one for one in documents(cluster, "dead") if one["number"] == 1)
    assert retried["resolution"] == "retried"
    with closing(cluster.log()) as log:
        cluster.wait_until_done(log)
    assert result(cluster, "trace", ids.post_id("x", "3"))["ledger"]["brands"] == ["acme"]


def test_a_worker_that_stops_leaves_its_last_minute_for_kibana(cluster: Cluster) -> None:
    """The health documents of all workers add up to what the stages did."""
    enrich = next(worker for worker in cluster.workers if worker.role == "enrich")
    assert enrich.stop() == 0

    def told() -> bool:
        mine = [one for one in documents(cluster, "events") if one["stage"] == "enrich"]
        return sum(one["in"] for one in mine) == result(cluster, "books")["stages"]["enrich"]["in"]

    cluster.wait_for(told, "the last minute of enrich")
    assert all(one["kind"] == "health" and "lag" in one for one in documents(cluster, "events") if one["in"] > 4)
    cluster.start("enrich")


def test_metrics_of_workers_agree_with_the_books(cluster: Cluster) -> None:
    index = next(worker for worker in cluster.workers if worker.role == "index")
    cluster.wait_for(index.is_ready, "the index worker")
    with urllib.request.urlopen(f"{index.health()}/metrics", timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    booked = result(cluster, "books")["stages"]["index"]["ok"]
    assert f'soundings_stream_booked_records{{outcome="ok",stage="index"}} {float(booked)}' in lines
    assert f'soundings_stream_settled_records_total{{outcome="ok",stage="index"}} {float(booked)}' in lines
    assert 'soundings_stream_lag_records{stage="index"} 0.0' in lines
    assert not any('stage="enrich"' in line for line in lines)


def test_the_dashboard_serves_the_cluster_behind_its_token(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = cluster.run("dashboard", "--host", "0.0.0.0", "--health-port", "0")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "expected a loopback address" in line
    environment = {**cluster.environment, "SOUNDINGS_WEB_AUTH": "token", "SOUNDINGS_WEB_TOKEN": TOKEN}
    monkeypatch.setattr(Cluster, "environment", environment)
    dashboard = cluster.start("dashboard", "--host", "0.0.0.0", "--port", "0")
    cluster.wait_for(lambda: "Soundings serves" in dashboard.text() and dashboard.is_ready(), "the page")
    port = dashboard.text().partition("Soundings serves http://0.0.0.0:")[2].split()[0]
    url = f"http://127.0.0.1:{port}/api/books"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=PATIENCE_SECONDS)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert [stage["stage"] for stage in json.load(answer)["stages"]] == ["ingest", "enrich", "index"]
    assert "put TLS in front" in dashboard.text()
    assert TOKEN not in dashboard.text()
    assert dashboard.stop() == 0, dashboard.text()


def test_the_doctor_finds_all_well(cluster: Cluster) -> None:
    findings = [json.loads(line) for line in cluster.run("doctor", "--json").stdout.splitlines()]
    assert [one["part"] for one in findings] == ["access", "brands", "data folder", "engine", "log", "store", "alerts"]
    assert [one["problems"] for one in findings] == [[]] * 7
    assert cluster.run("doctor").returncode == 0
    index = next(worker for worker in cluster.workers if worker.role == "index")
    port = index.health().rpartition(":")[2]
    cluster.wait_for(index.is_ready, "the index worker")
    ready = cluster.run("doctor", "--ready", "--config", str(_with_health(cluster, port)))
    assert ready.returncode == 0, ready.stderr
    nobody = cluster.run("doctor", "--ready", "--config", str(_with_health(cluster, "1")))
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr


def _with_health(cluster: Cluster, port: str) -> Path:
    path = cluster.folder / f"health-{port}.toml"
    path.write_text(f"{cluster.config.read_text()}\n[health]\nport = {port}\n", encoding="utf-8")
    return path


def test_the_doctor_says_what_is_missing_and_what_does_not_answer(cluster: Cluster, tmp_path: Path) -> None:
    unset = replace(cluster, prefix="t-nothing-", folder=tmp_path, workers=[])
    done = unset.run("doctor")
    assert done.returncode == 2
    assert "topic t-nothing-posts is missing: `soundings setup` creates it" in done.stdout
    assert "run `soundings setup`" in done.stdout.partition("store")[2]
    away = replace(cluster, broker="127.0.0.1:1", elastic="http://127.0.0.1:1", folder=tmp_path, workers=[])
    done = away.run("doctor")
    assert done.returncode == 1, done.stdout
    assert "127.0.0.1:1" in done.stdout
    assert {"down  log", "down  store"} <= {line[:11].rstrip(":") for line in done.stdout.splitlines()}


def test_commands_on_a_prefix_without_setup_say_what_was_looked_for(cluster: Cluster, tmp_path: Path) -> None:
    unset = replace(cluster, prefix="t-misspelt-", folder=tmp_path, workers=[])
    for arguments in (["export", "all.gz"], ["drop-months", "--before", "2026-12"], ["migrate"]):
        done = unset.run(*arguments)
        assert done.returncode == 2, done.stdout
        (line,) = done.stderr.splitlines()
        assert "t-misspelt-tombstones" in line
        assert cluster.prefix in line
        assert "soundings setup" in line
    assert not (tmp_path / "all.gz").exists()


def test_commands_say_that_they_wait_for_elasticsearch_while_it_is_away(cluster: Cluster, tmp_path: Path) -> None:
    away = replace(cluster, elastic="http://127.0.0.1:1", folder=tmp_path, workers=[])
    for arguments in (["export", "all.gz"], ["migrate"]):
        done = away.run(*arguments, more={"SOUNDINGS_ELASTIC_RETRY_SECONDS": "12"})
        assert done.returncode == 1, done.stdout
        told, failed = done.stderr.splitlines()
        assert told.startswith("waits, for up to")
        assert "no answer from Elasticsearch at http://127.0.0.1:1" in told
        assert "no answer" in failed


def test_the_doctor_finds_a_month_that_is_blocked_and_migrate_mends_it(cluster: Cluster) -> None:
    index = f"{cluster.prefix}mentions-2026.03"
    with closing(Elastic(settings_for(cluster.elastic, cluster.prefix))) as elastic:
        elastic.ask("PUT", f"/{index}/_settings", {"index.blocks.write": True})
    done = cluster.run("doctor")
    assert done.returncode == 2
    assert f"writes to {index} are refused" in done.stdout
    assert "run `soundings migrate`" in done.stdout
    assert "writes are let in again" in cluster.run("migrate").stdout
    assert cluster.run("doctor").returncode == 0


def test_a_worker_waits_for_what_is_away_and_is_not_ready_meanwhile(cluster: Cluster, tmp_path: Path) -> None:
    away = replace(cluster, broker="127.0.0.1:1", elastic="http://127.0.0.1:1", folder=tmp_path, workers=[])
    for role in ("enrich", "index", "dashboard"):
        worker = away.start(role, *(["--port", "0"] if role == "dashboard" else []))
        away.wait_for(lambda worker=worker: "tries again in" in worker.text(), f"{role} to wait")  # type: ignore[misc]
        assert worker.health()
        assert not worker.is_ready()
        assert worker.stop() == 0, worker.text()
        # That it waits and when it tries again, and nothing of what a client library has to say beside it.
        troubles = [line for line in worker.text().splitlines() if line.startswith((f"{role}: W", f"{role}: E"))]
        ours = [line for line in troubles if "tries again in" in line or "waits, for up to" in line]
        assert troubles == ours, worker.text()


def test_a_wrong_password_ends_a_worker_with_one_line(cluster: Cluster, kafka_server: KafkaServer) -> None:
    way = {
        "BOOTSTRAP_SERVERS": kafka_server.sasl_address,
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": "soundings",
        "SASL_PASSWORD": "not-this-one",
    }
    more = {f"SOUNDINGS_KAFKA_{name}": value for name, value in way.items()}
    done = cluster.run("enrich", "--health-port", "0", more=more)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "does not let the user soundings in" in line


def test_what_runs_in_one_process_is_refused_on_a_cluster_and_the_other_way_round(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cluster.folder / "posts.jsonl"
    for arguments in (["up", "--port", "0"], ["replay", str(file)]):
        done = cluster.run(*arguments)
        assert done.returncode == 2
        assert "each stage is a process of its own" in done.stderr
    alone = {**cluster.environment, "SOUNDINGS_LOG_KIND": "embedded", "SOUNDINGS_STORE_KIND": "embedded"}
    monkeypatch.setattr(Cluster, "environment", alone)
    for role in ("ingest", "enrich", "index"):
        done = cluster.run(role, "--health-port", "0")
        assert done.returncode == 2
        assert "`soundings up`" in done.stderr
    assert cluster.run("setup").returncode == 0


@pytest.mark.parametrize("role", ["ingest", "enrich", "index", "dashboard", "check", "doctor", "setup"])
def test_a_store_of_one_process_is_refused_on_a_log_of_many_before_anything_is_taken_from_it(
    cluster: Cluster, role: str
) -> None:
    """A worker that wrote into a folder of its own would take mentions away from the store that is read."""
    done = cluster.run(role, more={"SOUNDINGS_STORE_KIND": "embedded"}, data="astray")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "store.kind: is embedded" in line
    assert f"log.kind is {cluster.client}" in line
    assert done.stdout == ""
    assert not (cluster.folder / "astray").exists()
