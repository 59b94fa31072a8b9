"""A mention as a document of Elasticsearch and back, bit for bit; one field of the index for each field of a query.

Keywords stand in the document folded, as they are compared and counted in both stores. What was written otherwise
is kept beside them in `as_written`, which is stored and not indexed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from domain.errors import BackendDown, BadRecord
from domain.records import Mention
from search.keywords import KEYWORDS, MULTIPLE, folded, folded_values
from stream.codec import mention_of as read_mention
from stream.codec import to_json, values_of

# Fields of the index that a mention does not have.
EVENT_AT: Final = "event_at"
AS_WRITTEN: Final = "as_written"
STORY_ID: Final = "story_id"
# A date of Elasticsearch has milliseconds. The microseconds beyond them, where there are any, make ranges exact.
MICROS_OF: Final = {"published_at": "published_micros", "collected_at": "collected_micros"}
_OURS: Final = (EVENT_AT, AS_WRITTEN, *MICROS_OF.values())
_MICROS: Final = 1_000


def body_of(mention: Mention) -> bytes:
    """Give the document of a mention as JSON; without a story where the store is to give it one (`with_story`).

    Raises:
        BadRecord: as `stream.codec.encode`.
    """
    document = values_of(mention)
    if mention.signature is not None:
        document.pop(STORY_ID, None)
    document[EVENT_AT] = mention.published_at or mention.collected_at
    for name, beyond in MICROS_OF.items():
        moment: datetime | None = document.get(name)
        if moment is not None and (micros := moment.microsecond % _MICROS):
            document[beyond] = micros
    as_written: dict[str, Any] = {}
    for name in KEYWORDS:
        value = document.get(name)
        if value is not None and ((one := folded(value)) != value or not one):
            as_written[name] = value
            _set(document, name, one)
    for name in MULTIPLE:
        values = document.get(name)
        if values and tuple(many := folded_values(values)) != values:
            as_written[name] = values
            _set(document, name, many)
    if as_written:
        document[AS_WRITTEN] = as_written
    return to_json(document)


def with_story(body: bytes, story_id: str) -> bytes:
    """Give a document that has no story this one. Ids of stories are folded and need no escapes."""
    return b'%b,"story_id":"%b"}' % (body[:-1], story_id.encode("ascii"))


def _set(document: dict[str, Any], name: str, value: str | list[str]) -> None:
    """Set a field, or leave it out where nothing is left of its value."""
    if value:
        document[name] = value
    else:
        del document[name]


def mention_of(source: Mapping[str, Any]) -> Mention:
    """Give the mention back from a document.

    Raises:
        BackendDown: it is none of ours.
    """
    document = {**source, **source.get(AS_WRITTEN, {})}
    for name in _OURS:
        document.pop(name, None)
    try:
        return read_mention(document)
    except BadRecord as exc:
        raise BackendDown(f"a document in Elasticsearch is no mention: {exc.detail}") from exc
