"""Delivery: a thread for each channel, so that a slow one holds up no other, each with its own pace and patience."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from alerts.channel import Channel, Message, Refused
from alerts.escaping import one_line
from alerts.outbox import Entry, Outbox, State
from alerts.records import Notification
from domain.clock import Clock, SystemClock
from domain.documents import Conflict
from domain.errors import BackendDown, RetryLater

log = logging.getLogger(__name__)

# Looked for new messages so often; what is put wakes us before.
POLL_SECONDS: Final = 5.0
# How often we look for messages whose way into the outbox was cut off half-way.
MEND_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 3600.0
# A channel that failed so often in a row is left alone until the next pass: its others would fail too, each slowly.
MAX_FAILURES_A_PASS: Final = 3
# Longer than a try of a channel takes, save for a server that keeps a connection alive by dribbling, and than a lease.
CLAIM_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a channel is treated: messages a minute at most, waits between tries, and when a message is given up.

    The waits double from the first to the longest. After 10 s, 20 s, 40 s and so on to half an hour, a day is some 55
    tries: a mail server that is down over night loses nothing.
    """

    per_minute: int = 30
    first_wait_seconds: float = 10.0
    most_wait_seconds: float = 1_800.0
    give_up_after: timedelta = timedelta(hours=24)
    claim_seconds: float = CLAIM_SECONDS

    def wait(self, key: str, tries: int) -> float:
        """Give the wait after a try in seconds, from half to the whole of its rung of the ladder.

        Which part is drawn by key and try, so that messages which failed together do not come back together.
        """
        rung = min(self.most_wait_seconds, self.first_wait_seconds * 2.0 ** min(tries - 1, 20))
        drawn = int.from_bytes(blake2b(f"{key}/{tries}".encode(), digest_size=4).digest(), "big") / 2**32
        return rung * (0.5 + drawn / 2)


@dataclass(frozen=True, slots=True)
class Route:
    """A channel and how patient we are with it."""

    channel: Channel
    patience: Patience = Patience()


# Makes the message of a notification as things are now; None where there is nothing to tell any more.
Compose = Callable[[Notification, datetime], Message | None]
# Why a notification may not go out, such as a recipient who has not confirmed; "" where it may.
Bar = Callable[[Notification], str]


def nobody_barred(_: Notification) -> str:
    """Let everything out."""
    return ""


