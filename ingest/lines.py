"""Lines of a stream of bytes with their places; a line without end costs no more memory than a long one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from domain.errors import BadReason, BadRecord

# As in dead letters: whole up to 16 MiB, its first 64 KiB beyond.
MAX_LINE_BYTES = 16 * 1024 * 1024
KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line feed.

    `number` counts from 1; `end` is the byte offset after its line feed. `error` says why it is no whole line:
    then `raw` may be its beginning only, of `size` bytes with hash `sha256`.
    """

    raw: bytes
    number: int
    end: int
    error: BadRecord | None = None
    size: int = 0
    sha256: str = ""


def split_lines(
    chunks: Iterator[bytes], *, offset: int = 0, number: int = 0, limit: int = MAX_LINE_BYTES
) -> Iterator[Line | None]:
    """Cut a stream at line feeds; the last line needs none.

    Args:
        chunks: what is read; it may end with a `BadRecord`, which becomes the last line's error.
        offset: where the first chunk begins, in bytes.
        number: lines before it.
        limit: bytes above which a line is not kept but only measured and hashed.

    Yields:
        Lines in order, and None at the end of each chunk: what follows may have to be waited for.
    """
    line = _LineBuffer(limit)
    try:
        for chunk in chunks:
            first, *more = chunk.split(b"\n")
            for piece in more:
                offset += len(first) + 1
                number += 1
                line.add(first)
                yield line.take(number, offset)
                first = piece
            offset += len(first)
            line.add(first)
            yield None
    except BadRecord as exc:
        yield line.take(number + 1, offset, exc)
        return
    if line.size:
        yield line.take(number + 1, offset)


class _LineBuffer:
    """The line being read: its pieces while it is short enough, then its beginning and a running hash."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._hash: hashlib._Hash | None = None

    def add(self, piece: bytes) -> None:
        if not piece:
            return
        self.size += len(piece)
        if self._hash is not None:
            self._hash.update(piece)
            return
        self._pieces.append(piece)
        if self.size > self._limit:
            whole = b"".join(self._pieces)
            self._hash = hashlib.sha256(whole)
            self._pieces = [whole[:KEPT_BYTES]]

    def take(self, number: int, end: int, error: BadRecord | None = None) -> Line:
        raw, size, digest = b"".join(self._pieces), self.size, self._hash
        self._clear()
        if digest is None:
            return Line(raw, number, end, error, size if error else 0, hashlib.sha256(raw).hexdigest() if error else "")
        found = f"the line has {size:,} bytes, expected at most {self._limit:,}"
        return Line(raw, number, end, error or BadRecord(BadReason.TOO_LARGE, found), size, digest.hexdigest())
