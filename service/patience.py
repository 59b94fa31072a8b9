"""Waiting for what is away: with growing waits for ten minutes, then no more."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import TypeVar

from domain.clock import Clock
from domain.errors import BackendDown, RetryLater

log = logging.getLogger(__name__)

_T = TypeVar("_T")

BUDGET_SECONDS = 600.0
_FIRST_WAIT_SECONDS = 0.5
_MOST_WAIT_SECONDS = 15.0


class Stopped(Exception):
    """Told to stop while waiting: nothing was begun, nothing is lost."""


def patiently(
    call: Callable[[], _T], stop: threading.Event, clock: Clock, budget_seconds: float = BUDGET_SECONDS
) -> _T:
    """Call until it succeeds, with waits of full jitter between.

    Args:
        call: may raise RetryLater or BackendDown while something is away; other errors pass.
        stop: ends the waiting.
        clock: for the budget.
        budget_seconds: how long something may be away.

    Raises:
        Stopped: `stop` was set.
        BackendDown: it is still away after the budget.
    """
    since = clock.monotonic()
    most = _FIRST_WAIT_SECONDS
    # Chance spreads the retries of many workers; nothing secret hangs on it.
    jitter = random.Random()  # noqa: S311
    while True:
        if stop.is_set():
            raise Stopped
        try:
            return call()
        except (RetryLater, BackendDown) as exc:
            asked = exc.after_seconds if isinstance(exc, RetryLater) else 0.0
            left = since + budget_seconds - clock.monotonic()
            if left <= 0:
                raise BackendDown(f"still away after {budget_seconds:.0f} s: {exc}") from exc
            wait = min(max(asked, jitter.uniform(0.0, most)), left)
            log.warning("tries again in %.1f s: %s", wait, exc)
            most = min(2 * most, _MOST_WAIT_SECONDS)
            if stop.wait(wait):
                raise Stopped from exc
