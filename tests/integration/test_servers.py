"""The servers that the tests run against: they stop with us, and come back where they were."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from servers.process import ServerFailed, ServerProcess, free_port

TESTS = Path(__file__).resolve().parents[1]

_LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""

_HOLDER = """
import sys, time
from pathlib import Path
from servers.process import ServerProcess
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
server = ServerProcess("listener", Path(sys.argv[3]), command, lambda one: b"listening" in one.log_path.read_bytes())
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def _listener(folder: Path, port: int) -> ServerProcess:
    command = [sys.executable, "-c", _LISTENER, str(port)]
    return ServerProcess("listener", folder, command, lambda one: b"listening" in one.log_path.read_bytes())


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_server_ends_with_the_process_that_started_it_even_when_that_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, _LISTENER, str(free_port()), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert holder.stdout is not None
    server = int(holder.stdout.readline())
    assert _alive(server)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    deadline = time.monotonic() + 60
    while (_alive(server) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(server)
    assert not folder.exists()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = ServerProcess("broken", tmp_path, [sys.executable, "-c", "raise SystemExit('no disk')"], lambda _: False)
    with pytest.raises(ServerFailed, match=r"broken ended with exit code 1(.|\n)*no disk"):
        server.start()


def test_a_server_comes_back_on_its_port_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    port = free_port()
    server = _listener(tmp_path, port)
    server.start()
    try:
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                pass
            server.start()
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    finally:
        server.stop()
    server.stop()


def test_a_paused_server_keeps_its_connections_and_answers_when_it_goes_on(tmp_path: Path) -> None:
    port = free_port()
    server = _listener(tmp_path, port)
    server.start()
    try:
        server.pause()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            server.resume()
            connection.settimeout(60)
            assert connection.recv(1) == b""
    finally:
        server.stop()
