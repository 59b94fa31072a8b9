"""The supervisor: keeps the children of one data folder running, and takes them with it when it goes."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import BackendDown
from service.lifeline import GRACE_SECONDS, send_task

log = logging.getLogger(__name__)

# A child that lived for this long was well; its next failure starts a new count.
WELL_AFTER_SECONDS = 30.0
MAX_QUICK_FAILURES = 5
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.1
# glibc gives each of a process's many threads a heap of its own, up to eight for each core, and the index's threads
# come and go with each commit: every heap keeps what it ever held. With two the pipeline takes half the memory
# (docs/sources/bluesky.md). What the operator has set holds.
HEAPS = {"MALLOC_ARENA_MAX": "2"}
# A child's exit code for "the operator must mend something": starting it again cannot help.
EXIT_OPERATOR = 2


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a child is: the role it is started with, its task, and the descriptors it inherits."""

    role: str
    task: bytes
    descriptors: tuple[int, ...] = ()
    after: str | None = None


class _Child:
    """One child and its history. `ready` is set while it can be used."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.ready = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.started = 0.0
        self.start_at = 0.0

    def start(self, command: Sequence[str]) -> None:
        """Start the process in a session of its own, so that a terminal's Ctrl-C reaches the supervisor only."""
        self.process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [*command, self.spec.role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=HEAPS | os.environ,
            pass_fds=self.spec.descriptors,
            start_new_session=True,
        )
        self.started = time.monotonic()
        assert self.process.stdin is not None
        try:
            send_task(self.process.stdin, self.spec.task)
        except BrokenPipeError:
            log.warning("the %s ended while it started", self.spec.role)
        threading.Thread(target=self._listen, args=(self.process,), name=f"{self.spec.role}-ready", daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.strip() == b"ready" and process is self.process:
                    self.ready.set()

    def close(self) -> None:
        """Let go of a process that ended."""
        self.ready.clear()
        if self.process is not None and self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                # Part of the task was never read; closing tries to send it again.
                log.debug("the %s ended without reading its task", self.spec.role)
        self.process = None


def backoff_seconds(failures: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Give the wait before start number `failures` + 1 (`failures` >= 1): full jitter under a doubling ceiling."""
    return draw(0.0, min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 16)))


class Supervisor:
    """Runs the children until told to stop."""

    def __init__(
        self, specs: Sequence[ChildSpec], *, command: Sequence[str] = (sys.executable, "-m", "service.child")
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._command = tuple(command)
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to end; may be called from a signal handler."""
        self._stop.set()

    def read_again(self) -> None:
        """Have the children that run read the configuration again; may be called from a signal handler."""
        for child in self._children:
            if child.ready.is_set() and child.process is not None:
                child.process.send_signal(signal.SIGHUP)

    @property
    def stopping(self) -> threading.Event:
        """Set once `stop` was called or `run` gave up."""
        return self._stop

    def ready(self, role: str) -> threading.Event:
        """Give the event that is set while the child of this role can be used."""
        return next(child.ready for child in self._children if child.spec.role == role)

    def run(self) -> int:
        """Keep the children running; gives 0 after `stop`, 2 when a child says that the operator must act.

        Raises:
            BackendDown: a child failed `MAX_QUICK_FAILURES` times in a row.
        """
        try:
            while not self._stop.is_set():
                for child in self._children:
                    code = self._look_after(child)
                    if code is not None:
                        return code
                self._stop.wait(_LOOK_EVERY_SECONDS)
            return 0
        finally:
            self._stop.set()
            self._stop_children()

    def _look_after(self, child: _Child) -> int | None:
        """Start a child that is due, notice one that ended; gives an exit code when all must end."""
        role = child.spec.role
        if child.process is None:
            waits_for = child.spec.after
            if time.monotonic() >= child.start_at and (waits_for is None or self.ready(waits_for).is_set()):
                child.start(self._command)
            return None
        code = child.process.poll()
        if code is None:
            return None
        lived = time.monotonic() - child.started
        child.close()
        if code == EXIT_OPERATOR:
            return EXIT_OPERATOR
        child.failures = child.failures + 1 if lived < WELL_AFTER_SECONDS else 1
        if child.failures >= MAX_QUICK_FAILURES:
            raise BackendDown(
                f"the {role} failed {child.failures} times in a row, the last time {_how(code)} after {lived:.1f} s; "
                "the lines above say why"
            )
        delay = backoff_seconds(child.failures)
        log.warning("the %s ended %s after %.1f s; starting it again in %.1f s", role, _how(code), lived, delay)
        child.start_at = time.monotonic() + delay
        return None

    def _stop_children(self) -> None:
        running = [child for child in reversed(self._children) if child.process is not None]
        for child in running:
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in running:
            if child.process is not None:
                try:
                    child.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    log.warning("the %s did not stop within %.0f s; ending it", child.spec.role, GRACE_SECONDS)
                    child.process.kill()
                    child.process.wait()
            child.close()


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
