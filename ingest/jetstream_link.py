"""The connection to one of several Jetstream servers: which is next, from where it is asked, and what to wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.clock import Clock
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.jetstream import (
    LARGEST_FRAME_BYTES,
    MAX_FRAME_BYTES,
    SUBPROTOCOL,
    Place,
    Server,
    StreamEvent,
    error_name,
)
from ingest.resume import Resume
from ingest.web import NotAllowed, retry_after
from ingest.websocket import Closed, Refused, WebSocket, open_websocket

PAGE = "docs/sources/bluesky.md"
_WAIT_SECONDS = 0.15
# After the first event of a batch: at 2,000 events a second, 20 settlements a second instead of 100.
_LINGER_SECONDS = 0.05
# A connection that lasted this long was a good one: the next wait is short again.
_STEADY_SECONDS = 5.0
# What a server answers that does not speak this version.
_UNKNOWN_PATH = (404, 405, 410, 501)


class LinkSettings(Protocol):
    """What is needed of `ingest.bluesky.BlueskySettings`."""

    @property
    def silence_seconds(self) -> float:
        """After how long without any event a connection counts as dead."""

    @property
    def rewind_seconds(self) -> float:
        """How much is heard again at another server."""

    @property
    def allow_private(self) -> bool:
        """Whether servers may have addresses of private networks."""


class JetstreamLink:
    """The connection to one of the servers, and which is next."""

    def __init__(self, settings: LinkSettings, servers: Sequence[Server], clock: Clock, place: Place) -> None:
        self._settings, self._servers, self._clock = settings, list(servers), clock
        names = [server.name for server in servers]
        # Where it was left, the place in the stream is exact.
        self._at = names.index(place.server) if place.server in names else 0
        self._backoff = Backoff(first_seconds=1.0, most_seconds=60.0)
        self._spoken: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._socket: WebSocket | None = None
        self._version = 0
        self._opened_at = self._heard_at = 0.0
        self._has_heard = False
        self._max_bytes = MAX_FRAME_BYTES
        self.resume = Resume(place)

    @property
    def note(self) -> str:
        """What is listened to."""
        return f"{self._servers[self._at].name}, version {self._version}"

    def place_of(self, event: StreamEvent, before: Place) -> Place:
        """Give the place after an event of this connection."""
        name = self._servers[self._at].name
        nth = 1
        if before.micros == event.micros and before.server == name:
            nth = before.nth + 1
        return Place(event.micros, nth, self._version, event.seq, name)

    def receive(self, most: int, place: Place) -> list[bytes]:
        """Give the frames that came, at most `most`, connecting after `place` if need be.

        Raises:
            RetryLater, ConfigError: as `ingest.source.LiveReader`.
        """
        if self._socket is None:
            self._connect(place)
        assert self._socket is not None
        try:
            frames = self._socket.receive_many(most, _WAIT_SECONDS, _LINGER_SECONDS)
        except Closed as exc:
            if exc.too_large:
                self._max_bytes = LARGEST_FRAME_BYTES
            raise self.lost(str(exc), move=not self._has_heard and not exc.too_large) from exc
        now = self._clock.monotonic()
        if frames:
            self._heard_at = now
        elif now - self._heard_at > self._settings.silence_seconds:
            # No ladder: a server that is only quiet is not hurt by it.
            quiet = self._servers[self._at].name
            self.close()
            self._move()
            raise RetryLater(f"{quiet}: said nothing for {self._settings.silence_seconds:.0f} s", 0.0)
        return frames

    def heard(self) -> None:
        """An event came: the server is what it should be."""
        self._has_heard = True
        if self._backoff.tries and self._clock.monotonic() - self._opened_at > _STEADY_SECONDS:
            self._backoff.reset()

    def lost(self, reason: str, *, move: bool) -> RetryLater:
        """Let go of the connection; gives the error that says why."""
        name = self._servers[self._at].name
        self.close()
        if move:
            self._move()
        return RetryLater(f"{name}: {reason}", self._backoff.next())

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if self._socket is not None:
            socket, self._socket = self._socket, None
            socket.close()

    def _move(self) -> None:
        self._at = (self._at + 1) % len(self._servers)

    def _connect(self, place: Place) -> None:
        server = self._servers[self._at]
        first = self._spoken.get(server.name, 0)
        versions = sorted(server.versions, key=lambda version: (version != first, -version))
        for version in versions:
            is_last = version == versions[-1]
            if self._open(server, version, place, is_last=is_last):
                return

    def _open(self, server: Server, version: int, place: Place, *, is_last: bool) -> bool:
        """Connect; False when the server does not speak this version."""
        resume = self.resume.again(place, server.name, version, self._clock.now(), self._settings.rewind_seconds)
        try:
            socket = open_websocket(
                server.address(version, resume.cursor),
                max_bytes=self._max_bytes,
                allow_private=self._settings.allow_private,
                subprotocols=(SUBPROTOCOL,) if version == 2 else (),
            )
        except RetryLater as exc:
            self._move()
            raise RetryLater(str(exc), self._backoff.next()) from exc
        except NotAllowed as exc:
            raise self._refuse(server, str(exc)) from exc
        except Refused as exc:
            if exc.answer.status in _UNKNOWN_PATH and not is_last:
                return False
            raise self._turned_away(server, exc, resume) from exc
        self.resume, self._socket, self._version = resume, socket, version
        self._max_bytes = MAX_FRAME_BYTES
        self._spoken[server.name] = version
        self._refused.clear()
        self._has_heard = False
        self._opened_at = self._heard_at = self._clock.monotonic()
        return True

    def _turned_away(self, server: Server, refused: Refused, resume: Resume) -> RetryLater | ConfigError:
        answer = refused.answer
        named = error_name(answer.body)
        if answer.status == 400 and named == "CursorTooOld" and resume.take_notice(named):
            self.resume = resume
            return RetryLater(f"{server.name} keeps nothing so old as our place in its stream", 0.0)
        if answer.status in (401, 403):
            return self._refuse(server, f"{server.name} refuses us ({answer.status})")
        self._move()
        climbed = self._backoff.next()
        wait = retry_after(answer.headers, self._clock.now()) if answer.status in (429, 503) else None
        said = f"{server.name} answers {answer.status}{' ' + named if named else ''}"
        return RetryLater(said, climbed if wait is None else max(wait, climbed))

    def _refuse(self, server: Server, reason: str) -> RetryLater | ConfigError:
        """Give the error for a server that does not want us: only when none does, it is the settings that are wrong."""
        self._refused[server.name] = reason
        self._move()
        if len(self._refused) < len(self._servers):
            return RetryLater(reason, self._backoff.next())
        reasons = "; ".join(self._refused.values())
        self._refused.clear()
        return ConfigError(f"source.bluesky.hosts: {reasons}; see {PAGE}")
