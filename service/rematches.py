"""One rematch at a time: whoever asks for the one that goes on joins it, whoever asks for another is told which."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from domain.errors import BackendDown, Busy, ConfigError, RetryLater, ServiceError
from service.control import Report

_REPORT_SECONDS = 0.25

# Rematches a brand, telling of its progress; gives what it did.
Work: TypeAlias = Callable[[str, Report], dict[str, Any]]


@dataclass(slots=True)
class Turn:
    """A rematch under way. When it `ended` it has an `answer` or an `error`, or neither where nobody waits for it."""

    brand_id: str
    progress: Mapping[str, Any] = field(default_factory=lambda: {"stages": {"rematch": {"done": 0, "total": None}}})
    ended: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] | None = None
    error: ServiceError | None = None


class Rematches:
    """Which brand is held against the kept posts right now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn: Turn | None = None

    def take(self, brand_id: str) -> Turn | None:
        """Give the right to rematch a brand, for `work`; None while somebody has it."""
        return self._take(brand_id)[0]

    def _take(self, brand_id: str) -> tuple[Turn | None, Turn]:
        with self._lock:
            if self._turn is not None:
                return None, self._turn
            self._turn = mine = Turn(brand_id)
            return mine, mine

    def work(self, mine: Turn, work: Work, report: Report) -> dict[str, Any]:
        """Do the work, and let go of the right to do so.

        Raises:
            ServiceError: as the work, or as `report`.
        """

        def told(progress: Mapping[str, Any]) -> None:
            mine.progress = progress
            report(progress)

        try:
            mine.answer = work(mine.brand_id, told)
            return mine.answer
        except (ConfigError, RetryLater, BackendDown) as exc:
            mine.error = exc
            raise
        finally:
            with self._lock:
                self._turn = None
            mine.ended.set()

    def join(self, brand_id: str, report: Report, work: Work, check: Callable[[], None]) -> dict[str, Any]:
        """Do the work, or wait for whoever does it for the same brand; an answer of theirs is marked as `joined`.

        Raises:
            Busy: another brand has its turn.
            ServiceError: as the work, `report` or `check`.
        """
        while True:
            mine, turn = self._take(brand_id)
            if mine is not None:
                return self.work(mine, work, report)
            if turn.brand_id != brand_id:
                raise Busy(f"the running pipeline rematches brand {turn.brand_id}; try again when that is done")
            while not turn.ended.wait(_REPORT_SECONDS):
                check()
                report(turn.progress)
            if turn.error is not None:
                raise turn.error
            # Without an answer: whoever asked has gone, and we take it up from there.
            if turn.answer is not None:
                return {**turn.answer, "joined": True}
