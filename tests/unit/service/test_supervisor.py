"""The supervisor starts children again, gives up with the reason, and takes its children with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import BackendDown
from service.supervisor import BACKOFF_MOST_SECONDS, MAX_QUICK_FAILURES, ChildSpec, Supervisor, backoff_seconds

# A child like ours: takes its task, holds the lifeline, says that it is ready, and does what the task says.
CHILD = """
import os, signal, sys, threading
from service.lifeline import announce_ready, hold, receive_task
task = receive_task().decode()
hold()
if task.startswith("exit"):
    sys.exit(int(task.split()[1]))
with open(task, "a") as file:
    file.write(f"{os.getpid()}\\n")
announce_ready()
signal.pause()
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def supervised(*specs: ChildSpec) -> Supervisor:
    return Supervisor(specs, command=(sys.executable, "-c", CHILD))


@pytest.mark.parametrize(("set_by_operator", "found"), [(None, "2"), ("8", "8")])
def test_children_share_few_heaps_unless_the_operator_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_by_operator: str | None, found: str
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if set_by_operator is not None:
        monkeypatch.setenv("MALLOC_ARENA_MAX", set_by_operator)
    place = tmp_path / "heaps"
    child = f"import os\nopen({str(place)!r}, 'w').write(os.environ['MALLOC_ARENA_MAX'])\n{CHILD}"
    supervisor = Supervisor([ChildSpec("one", bytes(tmp_path / "pid"))], command=(sys.executable, "-c", child))
    running = threading.Thread(target=supervisor.run)
    running.start()
    wait_for(supervisor.ready("one").is_set)
    supervisor.stop()
    running.join()
    assert place.read_text() == found


def test_a_killed_child_is_started_again_and_all_stop_on_request(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    supervisor = supervised(ChildSpec("one", bytes(first)), ChildSpec("two", bytes(second), after="one"))
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        wait_for(supervisor.ready("two").is_set)
        os.kill(pids(first)[0], signal.SIGKILL)
        wait_for(lambda: len(pids(first)) == 2 and supervisor.ready("one").is_set())
        assert len(pids(second)) == 1
    finally:
        supervisor.stop()
        thread.join(60)
    assert codes == [0]
    assert not any(alive(pid) for pid in pids(first) + pids(second))


def test_a_child_that_fails_again_and_again_ends_it_with_the_reason() -> None:
    with pytest.raises(BackendDown, match=rf"the one failed {MAX_QUICK_FAILURES} times in a row.*exit code 3"):
        supervised(ChildSpec("one", b"exit 3")).run()


def test_a_child_that_needs_the_operator_is_not_started_again(tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert supervised(ChildSpec("other", bytes(other)), ChildSpec("one", b"exit 2", after="other")).run() == 2
    assert len(pids(other)) == 1
    assert not alive(pids(other)[0])


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = (
        "import sys; from service.supervisor import ChildSpec, Supervisor\n"
        "Supervisor([ChildSpec('one', sys.argv[1].encode())], command=(sys.executable, '-c', sys.argv[2])).run()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(mark), CHILD])
    try:
        wait_for(lambda: len(pids(mark)) == 1)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not alive(pids(mark)[0]))


def test_the_wait_before_a_start_doubles_up_to_a_ceiling_and_is_drawn_from_all_of_it() -> None:
    ceilings = [backoff_seconds(failures, lambda low, high: high) for failures in range(1, 30)]
    assert ceilings[:3] == [0.5, 1.0, 2.0]
    assert ceilings[-1] == BACKOFF_MOST_SECONDS
    assert backoff_seconds(5, lambda low, high: low) == 0.0
