"""Bluesky: every public post as it is written, edited or deleted, over Jetstream; no key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest.bluesky_engagement import PostNumbers
from ingest.bluesky_post import content_of
from ingest.jetstream import (
    MAX_FRAME_BYTES,
    NOWHERE,
    BadFrame,
    Notice,
    Place,
    Server,
    StreamError,
    StreamEvent,
    micros_of,
    moment_of,
    read_frame,
    read_place,
    read_server,
)
from ingest.jetstream_link import PAGE, JetstreamLink
from ingest.normalise import NormaliserSettings
from ingest.resume import Recent
from ingest.source import Extent, Item, Vitals

# The first two speak version 2 (and 1), the others version 1.
HOSTS = (
    "jetstream.us-east.bsky.network",
    "jetstream.us-west.bsky.network",
    "jetstream2.us-east.bsky.network",
    "jetstream1.us-west.bsky.network",
)
_MAX_HANDLES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueskySettings:
    """Which servers are listened to, the first that can be reached.

    `version` of the protocol: `auto` tries 2, then 1. After `silence_seconds` without any event a connection counts as
    dead. `rewind_seconds` are heard again when another server takes over: its clock is not the first one's. Numbers of
    likes are looked up at `appview_address`; "" asks nobody.
    """

    hosts: tuple[str, ...] = HOSTS
    version: Literal["auto", "1", "2"] = "auto"
    silence_seconds: float = 30.0
    rewind_seconds: float = 5.0
    appview_address: str = "https://public.api.bsky.app"
    normalise: NormaliserSettings = field(default_factory=NormaliserSettings)
    allow_private: bool = False


class BlueskySource:
    """`ingest.source.LiveSource` over Jetstream, and `TellsEngagement`. A cursor is a `ingest.jetstream.Place`.

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

    def lookup(self) -> PostNumbers | None:
        address = self._settings.appview_address
        return PostNumbers(address, self._clock, allow_private=self._settings.allow_private) if address else None

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
        self._link = JetstreamLink(settings, servers, clock, place)
        self._place = place
        self._placed: Place | None = None
        self._recent = Recent()
        self._handles: OrderedDict[str, str] = OrderedDict()
        self._newest = 0
        self._waiting: list[Item] = []
        # What ends the reading of this connection, said after what came before it was given.
        self._due: RetryLater | None = None
        self._errors = 0
        self._vitals = Vitals(connected=False)

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        try:
            return self._read(max_items)
        except (RetryLater, ConfigError):
            self._vitals = replace(self._vitals, connected=False)
            raise

    def _read(self, max_items: int) -> Sequence[Item]:
        items, self._waiting = self._waiting, []
        if not items:
            self._hear(max_items, items)
        # A gap before an event is one item more than there were frames.
        self._waiting = items[max_items:]
        # A server whose clock runs ahead would hide how far behind we are.
        event_at = None if self._newest == 0 else min(moment_of(self._newest), self._clock.now())
        self._vitals = Vitals(connected=True, event_at=event_at, errors=self._errors, note=self._link.note)
        return items[:max_items]

    def _hear(self, most: int, items: list[Item]) -> None:
        """Read the next frames, and add what they give."""
        if self._due is not None:
            due, self._due = self._due, None
            raise due
        for raw in self._link.receive(most, self._place):
            try:
                self._take(raw, items)
            except _Again as exc:
                self._due = self._link.lost(str(exc), move=exc.move)
                return

    def _take(self, raw: bytes, items: list[Item]) -> None:
        """Read one frame; adds at most one item, and a gap before it."""
        try:
            event = read_frame(raw)
        except StreamError as exc:
            raise _Again(f"ended the stream with {exc}", move=False) from exc
        except BadFrame as exc:
            # Asked for again it would be the same, and whoever can write one could keep us busy asking.
            items.append(self._park(raw, exc))
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
            items.append(Item(position=f"bluesky: after {resume.place.told}", cursor=before, raw=b"", content=gap))
        self._place = self._link.place_of(event, self._place)
        self._newest = max(self._newest, event.micros)
        content = content_of(event, self._handles.get(event.did))
        if event.kind == "identity" or event.kind == "account":
            self._know(event)
        if content is not None:
            position = event.uri if event.rkey else f"bluesky:{event.did}"
            items.append(Item(position=position, cursor=str(self._place), raw=raw, content=content))

    def _park(self, raw: bytes, error: BadFrame) -> Item:
        """Give a frame that cannot be read, after the place that we are at: where it stands itself, nobody knows."""
        self._errors += 1
        reason = BadReason.TOO_LARGE if len(raw) > MAX_FRAME_BYTES else BadReason.NOT_JSON
        cursor = str(self._place)
        bad = BadRecord(reason, f"frame: {error}")
        return Item(position=f"bluesky: after {self._place.told}", cursor=cursor, raw=raw, content=bad)

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

    def place(self) -> str | None:
        """As `ingest.source.Placed`: the place of the newest event, whatever it was."""
        if self._waiting or self._place == self._placed:
            return None
        self._placed = self._place
        return str(self._place)

    def close(self) -> None:
        """As the protocol."""
        self._link.close()


class _Again(Exception):
    """The connection is of no more use, and why; `move`: another server is asked first."""

    def __init__(self, message: str, *, move: bool) -> None:
        self.move = move
        super().__init__(message)
