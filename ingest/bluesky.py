"""Bluesky: every public post as it is written, edited or deleted, over Jetstream; no key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.bluesky_post import content_of
from ingest.jetstream import (
    LARGEST_FRAME_BYTES,
    MAX_FRAME_BYTES,
    NOWHERE,
    SUBPROTOCOL,
    BadFrame,
    Notice,
    Place,
    Server,
    StreamError,
    StreamEvent,
    error_name,
    micros_of,
    moment_of,
    read_frame,
    read_place,
    read_server,
)
from ingest.normalise import NormaliserSettings
from ingest.resume import Recent, Resume
from ingest.source import Extent, Item, Vitals
from ingest.web import NotAllowed, retry_after
from ingest.websocket import Closed, Refused, WebSocket, open_websocket

PAGE = "docs/sources/bluesky.md"
# The first two speak version 2 (and 1), the others version 1.
HOSTS = (
    "jetstream.us-east.bsky.network",
    "jetstream.us-west.bsky.network",
    "jetstream2.us-east.bsky.network",
    "jetstream1.us-west.bsky.network",
)
_WAIT_SECONDS = 0.2
# After the first event of a batch: at 2,000 events a second, 10 settlements a second instead of 100.
_LINGER_SECONDS = 0.1
# A connection that lasted this long was a good one: the next wait is short again.
_STEADY_SECONDS = 5.0
_MAX_HANDLES = 20_000
# What a server answers that does not speak this version.
_UNKNOWN_PATH = (404, 405, 410, 501)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueskySettings:
    """Which servers are listened to, the first that can be reached.

    `version` of the protocol: `auto` tries 2, then 1. After `silence_seconds` without any event a connection counts as
    dead. `rewind_seconds` are heard again when another server takes over: its clock is not the first one's.
    """

    hosts: tuple[str, ...] = HOSTS
    version: Literal["auto", "1", "2"] = "auto"
    silence_seconds: float = 30.0
    rewind_seconds: float = 5.0
    normalise: NormaliserSettings = field(default_factory=NormaliserSettings)
    allow_private: bool = False


class BlueskySource:
    """`ingest.source.LiveSource` over Jetstream. A cursor is a `ingest.jetstream.Place`.

    Raises:
        ConfigError: a host is none; one line for each.
    """

    name = "bluesky"
    key = "bluesky"

    def __init__(self, settings: BlueskySettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        versions = (2, 1) if settings.version == "auto" else (int(settings.version),)
        self._servers = _read_servers(settings.hosts, versions)

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return read_place(cursor) is not None

    def open(self, cursor: str | None) -> BlueskyReader:
        place = None if cursor is None else read_place(cursor)
        if place is None:
            # From now on nothing is to be lost, however long the first connection takes.
            place = Place(micros_of(self._clock.now()), 0, 2, 0, NOWHERE)
        return BlueskyReader(self._settings, self._servers, self._clock, place)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            event = read_frame(payload)
        except (BadFrame, StreamError):
            event = None
        content = content_of(event, None) if isinstance(event, StreamEvent) else None
        if content is None:
            raise ConfigError(
                f"found no post of Bluesky in the dead letter from {position}, expected an event with one"
            )
        return Item(position=position, cursor="", raw=payload, content=content)


def _read_servers(hosts: Sequence[str], versions: tuple[int, ...]) -> tuple[Server, ...]:
    servers: list[Server] = []
    problems: list[str] = []
    for host in hosts:
        try:
            servers.append(read_server(host, versions))
        except ConfigError as exc:
            problems += exc.problems
    if not hosts:
        problems.append(f"source.bluesky.hosts: found none, expected at least one; see {PAGE}")
    if problems:
        raise ConfigError(problems)
    return tuple(dict.fromkeys(servers))


class BlueskyReader:
    """`ingest.source.LiveReader` over Jetstream. Memory is bounded by constants."""

    def __init__(self, settings: BlueskySettings, servers: Sequence[Server], clock: Clock, place: Place) -> None:
        self._settings, self._clock = settings, clock
        self._link = _Link(settings, servers, clock, place)
        self._place = place
        self._recent = Recent()
        self._handles: OrderedDict[str, str] = OrderedDict()
        self._newest = 0
        # What ends the reading of this connection, said after what came before it was given.
        self._due: RetryLater | None = None
        # Where a frame that cannot be read ended the last connection.
        self._stuck_at: Place | None = None
        self._vitals = Vitals(connected=False)

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        try:
            return self._read(max_items)
        except (RetryLater, ConfigError):
            self._vitals = replace(self._vitals, connected=False)
            raise

    def _read(self, max_items: int) -> Sequence[Item]:
        if self._due is not None:
            due, self._due = self._due, None
            raise due
        frames = self._link.receive(max_items, self._place)
        items: list[Item] = []
        for raw in frames:
            try:
                self._take(raw, items)
            except _Again as exc:
                self._due = self._link.lost(str(exc), move=exc.move)
                break
        event_at = None if self._newest == 0 else moment_of(self._newest)
        self._vitals = Vitals(connected=True, event_at=event_at, note=self._link.note)
        return items

    def _take(self, raw: bytes, items: list[Item]) -> None:
        """Read one frame; adds at most one item, and a gap before it."""
        try:
            event = read_frame(raw)
        except StreamError as exc:
            raise _Again(f"ended the stream with {exc}", move=False) from exc
        except BadFrame as exc:
            self._meet_bad_frame(raw, exc, items)
            return
        resume = self._link.resume
        if isinstance(event, Notice):
            if resume.take_notice(event.name):
                raise _Again(f"does not know our place in its stream ({event.name})", move=False)
            return
        if resume.is_lost(event):
            raise _Again("does not know our place in its stream", move=False)
        self._link.heard()
        if resume.covers(event) or not self._recent.add(event.key):
            return
        if (gap := resume.gap(event)) is not None:
            before = str(resume.place)
            items.append(Item(position=f"bluesky: before {event.micros}", cursor=before, raw=b"", content=gap))
        self._place = self._link.place_of(event, self._place)
        self._newest = max(self._newest, event.micros)
        content = content_of(event, self._handles.get(event.did))
        if event.kind == "identity" or event.kind == "account":
            self._know(event)
        if content is not None:
            position = event.uri if event.rkey else f"bluesky:{event.did}"
            items.append(Item(position=position, cursor=str(self._place), raw=raw, content=content))

    def _meet_bad_frame(self, raw: bytes, error: BadFrame, items: list[Item]) -> None:
        """Ask for the frame once more; what cannot be read a second time is parked."""
        if self._stuck_at != self._place and len(raw) <= MAX_FRAME_BYTES:
            self._stuck_at = self._place
            raise _Again(str(error), move=False)
        cursor = str(self._place)
        reason = BadReason.TOO_LARGE if len(raw) > MAX_FRAME_BYTES else BadReason.NOT_JSON
        bad = BadRecord(reason, f"frame: {error}")
        items.append(Item(position=f"bluesky: after {cursor}", cursor=cursor, raw=raw, content=bad))

    def _know(self, event: StreamEvent) -> None:
        """Keep the newest handle of an author, the longest unheard of being forgotten first."""
        if event.kind == "identity" or not event.active:
            self._handles.pop(event.did, None)
        if event.handle and event.handle != "handle.invalid":
            self._handles[event.did] = event.handle
            if len(self._handles) > _MAX_HANDLES:
                self._handles.popitem(last=False)

    def extent(self) -> Extent | None:
        """A live source has no end."""
        return None

    def vitals(self) -> Vitals:
        """As the protocol."""
        return self._vitals

    def close(self) -> None:
        """As the protocol."""
        self._link.close()


class _Again(Exception):
    """The connection is of no more use, and why; `move`: another server is asked first."""

    def __init__(self, message: str, *, move: bool) -> None:
        self.move = move
        super().__init__(message)


class _Link:
    """The connection to one of the servers, and which is next."""

    def __init__(self, settings: BlueskySettings, servers: Sequence[Server], clock: Clock, place: Place) -> None:
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
