"""Asks X now and then which of our posts must go: its batch compliance, a step at a time, beside the stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.clock import Clock, from_ms, to_ms
from domain.errors import ConfigError, RetryLater
from ingest.source import Item, Removed
from ingest.web import Answer, Fetcher, NotAllowed, TooLarge
from ingest.x_client import XClient, XFault
from ingest.x_post import as_id, dump, read_json
from ingest.x_state import XState

# X says to look every 30 to 60 seconds.
POLL_SECONDS = 30.0
# A job that another process began, or that failed, is in the way no longer than this: the time to upload to it.
AGAIN_SECONDS = 900.0
_MAX_RESULT_BYTES = 8 * 1024 * 1024
_MAX_WAIT_SECONDS = 6 * 3600.0


@dataclass(slots=True)
class Compliance:
    """Checks the posts of a state every `every_seconds`. Not thread-safe.

    A job is free. What goes wrong with it disturbs nothing else: it is tried again, and `note` says so.
    """

    client: XClient
    fetcher: Fetcher
    state: XState
    clock: Clock
    every_seconds: float
    poll_seconds: float = POLL_SECONDS
    again_seconds: float = AGAIN_SECONDS
    note: str = ""
    errors: int = 0
    _job: str = ""
    _began: float = 0.0
    _next_at: float = float("-inf")

    def wait_seconds(self) -> float:
        """Give how long nothing is due."""
        return max(0.0, self._next_at - self.clock.monotonic())

    def step(self) -> list[Item]:
        """Do what is due; gives the removals of a job that is done."""
        now = self.clock.monotonic()
        if now < self._next_at:
            return []
        try:
            return self._finish() if self._job else self._begin()
        except (XFault, RetryLater, NotAllowed, TooLarge) as exc:
            self._put_off(f"removals cannot be asked for: {exc}", self.again_seconds)
        except ConfigError as exc:
            self._put_off(f"removals cannot be asked for: {exc.problems[0]}", self.every_seconds)
        return []

    def _put_off(self, note: str, seconds: float) -> None:
        self.errors += 1
        self.note, self._job = note, ""
        self._next_at = self.clock.monotonic() + seconds

    def _begin(self) -> list[Item]:
        checked = from_ms(self.state.checked_ms)
        left = self.every_seconds - (self.clock.now() - checked).total_seconds()
        # A clock that was set back does not put it off for ever.
        if not self.state.ids or 0.0 < left <= self.every_seconds:
            self._next_at = self.clock.monotonic() + (min(left, 3600.0) if left > 0.0 else self.poll_seconds)
            return []
        job = self.client.create_job()
        body = "\n".join(map(str, self.state.ids)).encode()
        self._transfer(job.get("upload_url"), method="PUT", body=body)
        self._job, self._began = as_id(job.get("id")) or str(job.get("id")), self.clock.monotonic()
        self._next_at = self._began + self.poll_seconds
        return []

    def _finish(self) -> list[Item]:
        job = self.client.job(self._job)
        status = job.get("status")
        if status in ("failed", "expired"):
            self._put_off(f"removals cannot be asked for: the job {status}", self.again_seconds)
            return []
        if status != "complete":
            if self.clock.monotonic() - self._began > _MAX_WAIT_SECONDS:
                self._put_off("removals cannot be asked for: the job does not end", self.again_seconds)
            self._next_at = self.clock.monotonic() + self.poll_seconds
            return []
        rows = self._transfer(job.get("download_url")).body.splitlines()
        now = self.clock.now()
        self.state.checked_ms = to_ms(now)
        self._job, self.note = "", ""
        self._next_at = self.clock.monotonic() + self.poll_seconds
        return list(self._items(rows, now))

    def _transfer(self, url: object, *, method: str = "GET", body: bytes | None = None) -> Answer:
        """Send ids to, or fetch results from, an address that X named; its query is a key, and shown nowhere."""
        if not isinstance(url, str):
            raise RetryLater("X named no address for it", self.again_seconds)
        headers = {"Authorization": f"Bearer {self.client.token}", "Content-Type": "text/plain"}
        answer = self.fetcher.get(url, headers=headers, method=method, body=body, max_bytes=_MAX_RESULT_BYTES)
        if not 200 <= answer.status < 300:
            raise RetryLater(f"X answers {answer.status}", self.again_seconds)
        return answer

    def _items(self, rows: Sequence[bytes], now: datetime) -> Iterable[Item]:
        for raw in rows:
            row = read_json(raw)
            name = as_id(row.get("id")) if isinstance(row, Mapping) else ""
            # Other actions ask for nothing of ours: an edit comes by the stream, and places are not kept.
            if not name or row.get("action") != "delete" or int(name) not in self.state.ids:
                continue
            self.state.drop(int(name))
            removed = Removed(native_id=name, removed_at=_when(row, now), reason=str(row.get("reason"))[:60])
            yield Item(position=f"x:{name}", cursor=self.state.cursor(), raw=dump(row), content=removed)


def _when(row: Mapping[str, Any], now: datetime) -> datetime:
    value = row.get("redacted_at")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else now
    except ValueError:
        return now
    return moment if moment.tzinfo is not None and moment <= now else now
