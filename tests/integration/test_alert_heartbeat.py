"""A sign of life: asked as long as everything is looked at, whatever the other side says, and never in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from fakes.hook_server import serve_hooks

from service.alert_heartbeat import Heartbeat

BEAT_MINUTES = 0.001
PATIENCE_SECONDS = 60


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_beats_while_alerts_live_and_goes_on_after_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    stop, lives = threading.Event(), threading.Event()
    with serve_hooks() as hooks:
        hooks.answers += ["cut", (500, {})]
        address = f"{hooks.address}/ping/a-secret-of-the-address"
        beating = Heartbeat(address, BEAT_MINUTES, lives.is_set, allow_private=True)
        thread = threading.Thread(target=beating.run, args=(stop,))
        thread.start()
        lives.set()
        wait_for(lambda: len(hooks.came) >= 5)
        lives.clear()
        stop.set()
        thread.join()
        assert {path for path, _, _ in hooks.came} == {"/ping/a-secret-of-the-address"}
    assert "answers 500" in caplog.text
    assert "a-secret-of-the-address" not in caplog.text


def test_what_is_wrong_is_said_once_until_it_is_something_else(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    with serve_hooks() as hooks:
        hooks.answers += [(500, {}), (500, {}), (500, {}), (503, {}), (503, {}), (200, {}), (503, {})]
        beating = Heartbeat(f"{hooks.address}/ping", BEAT_MINUTES, lambda: True, allow_private=True)
        thread = threading.Thread(target=beating.run, args=(stop,))
        thread.start()
        wait_for(lambda: len(hooks.came) >= 8)
        stop.set()
        thread.join()
    said = [record.args for record in caplog.records if record.name == "service.alert_heartbeat" and record.args]
    assert said == [("answers 500",), ("answers 503",), ("answers 503",)]


def test_it_is_silent_while_alerts_do_not_live() -> None:
    stop, asked = threading.Event(), threading.Semaphore(0)

    def lives() -> bool:
        asked.release()
        return False

    with serve_hooks() as hooks:
        beating = Heartbeat(f"{hooks.address}/ping", BEAT_MINUTES, lives, allow_private=True)
        thread = threading.Thread(target=beating.run, args=(stop,))
        thread.start()
        for _ in range(5):
            assert asked.acquire(timeout=PATIENCE_SECONDS)
        stop.set()
        thread.join()
        assert hooks.came == []


def test_a_private_address_is_asked_only_where_that_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    with serve_hooks() as hooks:
        beating = Heartbeat(f"{hooks.address}/ping", BEAT_MINUTES, lambda: True, allow_private=False)
        thread = threading.Thread(target=beating.run, args=(stop,))
        thread.start()
        wait_for(lambda: "alerts.heartbeat_private" in caplog.text)
        stop.set()
        thread.join()
        assert hooks.came == []
