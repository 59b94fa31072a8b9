"""One look at one feed: conditional, bounded, and with one plain sentence where nothing came of it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TypeAlias
from urllib.parse import urlsplit

from domain.errors import RetryLater
from ingest.feed_entry import Feed
from ingest.feed_process import FeedProcess, Unreadable
from ingest.web import MAX_BODY_BYTES, Answer, Fetcher, NotAllowed, TooLarge, retry_after, shown

_ACCEPT = "application/rss+xml, application/atom+xml, application/rdf+xml;q=0.9, application/xml;q=0.8, */*;q=0.5"
_GZIP = b"\x1f\x8b"
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_MOST_PAUSE_SECONDS = 3_600.0
# A server that sends a megabyte of white space as its tag gets it back with every question.
_MAX_TAG_CHARS = 1_024


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server gave to ask "anything new?" with, and a hash of what it answered last."""

    etag: str = ""
    modified: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Looked:
    """A look that went well. `feed` None: nothing is new. `moved_to`: where the feed has gone for good, "" nowhere.

    `pause_seconds`: the host's own count says that it would refuse the next question before that.
    """

    feed: Feed | None
    validators: Validators
    moved_to: str = ""
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A look that brought nothing. `reason` goes on after the address of the feed.

    `refused`: somebody must mend something. `gone`: never ask again. `busy`: the whole host asks for patience.
    `after_seconds` is what it asks for.
    """

    reason: str
    refused: bool = False
    gone: bool = False
    busy: bool = False
    after_seconds: float | None = None


Result: TypeAlias = Looked | Trouble


def look(
    url: str,
    validators: Validators,
    *,
    fetcher: Fetcher,
    process: FeedProcess,
    now: datetime,
    headers: Mapping[str, str],
) -> Result:
    """Ask for a feed and read it; gives trouble rather than raising it."""
    asked = {"Accept": _ACCEPT, **headers}
    if validators.etag:
        asked["If-None-Match"] = validators.etag
    if validators.modified:
        asked["If-Modified-Since"] = validators.modified
    try:
        answer = fetcher.get(url, headers=asked)
    except RetryLater as exc:
        return Trouble(str(exc))
    except TooLarge:
        return Trouble(f"sends more than {MAX_BODY_BYTES:,} bytes", refused=True)
    except NotAllowed as exc:
        return Trouble(str(exc).removeprefix(f"{shown(url)}: "), refused=True)
    except (ValueError, KeyError):
        # An address that is none: a port beyond 65535, half a bracket, somewhere on the way.
        return Trouble("leads to an address that is none", refused=True)
    if answer.status == 304:
        return Looked(None, validators, answer.moved_to, _pause(answer))
    if answer.status != 200:
        return _refusal(answer, now)
    return _read(answer, validators, process)


def _refusal(answer: Answer, now: datetime) -> Trouble:
    status = answer.status
    if status == 410:
        return Trouble("is gone for good (410); take it out of the list", refused=True, gone=True)
    if status == 429 or status >= 500:
        wait = retry_after(answer.headers, now)
        if wait is None and status == 429:
            wait = _seconds(answer, "x-ratelimit-reset")
        return Trouble(f"answers {status}", busy=status == 429 or wait is not None, after_seconds=wait)
    return Trouble(f"answers {status}", refused=status in (401, 403, 404))


def _read(answer: Answer, before: Validators, process: FeedProcess) -> Result:
    digest = blake2b(answer.body, digest_size=16).digest()
    validators = Validators(_tag(answer, "etag"), _tag(answer, "last-modified"), digest)
    if digest == before.body:
        return Looked(None, validators, answer.moved_to, _pause(answer))
    try:
        body = _plain(answer)
        feed = process.parse(body, answer.headers.get("content-type", ""), answer.url)
    except Unreadable as exc:
        return Trouble(str(exc))
    return Looked(feed, validators, answer.moved_to, _pause(answer))


def _pause(answer: Answer) -> float:
    """Give how long to leave the host alone by `X-Ratelimit-*`, as Reddit sends it with every answer."""
    remaining = _seconds(answer, "x-ratelimit-remaining")
    used_up = remaining is not None and remaining < 1
    return (_seconds(answer, "x-ratelimit-reset") or 0.0) if used_up else 0.0


def _seconds(answer: Answer, name: str) -> float | None:
    found = _NUMBER.fullmatch(answer.headers.get(name, "").strip())
    return min(float(found[0]), _MOST_PAUSE_SECONDS) if found else None


def _tag(answer: Answer, name: str) -> str:
    value = answer.headers.get(name, "")
    return value if len(value) <= _MAX_TAG_CHARS and value.isascii() and value.isprintable() else ""


def _plain(answer: Answer) -> bytes:
    """Give the body without compression, which some send though it is not asked for."""
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Unreadable(f"is sent as {ascii(encoding)[:40]}, which was not asked for")
    if not answer.body.startswith(_GZIP):
        return answer.body
    try:
        unpacking = zlib.decompressobj(wbits=31)
        body = unpacking.decompress(answer.body, MAX_BODY_BYTES + 1)
    except zlib.error as exc:
        raise Unreadable("is sent as a damaged gzip") from exc
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable(f"sends more than {MAX_BODY_BYTES:,} bytes when unpacked")
    if not unpacking.eof:
        raise Unreadable("is sent as a damaged gzip")
    return body


def host_of(url: str) -> str:
    """Give the host of an address, in small letters."""
    return urlsplit(url).hostname or ""
