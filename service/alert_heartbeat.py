"""A sign of life of alerts: an address that is asked as long as everything that is watched is looked at.

Whoever is behind it (a dead man's switch) notices when it stops, which nobody within can tell.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing

from domain.errors import RetryLater
from net.fetch import Fetcher, NotAllowed, TooLarge

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_MAX_ANSWER_BYTES = 256 * 1024


class Heartbeat:
    """Asks the address now and then while `lives` says so."""

    def __init__(self, url: str, minutes: float, lives: Callable[[], bool], *, allow_private: bool) -> None:
        self._url, self._seconds, self._lives = url, minutes * 60, lives
        self._allow_private = allow_private
        # Why the last beat failed, "" where it did not.
        self._why = ""

    def run(self, stop: threading.Event) -> None:
        """Beat until told to stop; an address that does not answer is asked again at the next beat."""
        setting = "alerts.heartbeat_private"
        with closing(
            Fetcher(allow_private=self._allow_private, timeout_seconds=_TIMEOUT_SECONDS, setting=setting)
        ) as fetcher:
            while not stop.is_set():
                beaten = self._lives() and self._beat(fetcher)
                # Before the first look there is no life yet to tell of.
                stop.wait(self._seconds if beaten else min(self._seconds, 10.0))

    def _beat(self, fetcher: Fetcher) -> bool:
        """Ask it; what is wrong is said once, until it is something else."""
        why = self._ask(fetcher)
        if why and why != self._why:
            log.warning("alerts.heartbeat_url %s", why)
        elif self._why and not why:
            log.info("alerts.heartbeat_url answers again")
        self._why = why
        # Asked once a beat, whatever came of it.
        return True

    def _ask(self, fetcher: Fetcher) -> str:
        """Give why it cannot be told, "" where it was; the address may hold a secret, so it stands in no line."""
        try:
            answer = fetcher.get(self._url, max_bytes=_MAX_ANSWER_BYTES)
        except NotAllowed:
            return "leads to a private address; alerts.heartbeat_private = true allows it"
        except (RetryLater, TooLarge) as exc:
            return f"does not answer: {type(exc).__name__}"
        return f"answers {answer.status}" if answer.status >= 400 else ""
