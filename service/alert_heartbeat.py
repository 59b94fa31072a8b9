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
        """Ask it; its address may hold a secret, so it stands in no line of the log."""
        try:
            answer = fetcher.get(self._url, max_bytes=_MAX_ANSWER_BYTES)
        except NotAllowed:
            log.warning("alerts.heartbeat_url: leads to a private address; alerts.heartbeat_private = true allows it")
        except (RetryLater, TooLarge) as exc:
            log.warning("alerts.heartbeat_url does not answer: %s", type(exc).__name__)
        else:
            if answer.status >= 400:
                log.warning("alerts.heartbeat_url answers %d", answer.status)
        # Asked once a beat, whatever came of it.
        return True
