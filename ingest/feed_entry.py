"""What a feed says, once it was read: entries as plain values, and the raw post that each becomes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

from domain.clock import from_ms
from ingest.clean import plain_text
from ingest.dates import in_range
from ingest.links import read_link
from ingest.source import RawPost

MAX_TAGS = 20
# An identifier that is one everywhere: a URL, a tag: or urn: name. What has no scheme ("17") is one in its feed only.
_GLOBAL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:\S+")
# A category of several words is no hashtag that anybody could write.
_ONE_WORD = re.compile(r"#?\w{2,50}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One entry as its feed gave it; "" and None where it says nothing. Title and text are HTML.

    `published_ms` and `updated_ms` are in ms since 1970, whatever nonsense they say.
    """

    guid: str = ""
    link: str = ""
    title: str = ""
    text: str = ""
    author: str = ""
    lang: str = ""
    published_ms: int | None = None
    updated_ms: int | None = None
    tags: tuple[str, ...] = ()

    def sane(self, now: datetime) -> FeedEntry:
        """Give it without times at which nothing can have been written."""
        return replace(self, published_ms=_sane(self.published_ms, now), updated_ms=_sane(self.updated_ms, now))

    @property
    def stamp_ms(self) -> int | None:
        """The latest time that it names."""
        return max((at for at in (self.published_ms, self.updated_ms) if at is not None), default=None)

    @property
    def digest(self) -> int:
        """A number of 64 bits that changes when a reader would see another text. Times and markup do not count."""
        shown = [plain_text(self.title, "always")[0], plain_text(self.text, "always")[0], canonical(self.link) or ""]
        return number_of("\0".join([*shown, self.author, *sorted(self.tags)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A feed as it is now, its newest entry last; `left_out` counts those beyond the most that are read."""

    title: str = ""
    entries: tuple[FeedEntry, ...] = ()
    left_out: int = 0

    def to_json(self) -> bytes:
        """Give it as one line of ASCII."""
        return json.dumps(asdict(self)).encode("ascii")

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Feed:
        """Read it back."""
        entries = tuple(FeedEntry(**{**entry, "tags": tuple(entry["tags"])}) for entry in found["entries"])
        return Feed(title=found["title"], entries=entries, left_out=found["left_out"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """An entry that is new or was changed. `feed` and `host` are those that it stood in.

    `published_ms` is the time of its first sight of it where it says nothing of its own; `edited_ms` is None where it
    was not changed since.
    """

    entry: FeedEntry
    feed: str
    host: str
    published_ms: int | None
    edited_ms: int | None

    def to_json(self) -> bytes:
        """Give it as it is kept in a dead letter."""
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "surrogatepass")

    @staticmethod
    def from_json(raw: bytes) -> Revised:
        """Read it back.

        Raises:
            ValueError: it is none.
        """
        try:
            found = json.loads(raw)
            entry = FeedEntry(**{**found["entry"], "tags": tuple(found["entry"]["tags"])})
            return Revised(**{**found, "entry": entry})
        except (KeyError, TypeError, RecursionError) as exc:
            raise ValueError(f"found no entry of a feed: {exc}") from exc


def native_id(entry: FeedEntry, host: str) -> str:
    """Give the id: the guid, else the link without tracking; "" where there is neither.

    A guid that is no identifier outside of its feed is told apart by the host, or the entry 17 of two sites is one.
    """
    if entry.guid:
        return entry.guid if _GLOBAL.fullmatch(entry.guid) else f"{host}#{entry.guid}"
    return canonical(entry.link) or ""


def row_of(entry: FeedEntry, host: str) -> str:
    """Give what stands for the id of an entry that has none."""
    return "\0".join((host, entry.title, entry.text))


def entry_key(entry: FeedEntry, host: str) -> int:
    """Give a number of 64 bits that stands for the entry's id."""
    return number_of(native_id(entry, host) or row_of(entry, host))


def number_of(text: str) -> int:
    """Hash a text to 64 bits, the same in every process."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def canonical(link: str) -> str | None:
    """Give an address without tracking; None where it is none."""
    found = read_link(link) if link else None
    return None if found is None else found.url


def article(revised: Revised) -> RawPost:
    """Give the raw post of an entry of any feed."""
    entry = revised.entry
    text, title = entry.text, entry.title
    if not plain_text(text, "always")[0] or text == title:
        text, title = title, ""
    fields: dict[str, object] = {
        "id": native_id(entry, revised.host),
        "text": text,
        "title": title,
        "url": canonical(entry.link),
        "kind": "article",
        "author_name": entry.author,
        "lang": entry.lang,
        "hashtags": hashtags(entry.tags),
        **times(revised),
    }
    attrs = {"feed": revised.feed, "host": revised.host, "tags": ", ".join(entry.tags)}
    return raw_post(fields, attrs, row_of(entry, revised.host))


def raw_post(fields: Mapping[str, object], attrs: Mapping[str, str], row: str | None) -> RawPost:
    """Give a raw post of what is known."""
    return RawPost(
        fields={name: value for name, value in fields.items() if value not in (None, "", [])},
        attrs={name: value for name, value in attrs.items() if value},
        row=row,
    )


def times(revised: Revised) -> dict[str, object]:
    """Give the fields of its times."""
    published, edited = revised.published_ms, revised.edited_ms
    return {
        "published_at": None if published is None else from_ms(published),
        "edited_at": None if edited is None else from_ms(edited),
    }


def hashtags(tags: Sequence[str]) -> list[str]:
    """Give the categories that are one word."""
    return [tag for tag in tags if _ONE_WORD.fullmatch(tag)][:MAX_TAGS]


def _sane(milliseconds: int | None, now: datetime) -> int | None:
    try:
        return milliseconds if milliseconds is not None and in_range(from_ms(milliseconds), now) else None
    except OverflowError:
        return None
