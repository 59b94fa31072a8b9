"""One normaliser for every source: raw fields to a `Post`, or the reason why not."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain import ids
from domain.clock import to_ms
from domain.errors import BadReason, BadRecord, ConfigError
from domain.records import Post
from domain.text import fold_keyword, signed_tokens
from ingest.clean import HtmlMode, one_line, plain_text, tidy
from ingest.columns import attributes
from ingest.dates import ABSENT, EARLIEST, in_range, parse_date
from ingest.json_rows import json_type
from ingest.links import Link, find_urls, read_link, read_links
from ingest.source import RawPost

# No post is longer; a file that somebody pasted into one cell is.
MAX_TEXT_CHARS = 1_000_000
MAX_TITLE_CHARS = 1_000
MAX_SHORT_CHARS = 200
MAX_ID_CHARS = 4_096
MAX_TAGS = 100
MAX_ATTRS = 32
MAX_ATTR_CHARS = 256
DEFAULT_RETENTION = timedelta(days=730)

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{1,8}){0,4}", re.IGNORECASE)
_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0{1,6})?", re.ASCII)
# What a spreadsheet makes of a long id: its last digits are gone, and different posts become one.
_ROUNDED_ID = re.compile(r"[0-9](?:[.,][0-9]{1,17})?[eE]\+?[0-9]{2}", re.ASCII)
_MAX_EXACT_FLOAT = 2.0**53


@dataclass(frozen=True, slots=True, kw_only=True)
class NormaliserSettings:
    """How values of one source are read.

    `html`: see `ingest.clean.plain_text`. `date_formats`: as of `strptime`, tried first. `timezone`: an IANA name,
    in which dates without a zone are read. `retention`: a post older than this is routed by the time of its
    collection. `backfilled`: these posts are collected after the fact.
    """

    html: HtmlMode = "auto"
    date_formats: tuple[str, ...] = ()
    timezone: str = "UTC"
    retention: timedelta = DEFAULT_RETENTION
    backfilled: bool = False


class Normaliser:
    """Makes posts of raw posts. Pure: the same raw post and time give the same post. Thread-safe.

    Raises:
        ConfigError: the time zone does not exist.
    """

    def __init__(self, source: str, settings: NormaliserSettings) -> None:
        self._source, self._settings = source, settings
        self._zone = _zone(settings.timezone)

    def normalise(self, raw: RawPost, collected_at: datetime) -> Post:
        """Give the post.

        Args:
            raw: as its source gave it.
            collected_at: now, aware and in UTC.

        Raises:
            BadRecord: MISSING_ID, MISSING_TEXT, WRONG_TYPE, BAD_DATE or TOO_LARGE.
        """
        fields = raw.fields
        attrs = attributes(raw.attrs, MAX_ATTRS, MAX_ATTR_CHARS)
        source = self._read_source(fields.get("source"), attrs)
        native_id, post_id = _read_id(fields.get("id"), raw.row, source)
        text, anchors = self._read_text(fields.get("text"), raw.html)
        title = self._read_title(fields.get("title"), raw.html)
        published_at = self._read_date("published_at", fields, collected_at)
        edited_at = self._read_date("edited_at", fields, collected_at)
        revised_at = edited_at or published_at
        likes, reposts, replies, views = (_count(name, fields) for name in ("likes", "reposts", "replies", "views"))
        engagement_at = self._read_date("engagement_at", fields, collected_at)
        known = any(one is not None for one in (likes, reposts, replies, views))
        if engagement_at is None and known and not self._settings.backfilled:
            # What a source tells now is as of now; of what is collected after the fact nobody knows.
            engagement_at = collected_at
        named = find_urls(text) + anchors + _strings("links", fields.get("links"))
        links = read_links(named)
        page = read_link(_short("url", fields, 4096) or "")
        hashtags, handles = _signs(text, title, _strings("hashtags", fields.get("hashtags")))
        return Post(
            post_id=post_id,
            source=source,
            native_id=native_id,
            # A post that says nothing about time has one revision only.
            revision_ms=0 if revised_at is None else to_ms(revised_at),
            text=text,
            collected_at=collected_at,
            routing_month=ids.routing_month(published_at, collected_at, self._settings.retention),
            kind=_short("kind", fields, 32) or "post",
            title=title,
            url=page.url if page is not None else None,
            declared_lang=_language(_short("lang", fields, 32)),
            author_id=_short("author_id", fields),
            author_handle=_handle(_short("author_handle", fields)),
            author_name=_short("author_name", fields),
            author_followers=_count("author_followers", fields),
            reply_to=_short("reply_to", fields, 400),
            thread_id=_short("thread_id", fields, 400),
            published_at=published_at,
            edited_at=edited_at,
            hashtags=hashtags,
            handles=handles,
            links=tuple(link.url for link in links),
            domains=_unique([link.domain for link in ([*links, page] if page is not None else links)]),
            campaigns=_campaigns([*links, page] if page is not None else links),
            likes=likes,
            reposts=reposts,
            replies=replies,
            views=views,
            engagement_at=engagement_at,
            location=_short("location", fields),
            backfilled=self._settings.backfilled,
            attrs={one_line(name, 64) or "-": one_line(value, MAX_ATTR_CHARS) for name, value in attrs.items()},
        )

    def identify(self, raw: RawPost) -> tuple[str, str]:
        """Give the source and the native id that the post would have.

        Raises:
            BadRecord: MISSING_ID or WRONG_TYPE.
        """
        source = self._read_source(raw.fields.get("source"), {})
        return source, _read_id(raw.fields.get("id"), raw.row, source)[0]

    def _read_source(self, value: object, attrs: dict[str, str]) -> str:
        """Give the source that the row names; what cannot be one (an app's name, say) is kept as an attribute."""
        if value is None or value == "":
            return self._source
        name = value.strip().casefold() if isinstance(value, str) else ""
        if _SOURCE.fullmatch(name):
            return name
        attrs.setdefault("source", str(value)[:MAX_ATTR_CHARS])
        return self._source

    def _read_text(self, value: object, html: bool | None) -> tuple[str, list[str]]:
        if value is None:
            raise BadRecord(BadReason.MISSING_TEXT, "there is no text")
        if not isinstance(value, str):
            raise BadRecord(BadReason.WRONG_TYPE, f"text: found {json_type(value)}, expected a string")
        if len(value) > MAX_TEXT_CHARS:
            found = f"text: found {len(value):,} characters, expected at most {MAX_TEXT_CHARS:,}"
            raise BadRecord(BadReason.TOO_LARGE, found)
        text, anchors = plain_text(value, self._settings.html, html=html)
        if not text:
            raise BadRecord(BadReason.MISSING_TEXT, "the text is empty" if not value.strip() else "no text is visible")
        return text, anchors

    def _read_title(self, value: object, html: bool | None) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise BadRecord(BadReason.WRONG_TYPE, f"title: found {json_type(value)}, expected a string")
        title, _ = plain_text(value[: 4 * MAX_TITLE_CHARS], self._settings.html, html=html)
        return " ".join(title.split())[:MAX_TITLE_CHARS].rstrip() or None

    def _read_date(self, name: str, fields: Mapping[str, object], now: datetime) -> datetime | None:
        value = fields.get(name)
        if value is None:
            return None
        try:
            moment = parse_date(value, formats=self._settings.date_formats, zone=self._zone)
        except ValueError as exc:
            raise BadRecord(BadReason.BAD_DATE, f"{name}: {exc}") from exc
        if moment is not None and not in_range(moment, now):
            found = f"{name}: found {moment.isoformat()}, expected {EARLIEST.year} to a day from now"
            raise BadRecord(BadReason.BAD_DATE, found)
        return moment


def _read_id(value: object, row: str | None, source: str) -> tuple[str, str]:
    """Give the native id and the post's id."""
    if (value is None or value == "") and row is not None:
        post_id = ids.row_id(source, row)
        return post_id.removeprefix(f"{source}:"), post_id
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_EXACT_FLOAT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, type(None))):
        found = f"{json_type(value)} ({str(value)[:40]})" if isinstance(value, float) else json_type(value)
        raise BadRecord(BadReason.WRONG_TYPE, f"id: found {found}, expected a string or a whole number")
    native_id = "" if value is None else str(value).strip()
    clean = one_line(native_id, MAX_ID_CHARS)
    if not clean:
        raise BadRecord(BadReason.MISSING_ID, "the id is empty or absent, though the source has ids")
    if native_id != clean and unicodedata.normalize("NFC", " ".join(native_id.split())) != clean:
        # Cleaned, it would be an id that the source never gave, and might be another post's.
        found = f"found {ascii(native_id)[:60]} ({len(native_id):,} characters)"
        expected = f"expected at most {MAX_ID_CHARS:,}, none of them a control, hidden or broken one"
        raise BadRecord(BadReason.WRONG_TYPE, f"id: {found}, {expected}")
    if _ROUNDED_ID.fullmatch(native_id):
        found = f"found {native_id}, a number that a spreadsheet has rounded"
        raise BadRecord(BadReason.WRONG_TYPE, f"id: {found}; export the column as text")
    if match := _WHOLE.fullmatch(native_id):
        # Pandas writes whole numbers of a column with gaps as 17.0.
        native_id = match[1]
    return native_id, ids.post_id(source, native_id)


