"""The control socket: only for its owner, one answer per request, errors as the pipeline raised them."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.errors import BackendDown, Busy, ConfigError
from service.control import ControlClient, ControlServer, Report, Request


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def ask(root: Path, request: Request) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    client = ControlClient.connect(root)
    assert client is not None
    seen: list[Mapping[str, Any]] = []
    try:
        return client.ask(request, seen.append), seen
    finally:
        client.close()


def count_up(request: Request, report: Report) -> Mapping[str, Any]:
    for number in range(request["to"]):
        report({"at": number})
    return {"sum": request["to"]}


def fail(request: Request, report: Report) -> Mapping[str, Any]:
    kinds = {"config": ConfigError(["one", "two"]), "busy": Busy("held"), "down": BackendDown("gone")}
    if request["how"] == "bug":
        raise RuntimeError("a secret of the pipeline")
    raise kinds[request["how"]]


def test_a_request_gets_its_progress_and_then_its_result(root: Path) -> None:
    server = ControlServer(root, {"count": count_up})
    try:
        assert ask(root, {"command": "count", "to": 3}) == ({"sum": 3}, [{"at": 0}, {"at": 1}, {"at": 2}])
    finally:
        server.close()


def test_errors_arrive_as_they_were_raised_and_a_bug_shows_nothing_of_its_inside(root: Path) -> None:
    server = ControlServer(root, {"fail": fail})
    try:
        with pytest.raises(ConfigError) as caught:
            ask(root, {"command": "fail", "how": "config"})
        assert caught.value.problems == ("one", "two")
        with pytest.raises(Busy, match="held"):
            ask(root, {"command": "fail", "how": "busy"})
        with pytest.raises(BackendDown, match="gone"):
            ask(root, {"command": "fail", "how": "down"})
        with pytest.raises(BackendDown, match="its log says why"):
            ask(root, {"command": "fail", "how": "bug"})
        with pytest.raises(ConfigError, match="does not know this command"):
            ask(root, {"command": "dance"})
    finally:
        server.close()


def test_only_its_owner_may_open_the_socket(root: Path) -> None:
    server = ControlServer(root, {})
    try:
        assert stat.S_IMODE((root / "control.sock").stat().st_mode) == 0o600
    finally:
        server.close()
    assert not (root / "control.sock").exists()


def test_a_path_too_long_for_a_socket_is_worked_around(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 40)
    root.mkdir()
    server = ControlServer(root, {"count": count_up})
    try:
        elsewhere = Path((root / "control.path").read_text())
        assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700
        assert ask(root, {"command": "count", "to": 0})[0] == {"sum": 0}
    finally:
        server.close()
    assert not elsewhere.parent.exists()
    assert ControlClient.connect(root) is None


def test_what_a_killed_server_left_behind_is_no_server_and_gives_way(root: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(root / "control.sock"))
    dead.close()
    assert ControlClient.connect(root) is None
    server = ControlServer(root, {"count": count_up})
    try:
        assert ask(root, {"command": "count", "to": 0})[0] == {"sum": 0}
    finally:
        server.close()


def test_a_client_that_goes_away_cancels_its_request(root: Path) -> None:
    cancelled = threading.Event()

    def forever(request: Request, report: Report) -> Mapping[str, Any]:
        try:
            while True:
                report({"going": True})
        finally:
            cancelled.set()

    server = ControlServer(root, {"forever": forever})
    try:
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.connect(str(root / "control.sock"))
        raw.sendall(b'{"command": "forever"}\n')
        assert raw.recv(16)
        raw.close()
        assert cancelled.wait(30)
    finally:
        server.close()


def test_a_server_that_closes_ends_running_requests_with_what_to_do(root: Path) -> None:
    running, errors = threading.Event(), []

    def forever(request: Request, report: Report) -> Mapping[str, Any]:
        while True:
            report({"going": True})
            running.set()

    def client() -> None:
        try:
            ask(root, {"command": "forever"})
        except BackendDown as exc:
            errors.append(str(exc))

    server = ControlServer(root, {"forever": forever})
    thread = threading.Thread(target=client)
    thread.start()
    assert running.wait(30)
    server.close()
    thread.join(30)
    assert len(errors) == 1
    assert "run the same command again" in errors[0]


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"not json\n", json.dumps({"command": ["x"]}).encode() + b"\n"])
def test_a_request_that_makes_no_sense_is_answered_with_an_error(root: Path, line: bytes) -> None:
    server = ControlServer(root, {"count": count_up})
    try:
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        raw.settimeout(30)
        raw.connect(str(root / "control.sock"))
        raw.sendall(line)
        with raw.makefile("rb") as answer:
            assert json.loads(answer.readline())["error"]["kind"] == "config"
        raw.close()
    finally:
        server.close()
