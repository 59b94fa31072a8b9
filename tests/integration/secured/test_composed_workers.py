"""The workers of docker-compose.yml without containers: its commands, its environment, its users, real servers.

What differs from the file: addresses and ports, the folder of data, a prefix in Kafka, the engine (a word list).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from compose import ROOT, example_values, load
from servers.kafka import KafkaServer
from servers.process import free_port
from servers.secure_elastic import PASSWORD, SecureElasticServer

from deploy.json_http import Refused, Server
from domain import ids
from domain.errors import BackendDown

SAMPLE = ROOT / "service" / "samples" / "sample.jsonl"
# Far beyond what anything here takes: a test that hangs ends, a busy machine fails nothing.
PATIENCE_SECONDS = 300.0


@dataclass
class Composed:
    """The services of the compose file as processes of this machine."""

    services: dict[str, Any]
    replaced: dict[str, str]
    added: dict[str, str]
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        given = {key: self._here(value) for key, value in self.services[name]["environment"].items()}
        self.ports.setdefault(name, free_port())
        given |= {"SOUNDINGS_HEALTH_HOST": "127.0.0.1", "SOUNDINGS_HEALTH_PORT": str(self.ports[name])}
        if "SOUNDINGS_WEB_HOST" in given:
            self.ports.setdefault("web", free_port())
            given |= {"SOUNDINGS_WEB_HOST": "127.0.0.1", "SOUNDINGS_WEB_PORT": str(self.ports["web"])}
        data = self.folder / name
        data.mkdir(exist_ok=True)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(data), "SOUNDINGS_DATA_DIR": str(data)}
        return {**given, **self.added, **own}

    def _here(self, value: str) -> str:
        for there, here in self.replaced.items():
            value = value.replace(there, here)
        return value

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a service to its end: its entry point, else `soundings` with the arguments."""
        command = self.services[name]["entrypoint"] or ["soundings", *arguments]
        environment = self.environment(name)
        return subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                ["soundings", *self.services[name]["command"]],
                env=self.environment(name),
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def is_healthy(self, name: str) -> bool:
        """Ask as the compose file's healthcheck does."""
        assert self.running[name].poll() is None, self.said(name)
        first, *test = self.services[name]["healthcheck"]["test"]
        assert first == "CMD"
        command = [part.replace(":9100/", f":{self.ports[name]}/") for part in test]
        done = subprocess.run(command, env=self.environment(name), capture_output=True, check=False)
        return done.returncode == 0

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE_SECONDS)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


def wait_for(what: Callable[[], bool], composed: Composed) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, {name: composed.said(name)[-2_000:] for name in composed.running}
        time.sleep(0.3)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("composed") / "env"
    made = subprocess.run(["sh", ROOT / "deploy" / "new-env.sh"], capture_output=True, check=True).stdout.decode()
    path.write_text(re.sub(r"^ELASTIC_PASSWORD=.*$", f"ELASTIC_PASSWORD={PASSWORD}", made, flags=re.MULTILINE))
    return path


