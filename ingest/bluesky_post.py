"""One event of Jetstream to what the normaliser reads. Whatever stands in a record, it is never an error here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.errors import BadReason, BadRecord
from ingest.clean import tidy
from ingest.dates import EARLIEST
from ingest.jetstream import StreamEvent
from ingest.source import AuthorRemoved, Content, RawPost, Removed, Restored

# What the account of an author can be, beside active, that takes his posts away. "throttled" and "desynchronized" are
# troubles of servers.
GONE = frozenset(("deleted", "takendown", "suspended", "deactivated"))
# The clock of an author's server may differ from ours by this much before it is not believed.
_CLOCK_SLACK = timedelta(minutes=1)
_OLDEST_REVISION = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The digits of a revision in the order of those of base 32 as Python reads it.
_TID_DIGITS = str.maketrans("234567abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghijklmnopqrstuv")
_TID_CHARS = 13
# A revision holds a time in microseconds above ten bits that tell clocks apart.
_TID_CLOCK_BITS = 10
_MAX_ENTRIES = 64
_MAX_ALT_CHARS = 2_000
# A longer text has something visible in it, or is parked for having nothing.
_SHORT_CHARS = 40


def content_of(event: StreamEvent, handle: str | None) -> Content | None:
    """Give what an event says; None when it says nothing to us: another kind, or a post without any word.

    Args:
        event: as it was read.
        handle: of the author, where it is known.
    """
    if event.kind == "create" or event.kind == "update":
        return _post(event, handle)
    if event.kind == "delete":
        return Removed(native_id=event.uri, removed_at=event.at)
    if event.kind == "account":
        if event.active:
            return Restored(author_id=event.did, restored_at=event.at)
        if event.status in GONE:
            return AuthorRemoved(author_id=event.did, removed_at=event.at, reason=f"author {event.status}")
    return None


def _post(event: StreamEvent, handle: str | None) -> RawPost | BadRecord | None:
    record = event.record
    if not isinstance(record, dict):
        return BadRecord(BadReason.NOT_AN_OBJECT, "record: is absent or no object")
    found = _Found()
    if "embed" in record:
        found.embed(record["embed"])
    text = record.get("text")
    if text is None or (isinstance(text, str) and not _visible(text)):
        # A picture or a link without a word stands with the words that describe it.
        text = "\n".join(found.alts) or "\n".join(found.card)
        if not _visible(text):
            return None
    if "facets" in record:
        found.facets(record["facets"])
    written = _written(record.get("createdAt"), event)
    fields: dict[str, object] = {
        "id": event.uri,
        "text": text,
        "url": f"https://bsky.app/profile/{event.did}/post/{event.rkey}",
        "author_id": event.did,
        "published_at": written,
    }
    if handle is not None:
        fields["author_handle"] = handle
    if event.kind == "update":
        # An edit is later than what it edits, whatever the clock of the author said.
        fields["edited_at"] = max(_revised(event), written + timedelta(milliseconds=1))
    _reply(record.get("reply"), fields)
    langs = _strings(record.get("langs"))
    if langs:
        fields["lang"] = langs[0][:32]
    tags = found.tags + _strings(record.get("tags"))
    if tags:
        fields["hashtags"] = tags
    if found.links:
        fields["links"] = found.links
    return RawPost(fields=fields, attrs=_attrs(record, langs, found), html=False)


@dataclass(slots=True)
class _Found:
    """What facets and embeds of one record name."""

    links: list[str]
    tags: list[str]
    mentions: list[str]
    alts: list[str]
    card: list[str]
    quoted: str

    def __init__(self) -> None:
        self.links, self.tags, self.mentions, self.alts, self.card, self.quoted = [], [], [], [], [], ""

    def facets(self, facets: object) -> None:
        for facet in _dicts(facets):
            for feature in _dicts(facet.get("features")):
                kind = feature.get("$type")
                if kind == "app.bsky.richtext.facet#link":
                    self.links += _texts(feature.get("uri"))
                elif kind == "app.bsky.richtext.facet#tag":
                    self.tags += _texts(feature.get("tag"))
                elif kind == "app.bsky.richtext.facet#mention":
                    self.mentions += _texts(feature.get("did"))

    def embed(self, embed: object) -> None:
        if not isinstance(embed, dict):
            return
        kind = embed.get("$type")
        if kind == "app.bsky.embed.recordWithMedia":
            self._media(embed.get("media"))
            embed = embed.get("record")
            kind = "app.bsky.embed.record"
        if kind == "app.bsky.embed.record":
            quoted = embed.get("record") if isinstance(embed, dict) else None
            uri = quoted.get("uri") if isinstance(quoted, dict) else None
            self.quoted = uri if isinstance(uri, str) else ""
        else:
            self._media(embed)

    def _media(self, media: object) -> None:
        if not isinstance(media, dict):
            return
        kind = media.get("$type")
        if kind == "app.bsky.embed.external" and isinstance(card := media.get("external"), dict):
            self.links += _texts(card.get("uri"))
            self.card = _texts(card.get("title")) + _texts(card.get("description"))
        elif kind == "app.bsky.embed.images":
            for image in _dicts(media.get("images")):
                self.alts += [alt[:_MAX_ALT_CHARS] for alt in _texts(image.get("alt"))]
        elif kind == "app.bsky.embed.video":
            self.alts += [alt[:_MAX_ALT_CHARS] for alt in _texts(media.get("alt"))]


def _attrs(record: dict[str, Any], langs: list[str], found: _Found) -> dict[str, object]:
    attrs: dict[str, object] = {}
    if found.alts:
        attrs["image_alt"] = " | ".join(found.alts)
    if found.card:
        attrs["link_title"] = found.card[0]
    if found.quoted:
        attrs["quotes"] = found.quoted
    if found.mentions:
        attrs["mentions"] = " ".join(found.mentions)
    if len(langs) > 1:
        attrs["langs"] = " ".join(langs)
    if isinstance(labels := record.get("labels"), dict):
        named = [name for label in _dicts(labels.get("values")) for name in _texts(label.get("val"))]
        if named:
            attrs["labels"] = " ".join(named)
    return attrs


def _reply(reply: object, fields: dict[str, object]) -> None:
    if not isinstance(reply, dict):
        return
    fields["kind"] = "reply"
    for name, end in (("reply_to", "parent"), ("thread_id", "root")):
        target = reply.get(end)
        uri = target.get("uri") if isinstance(target, dict) else None
        if isinstance(uri, str) and uri:
            fields[name] = uri


def _visible(text: str) -> bool:
    """Tell whether a text has anything to read: zero-width and direction characters alone are common."""
    return bool(text.strip()) and (text.isascii() or len(text) > _SHORT_CHARS or bool(tidy(text).strip()))


def _written(claimed: object, event: StreamEvent) -> datetime:
    """Give when a post was written: as its author says, but not after it was seen; where he says nothing, then."""
    if isinstance(claimed, str) and len(claimed) <= 64:
        try:
            moment = datetime.fromisoformat(claimed)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return _revised(event)
        if EARLIEST <= moment <= event.at:
            return moment
    return _revised(event)


def _revised(event: StreamEvent) -> datetime:
    """Give when a revision was made, by the clock of the author's server: the same wherever the event is read.

    A clock that cannot be right is not believed: then it is when the event was witnessed.
    """
    rev, witnessed = event.rev, event.at
    if len(rev) == _TID_CHARS:
        try:
            micros = int(rev.translate(_TID_DIGITS), 32) >> _TID_CLOCK_BITS
            moment = _EPOCH + timedelta(microseconds=micros)
        except (ValueError, OverflowError):
            return witnessed
        if witnessed - _OLDEST_REVISION <= moment <= witnessed + _CLOCK_SLACK:
            return moment
    return witnessed


def _dicts(values: object) -> Iterator[dict[str, Any]]:
    if isinstance(values, list):
        yield from (value for value in values[:_MAX_ENTRIES] if isinstance(value, dict))


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value.strip() else []


def _strings(values: object) -> list[str]:
    if not isinstance(values, list):
        return []
    return [value for value in values[:_MAX_ENTRIES] if isinstance(value, str) and value]
