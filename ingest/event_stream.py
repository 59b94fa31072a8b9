"""Server-sent events: a stream of bytes to events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.errors import RetryLater

# No event is longer: of one that is, the end is not waited for.
MAX_EVENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. A comment line, which servers send to show that they are there, has no name."""

    name: str
    data: bytes = b""


def read_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Give the events of a stream as they come, comments among them; one that was cut off at the end is not given.

    Raises:
        RetryLater: an event is longer than `MAX_EVENT_BYTES`.
    """
    rest = bytearray()
    name, data, size = "", list[bytes](), 0
    for chunk in chunks:
        # Only what is new can hold the end of a line: a long one is not looked through again and again.
        looked = len(rest)
        rest += chunk
        while (end := rest.find(b"\n", looked)) >= 0:
            line = bytes(rest[:end]).removesuffix(b"\r")
            del rest[: end + 1]
            looked = 0
            if not line:
                if name or data:
                    yield ServerEvent(name, b"\n".join(data))
                name, data, size = "", [], 0
            elif line.startswith(b":"):
                yield ServerEvent("")
            else:
                field, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                size += len(line)
                if field == b"event":
                    name = value[:100].decode("utf-8", "replace")
                elif field == b"data":
                    data.append(value)
        if len(rest) + size > MAX_EVENT_BYTES:
            raise RetryLater(f"gave an event of more than {MAX_EVENT_BYTES:,} bytes", 1.0)
