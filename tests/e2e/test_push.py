"""The folder and the webhook end to end: what is dropped and what is sent is found, and a kill loses nothing."""

from __future__ import annotations

import json

import pytest
from e2e.command_line import Soundings
from e2e.test_live import found
from e2e.test_up import Running
from fakes.live_webhook import SECRET, free_port, post


def start(soundings: Soundings) -> Running:
    output = soundings.folder / "up.log"
    with output.open("wb") as stream:
        process = soundings.start("up", "--engine", "tiny", "--port", "0", output=stream)
    running = Running(soundings, process, output)
    running.wait_until_served()
    return running


def send(soundings: Soundings, port: int, *names: str) -> None:
    """Send posts until they are taken, as every sender must."""
    body = json.dumps([{"id": name, "text": f"{name} about @acme"} for name in names]).encode()

    def taken() -> bool:
        try:
            return post(port, body)[0] in (202, 409)
        except OSError:
            return False

    soundings.wait_for(taken, "the answer")


def test_what_is_dropped_and_sent_is_found_and_a_kill_loses_nothing(
    soundings: Soundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, port = soundings.folder / "drop", free_port()
    drop.mkdir()
    for name, value in {
        "SOURCES_ENABLED": "folder,webhook",
        "SOURCE_FOLDER_PATH": str(drop),
        "SOURCE_FOLDER_POLL_SECONDS": "0.1",
        "SOURCE_FOLDER_SETTLE_SECONDS": "0.1",
        "SOURCE_WEBHOOK_PORT": str(port),
        "SOURCE_WEBHOOK_SECRET": SECRET,
    }.items():
        monkeypatch.setitem(soundings.extra, f"SOUNDINGS_{name}", value)
    running = start(soundings)
    (drop / "a.csv").write_text("id,text\n" + "".join(f"{n},row {n} about @acme\n" for n in range(20)))
    send(soundings, port, "t1", "t2")
    soundings.wait_for(lambda: found(running.address) == 22, "the first mentions")
    send(soundings, port, "t3")
    (drop / "b.csv").write_text("id,text\n" + "".join(f"{n},row {n} about @acme\n" for n in range(10, 500)))
    running.kill()
    (drop / "c.csv").write_text("id,text\n500,row 500 about @acme\n")
    running = start(soundings)
    send(soundings, port, "t3", "t4")
    soundings.wait_for(lambda: found(running.address) == 505, "all mentions, each once")
    soundings.wait_for(lambda: len(list((drop / "done").iterdir())) == 3, "the files in done/")
    assert SECRET not in running.output.read_text()
