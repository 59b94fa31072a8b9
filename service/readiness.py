"""Whether a process can take work now: every part that it needs was there when it was last looked at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from domain.clock import Clock, SystemClock
from domain.errors import ServiceError
from domain.metrics import PART_UP, READY
from service.prometheus import Meter

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
# A part whose last answer is older than this is as good as away: a look that does not come back is not waited for.
STALE_SECONDS = 5.0
# A part that is away is looked at more often: who waits for it wants to go on.
AWAY_LOOK_SECONDS = 1.0
_UNKNOWN = "not looked at yet"

# Raises a ServiceError while the part cannot be used.
Check = Callable[[], object]


class Readiness:
    """Looks at the parts every few seconds in a thread of its own. Thread-safe."""

    def __init__(self, role: str, meter: Meter, clock: Clock | None = None) -> None:
        self._role, self._meter, self._clock = role, meter, clock or SystemClock()
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        # Part -> why it cannot be used, "" where it can.
        self._found: dict[str, str] = {}
        self._looked_at: dict[str, float] = {}
        self._starting = True
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def need(self, parts: Mapping[str, Check]) -> None:
        """Have these parts looked at from now on, each in a thread of its own; it is not ready before each was."""
        with self._lock:
            for part, check in parts.items():
                self._found[part] = _UNKNOWN
                self._looked_at[part] = self._clock.monotonic()
                self._checks[part] = check
        for part in parts:
            thread = threading.Thread(target=self._watch, args=(part,), name=f"ready-{part}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def started(self) -> None:
        """Tell that everything was opened: from now on only the parts decide."""
        self._starting = False

    def parts(self) -> dict[str, bool]:
        """Give for each part whether it can be used."""
        now = self._clock.monotonic()
        with self._lock:
            return {part: not why and now - self._looked_at[part] < STALE_SECONDS for part, why in self._found.items()}

    @property
    def ready(self) -> bool:
        """Whether the process can take work."""
        return not self._starting and not self._stop.is_set() and all(self.parts().values())

    def tell(self) -> None:
        """Put what is known into the metrics."""
        self._meter.set(READY, self.ready, self._role)
        for part, up in self.parts().items():
            self._meter.set(PART_UP, up, self._role, part)

    def _watch(self, part: str) -> None:
        while not self._stop.is_set():
            self.look(part)
            self._stop.wait(AWAY_LOOK_SECONDS if self._found[part] else LOOK_SECONDS)

    def look(self, part: str) -> None:
        """Look at one part now."""
        why = ""
        try:
            self._checks[part]()
        except ServiceError as exc:
            why = str(exc) or type(exc).__name__
        except Exception as exc:
            # A check that fails on something else must not pass for a part that is well.
            log.exception("looking at the %s failed", part)
            why = type(exc).__name__
        with self._lock:
            before = self._found[part]
            self._found[part], self._looked_at[part] = why, self._clock.monotonic()
        if why and before == _UNKNOWN:
            log.info("waits for its %s: %s", part, why)
        elif why and not before:
            log.warning("not ready: %s: %s", part, why)
        elif before and not why and before != _UNKNOWN:
            log.info("ready: %s", part)

    def close(self) -> None:
        """Stop looking; from now on it is not ready."""
        self._stop.set()