@pytest.fixture(scope="module")
def composed(
    secrets: Path, server: SecureElasticServer, kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    made = Composed(
        load(secrets, ROOT / "docker-compose.yml")["services"],
        {
            "kafka:9092": kafka_server.address,
            "https://elasticsearch:9200": server.url,
            "/certificates/ca.crt": str(server.authority),
            "/etc/soundings/soundings.toml": str(ROOT / "deploy" / "soundings.toml"),
        },
        {"SOUNDINGS_KAFKA_PREFIX": "composed-", "SOUNDINGS_ENGINE_KIND": "tiny"},
        tmp_path_factory.mktemp("workers"),
    )
    try:
        yield made
    finally:
        made.close()


def as_user(server: SecureElasticServer, secrets: Path, name: str) -> Server:
    values, _ = example_values(secrets.read_text())
    return Server("Elasticsearch", server.url, name, values[f"{name.upper()}_PASSWORD"], server.authority)


def ask_page(composed: Composed, path: str, token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{composed.ports['web']}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, None


def test_a_sample_passes_through_the_composed_cluster_with_each_worker_as_its_own_user(
    composed: Composed, server: SecureElasticServer, secrets: Path
) -> None:
    done = composed.run("setup")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "access: role marketing" in done.stdout
    assert "topic composed-posts: created" in done.stdout
    assert "template soundings-mentions: version" in done.stdout
    # Each start of the cluster runs it again.
    assert composed.run("setup").returncode == 0

    for name in ("enrich", "index", "alert", "dashboard"):
        composed.start(name)
    for name in ("enrich", "index", "alert", "dashboard"):
        wait_for(lambda name=name: composed.is_healthy(name), composed)

    read = composed.run("ingest", "ingest", str(SAMPLE))
    assert read.returncode == 0, read.stdout + read.stderr

    marketing = as_user(server, secrets, "marketing")
    counted = {"query": {"terms": {"brand_id": ["cuppelo", "brewmont"]}}}

    def mentions() -> int:
        # Before the first month is there and has its shards, there is nothing to ask.
        with suppress(BackendDown, Refused):
            return int(marketing.ask("POST", "/soundings-mentions/_count", counted)["count"])
        return 0

    wait_for(lambda: mentions() == 132, composed)

    values, _ = example_values(secrets.read_text())
    assert ask_page(composed, "/api/mentions?q=lid")[0] == 401
    status, found = ask_page(composed, "/api/mentions?q=lid", values["DASHBOARD_TOKEN"])
    assert status == 200
    assert found["total"] > 0

    # A last health document tells of each stage when it stops; index copies it for Kibana.
    assert composed.stop("enrich") == 0
    it = as_user(server, secrets, "it")
    health = {"query": {"bool": {"filter": [{"term": {"kind": "health"}}, {"term": {"stage": "enrich"}}]}}}

    def enriched() -> int:
        hits = it.ask("POST", "/soundings-events/_search", health)["hits"]["hits"]
        return sum(hit["_source"]["in"] for hit in hits)

    wait_for(lambda: enriched() > 0, composed)
    # Nobody listens to the sources of the configuration here: that is a trouble, and it is kept.
    looked = {"query": {"term": {"kind": "health"}}}

    def kept() -> int:
        it.ask("POST", "/soundings-documents/_refresh")
        return int(it.ask("POST", "/soundings-documents/_count", looked)["count"])

    wait_for(lambda: kept() == 1, composed)
    assert composed.stop("alert") == 0
    assert composed.stop("index") == 0
    assert composed.stop("dashboard") == 0
    for name in ("enrich", "index", "alert", "dashboard"):
        assert not [line for line in composed.said(name).splitlines() if '"level": "error"' in line.lower()]
        for secret in values.values():
            assert secret not in composed.said(name)


def test_each_command_beside_the_workers_needs_no_more_than_the_user_that_the_page_names(
    composed: Composed, secrets: Path, tmp_path: Path
) -> None:
    """As docs/running-in-a-company.md lists them."""
    values, _ = example_values(secrets.read_text())
    bad = tmp_path / "bad.jsonl"
    first = SAMPLE.read_text().splitlines()[0]
    bad.write_text(f"{first}\n{{broken\n")
    post_id = ids.post_id(json.loads(first)["platform"], json.loads(first)["id"])

    def done(name: str, *arguments: str, **more: str) -> str:
        """Run a command with the environment of a service; gives what it prints."""
        as_it_is, composed.added = composed.added, {**composed.added, **more}
        try:
            ran = composed.run(name, *arguments)
        finally:
            composed.added = as_it_is
        assert ran.returncode == 0, f"{arguments} as {name}: {ran.stdout}{ran.stderr}"
        assert "note:" not in ran.stderr, ran.stderr
        return ran.stdout

    done("setup")
    done("ingest", "ingest", str(bad))
    for name in ("index", "alert", "dashboard"):
        assert "wrong" not in done(name, "doctor")
    assert "parked" in done("dashboard", "books")
    assert "bad.jsonl" in done("dashboard", "dead-letters", "list")
    done("dashboard", "search", "lid")
    assert post_id in done("dashboard", "trace", post_id)
    (letter,) = json.loads(f"[{','.join(done('dashboard', 'dead-letters', 'list', '--json').splitlines())}]")
    # It stays parked: that is told to Kibana, and not that nobody may.
    again = composed.run("index", "dead-letters", "retry", str(letter["number"]))
    assert (again.returncode, "Kibana" in again.stderr) == (1, False), again.stderr
    export = tmp_path / "store.jsonl.gz"
    done("dashboard", "export", str(export))
    it = {"SOUNDINGS_ELASTIC_USER": "it", "SOUNDINGS_ELASTIC_PASSWORD": values["IT_PASSWORD"]}
    assert "0 stored" in done("index", "import", str(export), **it)
    assert "no month before" in done("index", "drop-months", "--before", "2000-01", "--yes", **it)
    refused = composed.run("index", "migrate", "--every")
    assert refused.returncode != 0, refused.stdout
    assert "403" in refused.stderr
    done("index", "migrate", "--every", **it)
