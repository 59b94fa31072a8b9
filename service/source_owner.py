"""Which worker reads a source: the one that owns it, until it dies or stops; then another, where that one was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from domain.clock import Clock
from domain.errors import BackendDown, ConfigError, RetryLater
from service.patience import BUDGET_SECONDS
from stream.kafka_log import KafkaLog
from stream.kafka_sources import SOURCE_GROUP

# Whoever reads files shares nothing with whoever listens: each group claims the same sources throughout.
FILES_GROUP = "files"
log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
# A settlement confirms the claim, and waits while it is being kept alive: that must be short.
_POLL_SECONDS = 0.02
# Heard of the group within this time: we are a member, owner or standing by.
_FRESH_SECONDS = 15.0


class SourceOwner:
    """Keeps the claim on sources alive in a thread of its own. Use it as a context manager.

    `lost` of a term is set when the source went to another worker, or when `stop` was: what is read then is settled
    no more. All workers of one `group` claim the same sources.
    """

    def __init__(
        self,
        stream: KafkaLog,
        sources: Sequence[str],
        stop: threading.Event,
        clock: Clock,
        group: str = SOURCE_GROUP,
    ) -> None:
        self._claim = stream.claim(sources, group)
        self._sources, self._stop, self._clock = tuple(sources), stop, clock
        self._changed = threading.Condition()
        self._lost: dict[str, threading.Event] = {}
        self._failure: BackendDown | ConfigError | None = None
        self._heard_at: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="source-owner", daemon=True)

    def __enter__(self) -> SourceOwner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._claim.close()

    def wait(self, source: str) -> threading.Event | None:
        """Block until a source is ours; gives what will be set when it no longer is. None: told to stop first.

        Raises:
            BackendDown: the broker has been away for ten minutes.
            ConfigError: it refuses us.
        """
        with self._changed:
            while not self._stop.is_set():
                self.check_alive()
                lost = self._lost.get(source)
                if lost is not None and not lost.is_set():
                    return lost
                self._changed.wait(_LOOK_SECONDS)
        return None

    def held(self, source: str) -> threading.Event | None:
        """Give what `wait` gives if a source is ours now, else None at once."""
        with self._changed:
            lost = self._lost.get(source)
            return lost if lost is not None and not lost.is_set() else None

    def check_alive(self) -> None:
        """Raise what ended the claim, if something did."""
        if self._failure is not None:
            raise self._failure

    def check_member(self) -> None:
        """See that the broker knows us, as owner or standing by.

        Raises:
            RetryLater: it was not heard of lately.
        """
        if self._heard_at is None or self._clock.monotonic() - self._heard_at > _FRESH_SECONDS:
            raise RetryLater("the group of the sources was not heard of lately", 1.0)

    def _keep(self) -> None:
        away_since = self._clock.monotonic()
        while not self._ended.is_set():
            try:
                owned = self._claim.owned(_POLL_SECONDS)
            except RetryLater as exc:
                log.warning("the claim on %s waits: %s", ", ".join(self._sources), exc)
                if self._clock.monotonic() - away_since >= BUDGET_SECONDS:
                    self._fail(BackendDown(f"the claim on sources: still away after {BUDGET_SECONDS:.0f} s: {exc}"))
                    return
                # Whether it is still ours is asked by each settlement; nothing is settled for another.
                self._ended.wait(max(_LOOK_SECONDS, exc.after_seconds))
                continue
            except ConfigError as exc:
                self._fail(exc)
                return
            away_since = self._heard_at = self._clock.monotonic()
            self._now(frozenset() if self._stop.is_set() else owned)
            self._ended.wait(_LOOK_SECONDS)
        self._now(frozenset())

    def _now(self, owned: frozenset[str]) -> None:
        with self._changed:
            for source in self._sources:
                lost = self._lost.get(source)
                held = lost is not None and not lost.is_set()
                if source in owned and not held:
                    log.info("source %s is read here now", source)
                    self._lost[source] = threading.Event()
                elif source not in owned and lost is not None and held:
                    log.info("source %s is no longer read here", source)
                    lost.set()
            self._changed.notify_all()

    def _fail(self, error: BackendDown | ConfigError) -> None:
        with self._changed:
            self._failure = error
            for lost in self._lost.values():
                lost.set()
            self._changed.notify_all()
