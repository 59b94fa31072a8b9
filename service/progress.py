"""Progress on standard error: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, TextIO

# A log file wants to know that it goes on, not more.
PLAIN_LINE_EVERY_SECONDS = 5.0


class ProgressView(Protocol):
    """Shows how far each stage is. Used as a context manager around the work."""

    def update(self, progress: Mapping[str, Any]) -> None:
        """Show `{"stages": {name: {"done": int, "total": int | None}}}`; a total may grow, None is unknown."""

    def __enter__(self) -> ProgressView: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class PlainProgress:
    """One line every few seconds: `replay: ingest 4,000 of 14,640, enrich 2,048, index 1,536`."""

    def __init__(self, title: str, stream: TextIO, every_seconds: float = PLAIN_LINE_EVERY_SECONDS) -> None:
        self._title, self._stream, self._every = title, stream, every_seconds
        self._last = time.monotonic()

    def update(self, progress: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._last < self._every:
            return
        self._last = now
        parts = []
        for name, stage in progress["stages"].items():
            total = f" of {stage['total']:,}" if stage["total"] is not None else ""
            parts.append(f"{name} {stage['done']:,}{total}")
        print(f"{self._title}: {', '.join(parts)}", file=self._stream, flush=True)

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None


class BarProgress:
    """One bar a stage, by rich."""

    def __init__(self, title: str, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=stream),
            refresh_per_second=5,
        )
        self._title = title
        self._tasks: dict[str, Any] = {}

    def update(self, progress: Mapping[str, Any]) -> None:
        for name, stage in progress["stages"].items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(f"{self._title}: {name}", total=stage["total"])
            self._bars.update(self._tasks[name], completed=stage["done"], total=stage["total"])

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()


def tell_stage(view: ProgressView, name: str) -> Callable[..., None]:
    """Give what a work of one stage calls with the number done and, where it is known, the number in all."""

    def told(done: int, total: int | None = None) -> None:
        view.update({"stages": {name: {"done": done, "total": total}}})

    return told


def progress_view(title: str, stream: TextIO | None = None) -> ProgressView:
    """Give bars when `stream` (standard error) is a terminal, plain lines when it is not."""
    stream = stream or sys.stderr
    return BarProgress(title, stream) if stream.isatty() else PlainProgress(title, stream)