class Delivery:
    """Sends what the outbox holds.

    `may_send` is asked before each message, so that who lost the lease stops. A second sender does no harm: messages
    are claimed by compare-and-set.
    """

    def __init__(
        self,
        outbox: Outbox,
        routes: Mapping[str, Route],
        compose: Compose,
        *,
        bar: Bar = nobody_barred,
        may_send: Callable[[], bool] = lambda: True,
        clock: Clock | None = None,
    ) -> None:
        self._outbox, self._routes, self._compose = outbox, dict(routes), compose
        self._bar, self._may_send = bar, may_send
        self._clock = clock or SystemClock()
        self._sent: dict[str, deque[float]] = {name: deque() for name in routes}
        self._wakers = {name: threading.Event() for name in routes}
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to send, a thread for each channel."""
        for name in self._routes:
            thread = threading.Thread(target=self._run, args=(name,), name=f"tell-{name}", daemon=True)
            self._threads.append(thread)
        self._threads.append(threading.Thread(target=self._mend, name="tell-mend", daemon=True))
        for thread in self._threads:
            thread.start()

    def put(self, notifications: Sequence[Notification]) -> None:
        """Put messages into the outbox, or see that those put there are found, and send them soon.

        Raises:
            RetryLater, BackendDown: of the documents.
        """
        self._outbox.put(notifications)
        self.wake()

    def wake(self) -> None:
        """Look now for what is due."""
        for waker in self._wakers.values():
            waker.set()

    def close(self, seconds: float = 10.0) -> None:
        """Send nothing more and let go of channels; a try that takes longer than `seconds` is left behind."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(seconds)
        for route in self._routes.values():
            route.channel.close()

    def send_due(self, name: str) -> int:
        """Try what is due of one channel, once each; gives how many messages were taken.

        Raises:
            RetryLater, BackendDown: of the documents.
        """
        sent = failures = 0
        for entry in self._outbox.due(name, self._clock.now()):
            if self._stopping.is_set() or failures >= MAX_FAILURES_A_PASS or not self._may_send():
                break
            if self._is_full(name):
                break
            state = self._try(name, entry)
            sent += state is State.SENT
            failures = failures + 1 if state is State.WAITING else 0
        return sent

    def _run(self, name: str) -> None:
        waker = self._wakers[name]
        while not self._stopping.is_set():
            try:
                self.send_due(name)
            except (RetryLater, BackendDown, Conflict) as exc:
                log.warning("the outbox cannot be read, %s waits: %s", name, exc)
            except Exception:
                # A thread that ended would tell nobody of anything any more.
                log.exception("channel %s failed on something that it did not expect; it goes on", name)
            waker.wait(POLL_SECONDS)
            waker.clear()

    def _mend(self) -> None:
        forgotten_at = float("-inf")
        while not self._stopping.is_set():
            try:
                if self._may_send() and self._outbox.mend():
                    self.wake()
                if self._may_send() and self._clock.monotonic() - forgotten_at >= FORGET_SECONDS:
                    self._outbox.forget(self._clock.now())
                    forgotten_at = self._clock.monotonic()
            except (RetryLater, BackendDown, Conflict) as exc:
                log.warning("the outbox cannot be read: %s", exc)
            except Exception:
                log.exception("the outbox could not be looked through; it is tried again")
            self._stopping.wait(MEND_SECONDS)

    def _is_full(self, name: str) -> bool:
        """Tell whether the channel had its messages of this minute."""
        sent, now = self._sent[name], self._clock.monotonic()
        while sent and sent[0] <= now - 60.0:
            sent.popleft()
        return len(sent) >= self._routes[name].patience.per_minute

    def _try(self, name: str, entry: Entry) -> State | None:
        """Try one message; gives what it is then, None where somebody else tries it."""
        route = self._routes[name]
        claimed = self._outbox.claim(entry, self._clock.now(), route.patience.claim_seconds)
        if claimed is None:
            return None
        notification = claimed.notification
        try:
            if reason := self._bar(notification):
                return self._finish(claimed, State.DROPPED, reason)
            message = self._compose(notification, self._clock.now())
            if message is None:
                return self._finish(claimed, State.DROPPED, "there is nothing to tell any more")
            self._sent[name].append(self._clock.monotonic())
            route.channel.send(message, notification.notification_id)
        except Refused as exc:
            log.error("%s is not told by %s: %s", _what(notification), name, one_line(str(exc)))
            return self._finish(claimed, State.REFUSED, str(exc))
        except (RetryLater, BackendDown) as exc:
            return self._again(claimed, route.patience, str(exc), getattr(exc, "after_seconds", 0.0))
        except Exception as exc:
            # A fault of ours in one message must not keep all others from being told.
            log.exception("%s cannot be made or sent by %s", _what(notification), name)
            return self._again(claimed, route.patience, f"a fault of ours: {type(exc).__name__}", 0.0)
        return self._finish(claimed, State.SENT, "")

    def _again(self, entry: Entry, patience: Patience, why: str, asked_seconds: float) -> State:
        now, notification = self._clock.now(), entry.notification
        wait = max(patience.wait(notification.notification_id, entry.tries), asked_seconds)
        until = now + timedelta(seconds=wait)
        if until > notification.created_at + patience.give_up_after:
            log.error("%s is given up after %d tries: %s", _what(notification), entry.tries, one_line(why))
            return self._finish(entry, State.GIVEN_UP, why)
        log.warning("%s waits %.0f s for its next try: %s", _what(notification), wait, one_line(why))
        self._outbox.postpone(entry, until, one_line(why, 300))
        return State.WAITING

    def _finish(self, entry: Entry, state: State, why: str) -> State:
        self._outbox.finish(entry, state, self._clock.now(), one_line(why, 300))
        return state


def _what(notification: Notification) -> str:
    """Name a message in the log, without its recipient."""
    return f"message {notification.notification_id} ({notification.telling.value}, {notification.channel})"
