"""Asking a service over HTTP for sources: guarded fetching (`net.fetch`), and its refusals as errors of ours."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from domain.clock import Clock, SystemClock
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from net.fetch import (
    MAX_BODY_BYTES,
    MAX_REDIRECTS,
    USER_AGENT,
    Answer,
    Fetcher,
    NotAllowed,
    TooLarge,
    check_address,
    resolve,
    retry_after,
    shown,
)

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_REDIRECTS",
    "USER_AGENT",
    "Answer",
    "Asker",
    "Fetcher",
    "NotAllowed",
    "TooLarge",
    "check_address",
    "resolve",
    "retry_after",
    "shown",
]


class Asker:
    """Asks one service over HTTP and turns what it refuses into our errors, waiting longer each time. Not thread-safe.

    `setting` and `page` are named where a key is missing or wrong.
    """

    def __init__(
        self, fetcher: Fetcher, *, setting: str, page: str, clock: Clock | None = None, backoff: Backoff | None = None
    ) -> None:
        self._fetcher, self._setting, self._page = fetcher, setting, page
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(first_seconds=1.0, most_seconds=300.0)
        # The last answer could not be read.
        self._unread = False

    def ask(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        taken: Collection[int] = (),
    ) -> Answer:
        """Give an answer of status 2xx, 304, 400, 404 or 410, or of one in `taken`.

        Raises:
            RetryLater: no answer, 429 or 5xx: after what `Retry-After` says, else by the ladder.
            ConfigError: 401 or 403, or an address that may not be fetched.
        """
        host = urlsplit(url).hostname
        try:
            answer = self._fetcher.get(url, headers=headers, max_bytes=max_bytes)
        except RetryLater as exc:
            raise RetryLater(str(exc), self._backoff.next()) from exc
        except (NotAllowed, TooLarge) as exc:
            raise ConfigError(str(exc)) from exc
        if answer.status in (401, 403) and answer.status not in taken:
            raise ConfigError(f"{self._setting}: {host} refuses it ({answer.status}); see {self._page}")
        if answer.status == 429 or answer.status >= 500:
            wait = retry_after(answer.headers, self._clock.now())
            climbed = self._backoff.next()
            raise RetryLater(f"{host} answers {answer.status}", climbed if wait is None else max(wait, climbed))
        if not self._unread:
            self._backoff.reset()
        return answer

    def ask_json(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int = MAX_BODY_BYTES) -> Any:
        """Give what an answer of status 200 says in JSON.

        Raises:
            RetryLater, ConfigError: as `ask`; RetryLater also where it is of another status or cannot be read.
        """
        return self.read_json(self.ask(url, headers=headers, max_bytes=max_bytes))

    def read_json(self, answer: Answer) -> Any:
        """Give what an answer of status 200 says in JSON.

        Raises:
            RetryLater: it is of another status or cannot be read.
        """
        if answer.status != 200:
            raise self.unreadable(f"{urlsplit(answer.url).hostname} answers {answer.status}")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError) as exc:
            raise self.unreadable(f"{urlsplit(answer.url).hostname} gave something else than JSON") from exc
        self.understood()
        return found

    def understood(self) -> None:
        """What an answer said could be read: the next wait is a short one again."""
        self._unread = False
        self._backoff.reset()

    def unreadable(self, message: str) -> RetryLater:
        """Give the error for an answer that came and says nothing: the wait grows until one could be read."""
        self._unread = True
        return RetryLater(message, self._backoff.next())
