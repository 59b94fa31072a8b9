"""Reading the bytes of a feed with feedparser, which never fetches anything here.

Run as a module it is the child of `ingest.feed_process`: feedparser is quadratic in several things that a hostile feed
can be full of (80 kB of an author's name cost it a minute, during which nothing else in its process moves), so it runs
in a process of its own, with an end to its time and its memory.
"""

from __future__ import annotations

import calendar
import html
import io
import json
import os
import resource
import signal
import sys
import warnings
from typing import Any
from urllib.parse import urljoin

import feedparser

from ingest.feed_entry import Feed, FeedEntry

MEMORY_BYTES = 1 << 30
# More stands in no feed that is meant to be read again and again.
MAX_ENTRIES = 2_000
_MAX_SHORT_CHARS = 4_096
# The normaliser refuses a text of more than a million characters; so that it can say so, one more is kept.
_MAX_TEXT_CHARS = 1_000_001
_MAX_TAGS = 50
_MAX_AUTHOR_CHARS = 400
_UNWANTED = bytes(code for code in range(32) if code not in b"\t\n\r")
_WEB_PAGE = (b"<!doctype html", b"<html")


class NotAFeed(Exception):
    """What came is no feed, or one that cannot be read. The message goes on after the address of the feed."""


def parse_feed(body: bytes, content_type: str, base: str) -> Feed:
    """Read a feed, however broken, as long as something of it can be read.

    Args:
        body: RSS, RDF or Atom.
        content_type: as its server said.
        base: the address that it came from.

    Raises:
        NotAFeed: there is nothing to use in it.
    """
    start = body[:2_048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise NotAFeed("the answer is empty")
    if start.startswith(_WEB_PAGE):
        raise NotAFeed("found a web page, expected a feed")
    if start[:1] in b"{[":
        raise NotAFeed("found JSON, expected RSS or Atom")
    body, content_type = _readable(body, content_type)
    # No base: a guid that looks like a relative address must stay what it is, wherever its feed moves.
    headers = {"content-type": content_type or "application/xml"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = feedparser.parse(
            io.BytesIO(body), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    entries = dict.get(found, "entries") or []
    if not entries and (not dict.get(found, "version") or dict.get(found, "bozo")):
        page = b"<html" in start
        raise NotAFeed("found a web page, expected a feed" if page else "nothing of it could be read as RSS or Atom")
    title, lang = (_short(dict.get(found.feed, name)) for name in ("title", "language"))
    read = _newest_last([_entry(entry, base, lang) for entry in entries])
    left_out = max(0, len(read) - MAX_ENTRIES)
    return Feed(title=title, entries=tuple(read[left_out:]), left_out=left_out)


def _readable(body: bytes, content_type: str) -> tuple[bytes, str]:
    """Settle what is UTF-8, whatever was declared: text of another encoding hardly ever is by chance.

    What XML forbids goes, so that one stray control character does not cost the strict reading of the whole.
    """
    if body.isascii() and b"\x1b" not in body:
        return body.translate(None, _UNWANTED), content_type
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return body, content_type
    if b"\x1b" in body:
        return body, content_type
    return body.translate(None, _UNWANTED), "application/xml; charset=utf-8"


def _newest_last(entries: list[FeedEntry]) -> list[FeedEntry]:
    entries.reverse()
    if all(entry.stamp_ms is not None for entry in entries):
        entries.sort(key=lambda entry: entry.stamp_ms or 0)
    return entries


def _entry(found: Any, base: str, lang: str) -> FeedEntry:
    tags = [_short(tag.get("term")) for tag in dict.get(found, "tags") or [] if isinstance(tag, dict)]
    return FeedEntry(
        guid=_short(dict.get(found, "id")),
        link=_joined(base, _short(dict.get(found, "link"))),
        title=_html(dict.get(found, "title_detail")) or _short(dict.get(found, "title")),
        text=_text(found),
        author=_author(found),
        lang=lang,
        published_ms=_time(dict.get(found, "published_parsed")),
        updated_ms=_time(dict.get(found, "updated_parsed")),
        tags=tuple(filter(None, tags[:_MAX_TAGS])),
    )


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link) if link else ""
    except ValueError:
        return ""


def _text(found: Any) -> str:
    """Give the longest content, else the summary."""
    contents = [_html(content) for content in dict.get(found, "content") or []]
    return max(contents, key=len, default="") or _html(dict.get(found, "summary_detail"))


def _html(detail: Any) -> str:
    if not isinstance(detail, dict):
        return ""
    value, kind = detail.get("value"), detail.get("type")
    if not isinstance(value, str) or not str(kind or "text/").startswith(("text/", "application/xhtml")):
        return ""
    value = value[:_MAX_TEXT_CHARS]
    return html.escape(value, quote=False) if kind == "text/plain" else value


def _author(found: Any) -> str:
    """Give the name; an e-mail address is nobody's business.

    Not `author_detail`, which cuts an address under a top-level domain of five letters in two.
    """
    words = _short(dict.get(found, "author"))[:_MAX_AUTHOR_CHARS].split()
    name = " ".join(word for word in words if "@" not in word[1:])
    return name[1:-1].strip() if name.startswith("(") and name.endswith(")") else name


def _time(found: Any) -> int | None:
    try:
        return calendar.timegm(found) * 1_000
    except (TypeError, ValueError, OverflowError):
        return None


def _short(value: Any) -> str:
    # One more than any field may have, so that what is too long is refused, not taken for what it begins with.
    return value.strip()[: _MAX_SHORT_CHARS + 1] if isinstance(value, str) else ""


def _answer(header: bytes, body: bytes) -> bytes:
    asked = json.loads(header)
    try:
        return parse_feed(body, asked["content_type"], asked["base"]).to_json()
    except NotAFeed as exc:
        return json.dumps({"refused": str(exc)}).encode()
    except MemoryError:
        return json.dumps({"refused": "it takes too much memory to read"}).encode()
    except Exception:
        # feedparser fails on some feeds that nobody thought of; the next one is read.
        return json.dumps({"refused": "it cannot be read as a feed"}).encode()


def main() -> None:
    """Answer one feed after another, each within the seconds given, until nobody asks any more."""
    seconds = int(sys.argv[1])
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    # Only answers go there.
    sys.stdout = sys.stderr
    # What is read elsewhere comes first.
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    while header := asked.readline():
        body = asked.read(json.loads(header)["length"])
        # Its default action ends this process, also in the middle of a regular expression.
        signal.alarm(seconds)
        answer = _answer(header, body)
        signal.alarm(0)
        answers.write(answer + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
