"""Bytes of a file or pipe as UTF-8 text: gzip told by content, other encodings turned, memory bounded."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from domain.errors import BackendDown, BadReason, BadRecord

CHUNK_BYTES = 256 * 1024
UTF8_BOM = codecs.BOM_UTF8
_GZIP_MAGIC = b"\x1f\x8b"


def is_gzip(start: bytes) -> bool:
    """Tell by its first bytes whether a file is gzipped, whatever its name says."""
    return start.startswith(_GZIP_MAGIC)


def is_utf16(start: bytes) -> bool:
    """Tell by its byte order mark whether a text is UTF-16."""
    return start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def raw_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Give what is there, up to `CHUNK_BYTES` at a time; a pipe's data as soon as it comes.

    Raises:
        BackendDown: the file or device cannot be read any more.
    """
    read = getattr(file, "read1", file.read)
    try:
        while chunk := read(CHUNK_BYTES):
            yield chunk
    except OSError as exc:
        raise BackendDown(f"reading failed: {exc.strerror or exc}; check the disk or the pipe, then run again") from exc


def with_start(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Give at least the first `size` bytes (fewer at the end), and chunks from the beginning all the same."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= size:
            break

    def again() -> Iterator[bytes]:
        if start:
            yield start
        yield from chunks

    return start, again()


def gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress, member after member, at most `CHUNK_BYTES` at a time whatever the ratio.

    Raises:
        BadRecord: the data ends early, is damaged, or is followed by something else. What was readable was given
            by then, and may be wrong: a member's checksum stands at its end.
    """
    member = zlib.decompressobj(wbits=31)
    started = False
    for chunk in chunks:
        pending = chunk
        while pending:
            if not started:
                # Archives may be padded with zeros after the last member.
                pending = pending.lstrip(b"\0")
                if not pending:
                    break
            try:
                text = member.decompress(pending, CHUNK_BYTES)
            except zlib.error as exc:
                found = f"found damaged gzip data ({exc}), expected it whole to its end"
                raise BadRecord(BadReason.BAD_ENCODING, found) from exc
            started = True
            if text:
                yield text
            pending = member.unconsumed_tail
            if member.eof:
                pending = member.unused_data
                member, started = zlib.decompressobj(wbits=31), False
    if started:
        found = "found gzip data that ends early (a broken download?), expected it whole to its end"
        raise BadRecord(BadReason.BAD_ENCODING, found)


def to_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Turn another encoding into UTF-8.

    What cannot be decoded becomes bytes that are no UTF-8, so that only its own line is refused later.
    """
    # Wide encodings know no single bad bytes, only bad surrogates.
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    decoder = codecs.getincrementaldecoder(encoding)(errors="surrogatepass" if wide else "surrogateescape")
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeError as exc:
        found = f"the {encoding} text is damaged ({exc.reason if isinstance(exc, UnicodeDecodeError) else exc})"
        raise BadRecord(BadReason.BAD_ENCODING, f"{found}: what comes after this place cannot be read") from exc
