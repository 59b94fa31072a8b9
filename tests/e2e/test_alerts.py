"""Alerts end to end: a crisis comes in, the webhook is told once, and a kill neither repeats nor forgets."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.command_line import Soundings
from e2e.test_up import Running
from fakes.hook_server import Hooks, serve_hooks

from alerts.evaluator import EVALUATOR, STATUS
from alerts.outbox import Outbox
from domain.documents import Documents
from domain.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, check_signature
from service.components import open_documents
from service.settings import load

SECRET = "a-secret-of-thirty-two-characters-or-more"
CONFIG = """
[alerts]
look_seconds = 1
group_wait_seconds = 0

[[brands]]
id = "acme"
query = "acme"

[[channels]]
id = "hook"
type = "webhook"
url = "{url}"
allow_private = true

[[subscriptions]]
id = "desk"
channel = "hook"
"""
# What the tiny engine takes for negative and for neutral.
BAD, PLAIN = "acme is terrible, awful, broken", "acme opens at nine"


def row(name: str, at: datetime, text: str) -> str:
    return json.dumps({"id": name, "created_at": at.isoformat(), "author": f"author {name}", "text": f"{text} {name}"})


def history(now: datetime, days: int = 10) -> list[str]:
    """Give what was said before: a few words an hour, one of them bad."""
    draw = random.Random(5)
    rows = []
    for hour in range(days * 24, 1, -1):
        at = now - timedelta(hours=hour)
        rows += [row(f"h{hour}-{n}", at + timedelta(seconds=draw.randrange(3600)), PLAIN) for n in range(3)]
        rows.append(row(f"b{hour}", at + timedelta(seconds=draw.randrange(3600)), BAD))
    return rows


def crisis(now: datetime, number: int = 60) -> list[str]:
    """Give many bad words of the last half hour, each of an author of its own and about something else."""
    step = timedelta(minutes=30) / number
    words = [f"{a} {b}" for a in ("lid", "box", "lamp", "door", "seat", "wheel", "cup", "bag") for b in "abcdefgh"]
    return [
        row(f"c{n}", now - timedelta(minutes=31) + step * n, f"{BAD}: my {words[n]} story number {n * 7919}")
        for n in range(number)
    ]


def start(soundings: Soundings) -> Running:
    output = soundings.folder / "up.log"
    with output.open("ab") as stream:
        process = soundings.start("up", "--engine", "tiny", "--port", "0", output=stream)
    running = Running(soundings, process, output)
    running.wait_until_served()
    return running


def kill_pipeline(running: Running) -> None:
    """Kill the pipeline, as a machine's out-of-memory killer would; its supervisor starts another."""
    pid = running.children()["pipeline"]
    os.kill(pid, signal.SIGKILL)
    running.soundings.wait_for(lambda: running.children().get("pipeline", pid) != pid, "another pipeline")


def drop(soundings: Soundings, name: str, rows: list[str]) -> None:
    """Put a file into the watched folder, whole from the first look on."""
    folder = soundings.folder / "drop"
    made = soundings.folder / name
    made.write_text("\n".join(rows) + "\n", encoding="utf-8")
    made.rename(folder / name)


def told(hooks: Hooks, telling: str) -> list[Mapping[str, object]]:
    bodies = [json.loads(body) for _, _, body in hooks.came]
    return [body for body in bodies if body["telling"] == telling]


@pytest.fixture
def desk(soundings: Soundings, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = soundings.folder / "drop"
    folder.mkdir()
    for name, value in {
        "SOURCES_ENABLED": "folder",
        "SOURCE_FOLDER_PATH": str(folder),
        "SOURCE_FOLDER_POLL_SECONDS": "0.1",
        "SOURCE_FOLDER_SETTLE_SECONDS": "0.1",
        "CHANNEL_HOOK_SECRET": SECRET,
    }.items():
        monkeypatch.setitem(soundings.extra, f"SOUNDINGS_{name}", value)
    return folder


def test_a_crisis_is_told_once_with_its_reason_and_a_kill_neither_repeats_nor_forgets(
    soundings: Soundings, desk: Path
) -> None:
    with serve_hooks() as hooks:
        # Taken, and then cut off: whether it was taken nobody knows, so it comes again, under the same key.
        hooks.answers.append("cut")
        soundings.config.write_text(CONFIG.format(url=f"{hooks.address}/hook"), encoding="utf-8")
        running = start(soundings)
        now = datetime.now(UTC)
        drop(soundings, "history.jsonl", history(now))
        soundings.wait_for(lambda: (desk / "done" / "history.jsonl").exists(), "the history")
        drop(soundings, "crisis.jsonl", crisis(now))
        soundings.wait_for(lambda: bool(told(hooks, "firing")), "the first try")
        kill_pipeline(running)
        soundings.wait_for(lambda: len(told(hooks, "firing")) >= 2, "the second try")
        # What was sent is noted; another kill sends nothing more.
        soundings.wait_for(lambda: "sent" in fates(soundings), "the note that it went")
        kill_pipeline(running)
        before = looks(soundings)
        soundings.wait_for(lambda: looks(soundings) > before, "another look")
        running.kill()
        assert len(set(hooks.keys)) == 1
        assert len(hooks.came) == 2
        path, headers, body = hooks.came[-1]
        assert path == "/hook"
        signed_at = int(headers[TIMESTAMP_HEADER.lower()])
        check_signature([SECRET], signed_at, headers[SIGNATURE_HEADER.lower()], body)
        [alert] = told(hooks, "firing")[-1]["alerts"]  # type: ignore[misc]
        assert alert["brand_id"] == "acme"
        assert alert["metric"] == "negative"
        assert alert["observed"] >= 10
        assert alert["authors"] >= 5
        assert alert["samples"]
        assert SECRET not in running.output.read_text()
    listed = soundings.run("alerts", "list", "--json")
    [row_] = [json.loads(line) for line in listed.stdout.splitlines()]
    assert row_["alert_id"] == alert["alert_id"]
    seen = soundings.run("alerts", "acknowledge", row_["alert_id"], "--by", "ann")
    assert "seen" in seen.stdout


@contextmanager
def documents_of(soundings: Soundings) -> Iterator[Documents]:
    environ = {"SOUNDINGS_DATA_DIR": str(soundings.data), **soundings.extra}
    with closing(open_documents(load(soundings.config, environ=environ))) as documents:
        yield documents


def fates(soundings: Soundings) -> set[str]:
    """Give what became of messages."""
    with documents_of(soundings) as documents:
        return {entry.state.value for entry in Outbox(documents).entries()}


def looks(soundings: Soundings) -> int:
    """Give when everything was last looked at."""
    with documents_of(soundings) as documents:
        return int(documents.get(STATUS, [EVALUATOR])[EVALUATOR].body["at_ms"])