def _short(name: str, fields: Mapping[str, object], limit: int = MAX_SHORT_CHARS) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadRecord(BadReason.WRONG_TYPE, f"{name}: found {json_type(value)}, expected a string")
    return one_line(str(value), limit) or None


def _count(name: str, fields: Mapping[str, object]) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ABSENT:
            return None
        if match := _WHOLE.fullmatch(text):
            return int(match[1])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and math.isnan(value):
            return None
        if 0 <= value < 2**63 and value == int(value):
            return int(value)
    found = repr(value)[:40] if isinstance(value, str | int | float) else json_type(value)
    raise BadRecord(BadReason.WRONG_TYPE, f"{name}: found {found}, expected a whole number of at least 0")


def _strings(name: str, value: object) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return tidy(value.replace(",", " ") if name == "hashtags" else value).split()
    if isinstance(value, Sequence) and all(isinstance(entry, str) for entry in value):
        return [tidy(entry) for entry in value]
    raise BadRecord(BadReason.WRONG_TYPE, f"{name}: found {json_type(value)}, expected a list of strings")


def _signs(text: str, title: str | None, declared: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give hashtags and handles, folded and without their sign: exactly the tokens that a query finds."""
    whole = text if title is None else f"{title}\n{text}"
    hashtags = [fold_keyword(one_line(tag, MAX_SHORT_CHARS)).lstrip("#") for tag in declared]
    handles: list[str] = []
    if "@" in whole or "#" in whole or "\uff20" in whole or "\uff03" in whole:
        for token in signed_tokens(whole):
            (hashtags if token[0] == "#" else handles).append(token[1:])
    return _unique(hashtags)[:MAX_TAGS], _unique(handles)[:MAX_TAGS]


def _campaigns(links: Iterable[Link]) -> tuple[str, ...]:
    return _unique(fold_keyword(one_line(link.campaign, MAX_SHORT_CHARS)) for link in links if link.campaign)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, dict.fromkeys(values)))


def _handle(value: str | None) -> str | None:
    return (value.lstrip("@") or None) if value is not None else None


def _language(value: str | None) -> str | None:
    """Give the language of a tag ("pt-BR": "pt"); None for what is no tag, and for "und", which says nothing."""
    match = _LANGUAGE.fullmatch(value) if value is not None else None
    return None if match is None or match[1].lower() == "und" else match[1].lower()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ConfigError(f"timezone = {name!r}: unknown; expected an IANA name such as Europe/Berlin") from exc
