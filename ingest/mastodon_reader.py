"""Reads all timelines of all instances as one source: each post once, whichever instances give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from queue import Empty, Queue
from typing import Any

from domain.clock import Clock, to_ms
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest.event_stream import ServerEvent
from ingest.mastodon_memory import Memory, Position
from ingest.mastodon_status import (
    dump,
    event_time,
    is_taken,
    local_id,
    read_json,
    read_status,
    revision_of,
    uri_of,
)
from ingest.mastodon_stream import Heard, TimelineStream, newer
from ingest.source import Content, Extent, Gap, Item, RawPost, Removed, Vitals

# Events that wait to be read; while it is full, nothing more is taken from the servers.
QUEUE_EVENTS = 1_000
_WAIT_SECONDS = 0.2
_POSTS = ("update", "status.update")


class MastodonReader:
    """`ingest.source.LiveReader` over several streams. As long as one of them listens, the others are told in a note.

    `is_ours` tells which posts somebody listens for: their local ids are kept across restarts, so that their removals
    find them.
    """

    def __init__(
        self,
        streams: Sequence[TimelineStream],
        queue: Queue[Heard],
        memory: Memory,
        clock: Clock,
        *,
        respect_noindex: bool,
        is_ours: Callable[[RawPost], bool],
        close: Callable[[], None],
    ) -> None:
        self._streams, self._queue, self._memory, self._clock = streams, queue, memory, clock
        self._respect_noindex, self._is_ours, self._close = respect_noindex, is_ours, close
        self._waiting: list[Item] = []
        self._recovered: dict[str, int] = {}
        self._unread = 0
        self._placed: dict[str, int] = {}
        self._event_at: datetime | None = None

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        for stream in self._streams:
            stream.tend()
        wait = _WAIT_SECONDS
        while len(self._waiting) < max_items:
            try:
                heard = self._queue.get(timeout=wait) if wait else self._queue.get_nowait()
            except Empty:
                break
            wait = 0.0
            self._waiting += self._items(heard)
        if not self._waiting and wait:
            self._complain()
        given, self._waiting = self._waiting[:max_items], self._waiting[max_items:]
        return given

    def _complain(self) -> None:
        """Raise what keeps all streams from listening; nothing while one listens or tries to."""
        errors = [stream.error for stream in self._streams if stream.error is not None]
        if not errors or any(stream.busy for stream in self._streams):
            return
        if all(isinstance(error, ConfigError) for error in errors):
            for stream in self._streams:
                stream.hurry()
            raise ConfigError("; ".join(dict.fromkeys(map(_told, errors))))
        waits = [stream.wait_seconds() for stream in self._streams]
        raise RetryLater("; ".join(dict.fromkeys(map(_told, errors))), min(waits))

    def extent(self) -> Extent | None:
        """A live source has no end."""
        return None

    def vitals(self) -> Vitals:
        """As the protocol."""
        connected = any(stream.listening for stream in self._streams)
        # Where none listens, what stands in the way is raised, and need not be said twice.
        errors = {stream.key: stream.error for stream in self._streams if connected and not stream.listening}
        return Vitals(
            connected=connected,
            event_at=self._event_at,
            errors=self._unread + sum(stream.errors for stream in self._streams),
            note="; ".join(f"not heard: {_told(error)}" for error in errors.values() if error is not None),
        )

    def place(self) -> str | None:
        """As `ingest.source.Placed`: when each timeline last gave a sign of life."""
        heard = {key: position.heard_ms for key, position in self._memory.positions.items()}
        if self._waiting or heard == self._placed:
            return None
        self._placed = heard
        return self._memory.cursor()

    def close(self) -> None:
        """As the protocol."""
        for stream in self._streams:
            stream.close()
        self._close()

    def _items(self, heard: Heard) -> Iterator[Item]:
        stream, content = heard.stream, heard.content
        if isinstance(content, Gap):
            recovered = self._recovered.pop(stream.key, 0)
            why = content.reason.removeprefix(f"{stream.instance.host} ")
            gap = replace(content, recovered=recovered, reason=f"{stream.key}: {why}")
            yield self._item(stream, stream.key, gap, b"")
        elif isinstance(content, ServerEvent):
            # What is fetched afterwards is no sign of life: the gap that it fills is told behind it.
            self._position(stream).heard_ms = to_ms(heard.at)
            if content.name in _POSTS:
                yield from self._read_event(stream, content)
            elif content.name == "delete":
                yield from self._removal(stream, content.data)
        else:
            for status in content:
                for item in self._post(stream, status, dump(status)):
                    if stream.was_missed(local_id(status)):
                        self._recovered[stream.key] = self._recovered.get(stream.key, 0) + 1
                    yield item

    def _read_event(self, stream: TimelineStream, event: ServerEvent) -> Iterator[Item]:
        status = read_json(event.data)
        if isinstance(status, Mapping):
            yield from self._post(stream, status, event.data)
            return
        self._unread += 1
        bad = BadRecord(BadReason.NOT_JSON, f"an event {event.name} of {stream.key} is no JSON object")
        yield self._item(stream, stream.key, bad, event.data)

    def _post(self, stream: TimelineStream, status: Mapping[str, Any], raw: bytes) -> Iterator[Item]:
        if not is_taken(status, respect_noindex=self._respect_noindex):
            return
        host, name, uri = stream.instance.host, local_id(status), uri_of(status)
        now = self._clock.now()
        content = read_status(status, host, seen_at=now, uri_by_id=lambda parent: self._memory.uri(host, parent))
        if name:
            stream.given(name)
            position = self._position(stream)
            position.newest_id = newer(position.newest_id, name)
        if uri and name:
            keep = isinstance(content, RawPost) and self._is_ours(content)
            self._memory.learn(host, name, uri, keep=keep)
        if uri and not self._memory.is_new(uri, revision_of(status)):
            return
        written = event_time(status)
        if written is not None and (self._event_at is None or written > self._event_at):
            # A clock that runs ahead would hide how far behind we are.
            self._event_at = min(written, now)
        yield self._item(stream, f"{host}:{name}", content, raw)

    def _removal(self, stream: TimelineStream, data: bytes) -> Iterator[Item]:
        name = data.decode("utf-8", "replace").strip().strip('"')
        uri = self._memory.uri(stream.instance.host, name)
        # Of a post that nobody remembers, nothing of ours is left either, or it is older than what is remembered.
        if uri is not None and self._memory.is_new(uri, "removed"):
            removed = Removed(native_id=uri, removed_at=self._clock.now())
            yield self._item(stream, f"{stream.instance.host}:{name}", removed, data)

    def _position(self, stream: TimelineStream) -> Position:
        return self._memory.positions.setdefault(stream.key, Position())

    def _item(self, stream: TimelineStream, position: str, content: Content, raw: bytes) -> Item:
        return Item(position=position, cursor=self._memory.cursor(), raw=raw, content=content)


def _told(error: RetryLater | ConfigError) -> str:
    return error.problems[0] if isinstance(error, ConfigError) else str(error)
