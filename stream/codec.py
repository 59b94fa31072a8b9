"""Records to bytes and back: JSON tagged by `type`, checked field by field when it is read.

Each record type gets a plan, worked out once from its annotations, so a field that is added to a record cannot
be forgotten here. Absent fields (None, an empty tuple, an empty mapping) are left out. Times are RFC 3339 in UTC
with all their digits. A span is `[start, end]`, or `[start, end, "title"]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import orjson

from domain.errors import BadReason, BadRecord
from domain.records import SCHEMA_VERSION, Event, MatchedPost, Mention, Retraction, Span, Withdrawal

Record: TypeAlias = MatchedPost | Retraction | Mention | Withdrawal | Event

# Readers take this version and the one before it, once there is one: producers and consumers are upgraded apart.
READABLE_VERSIONS = frozenset({SCHEMA_VERSION})

_TAGS: dict[type, str] = {
    MatchedPost: "matched_post",
    Retraction: "retraction",
    Mention: "mention",
    Withdrawal: "withdrawal",
    Event: "event",
}

_Read: TypeAlias = Callable[[Any, str], Any]
_Write: TypeAlias = Callable[[Any], Any]


def _wrong(where: str, found: object, expected: str) -> BadRecord:
    """Say what was wrong by type only: a value may be personal text, and details end up in logs."""
    return BadRecord(BadReason.BAD_SCHEMA, f"{where}: found {type(found).__name__}, expected {expected}")


def _read_float(value: Any, where: str) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise _wrong(where, value, "a number")


def _write_float(value: float) -> float:
    # orjson turns NaN and infinity into null without a word.
    if math.isfinite(value):
        return value
    raise BadRecord(BadReason.BAD_SCHEMA, f"found the number {value}, expected a finite one")


def _read_time(value: Any, where: str) -> datetime:
    if type(value) is not str:
        raise _wrong(where, value, "an RFC 3339 time")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadRecord(BadReason.BAD_SCHEMA, f"{where}: found another string, expected an RFC 3339 time") from exc
    raise BadRecord(BadReason.BAD_SCHEMA, f"{where}: found a time without a zone, expected one in UTC")


def _write_time(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError(f"expected an aware datetime, found the naive {value!r}")
    return value.astimezone(UTC)


def _read_strings(value: Any, where: str) -> tuple[str, ...]:
    if type(value) is not list:
        raise _wrong(where, value, "a list of strings")
    for item in value:
        if type(item) is not str:
            raise _wrong(where, item, "a string in the list")
    return tuple(value)


def _read_spans(value: Any, where: str) -> tuple[Span, ...]:
    if type(value) is not list:
        raise _wrong(where, value, "a list of spans")
    spans = []
    for item in value:
        if type(item) is not list or not 2 <= len(item) <= 3 or type(item[0]) is not int or type(item[1]) is not int:
            raise _wrong(where, item, "a span [start, end] or [start, end, field]")
        if len(item) == 3 and item[2] not in ("text", "title"):
            raise _wrong(where, item[2], "the span's field, text or title")
        spans.append(Span(*item))
    return tuple(spans)


def _write_spans(value: tuple[Span, ...]) -> list[list[int | str]]:
    return [[s.start, s.end] if s.field == "text" else [s.start, s.end, s.field] for s in value]


def _read_version(value: Any, where: str) -> int:
    if type(value) is int and value in READABLE_VERSIONS:
        return value
    found = value if type(value) is int else type(value).__name__
    expected = ", ".join(map(str, sorted(READABLE_VERSIONS)))
    raise BadRecord(BadReason.BAD_SCHEMA, f"{where}: found {found}, expected one of {expected}")


def _choice_reader(choices: tuple[str, ...]) -> _Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is str and value in choices:
            return value
        raise _wrong(where, value, f"one of {', '.join(choices)}")

    return read


def _mapping_reader(values: tuple[type, ...]) -> _Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is not dict:
            raise _wrong(where, value, "an object")
        for item in value.values():
            if type(item) not in values:
                raise _wrong(where, item, f"values of {', '.join(kind.__name__ for kind in values)}")
        return value

    return read


def _write_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _write_float(item) if type(item) is float else item for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one record type is written and read, worked out from its annotations."""

    record: type
    label: str
    # Written as they are and read by a check of their exact type: the bulk of every record.
    scalars: dict[str, type]
    scalar_names: tuple[str, ...]
    scalar_values: Callable[[Any], tuple[Any, ...]]
    readers: dict[str, _Read]
    writers: tuple[tuple[str, _Write], ...]

    def document(self, record: Any) -> dict[str, Any]:
        """Give the record as values that JSON knows, apart from times, which stay datetimes."""
        document = {
            name: value
            for name, value in zip(self.scalar_names, self.scalar_values(record), strict=False)
            if value is not None
        }
        for name, write in self.writers:
            value = getattr(record, name)
            if value is not None and value != () and value != {}:
                document[name] = write(value)
        return document

    def read(self, document: dict[str, Any]) -> Any:
        """Build the record from a document; the document is used up.

        Raises:
            BadRecord: a field is unknown, missing or of the wrong type.
        """
        scalars, readers = self.scalars, self.readers
        for name, value in document.items():
            expected = scalars.get(name)
            if expected is not None:
                if type(value) is not expected:
                    raise _wrong(f"{self.label}.{name}", value, expected.__name__)
            elif (reader := readers.get(name)) is not None:
                document[name] = reader(value, f"{self.label}.{name}")
            else:
                raise BadRecord(BadReason.BAD_SCHEMA, f"{self.label}: found an unknown field {name[:64]!r}")
        try:
            return self.record(**document)
        except TypeError as exc:
            # Names and types are checked above: what is left is a missing field, and the message names it.
            raise BadRecord(BadReason.BAD_SCHEMA, f"{self.label}: {exc}") from exc


def _nested(plan: _Plan) -> tuple[_Read, _Write]:
    def read(value: Any, where: str) -> Any:
        if type(value) is not dict:
            raise _wrong(where, value, "an object")
        return plan.read(value)

    return read, plan.document


def _nested_many(plan: _Plan) -> tuple[_Read, _Write]:
    read_one, write_one = _nested(plan)

    def read(value: Any, where: str) -> Any:
        if type(value) is not list:
            raise _wrong(where, value, "a list")
        return tuple([read_one(item, where) for item in value])

    def write(value: tuple[Any, ...]) -> list[Any]:
        return [write_one(item) for item in value]

    return read, write


def _as_is(value: Any) -> Any:
    return value


def _plan(record: type) -> _Plan:
    """Work out the plan of a record type; a field of a kind that has no rule here is a TypeError at import."""
    label = _TAGS.get(record, record.__name__.lower())
    hints = get_type_hints(record)
    scalars: dict[str, type] = {}
    readers: dict[str, _Read] = {}
    writers: list[tuple[str, _Write]] = []
    plain: list[str] = []
    for name in (field.name for field in fields(record)):
        hint = hints[name]
        if get_origin(hint) in (Union, UnionType):
            (hint,) = (part for part in get_args(hint) if part is not NoneType)
        origin, arguments = get_origin(hint), get_args(hint)
        if name == "schema_version":
            plain.append(name)
            readers[name] = _read_version
        elif hint in (str, int, bool):
            plain.append(name)
            scalars[name] = hint
        elif origin is Literal:
            plain.append(name)
            readers[name] = _choice_reader(arguments)
        elif hint is float:
            readers[name] = _read_float
            writers.append((name, _write_float))
        elif hint is datetime:
            readers[name] = _read_time
            writers.append((name, _write_time))
        elif origin is tuple and arguments[0] is str:
            readers[name] = _read_strings
            writers.append((name, _as_is))
        elif origin is tuple and arguments[0] is Span:
            readers[name] = _read_spans
            writers.append((name, _write_spans))
        elif origin is Mapping:
            readers[name] = _mapping_reader(get_args(arguments[1]) or (arguments[1],))
            writers.append((name, _write_mapping))
        elif origin is tuple and is_dataclass(arguments[0]):
            readers[name], write = _nested_many(_plan(cast(type, arguments[0])))
            writers.append((name, write))
        elif is_dataclass(hint):
            readers[name], write = _nested(_plan(cast(type, hint)))
            writers.append((name, write))
        else:
            raise TypeError(f"{record.__name__}.{name}: no rule to write a {hint!r}")
    # attrgetter gives a bare value for a single name and a tuple for more; naming one twice makes it a tuple always.
    values = attrgetter(*plain, plain[0])
    return _Plan(record, label, scalars, tuple(plain), values, readers, tuple(writers))


_PLANS = {record: _plan(record) for record in _TAGS}
_PLANS_BY_TAG = {tag: _PLANS[record] for record, tag in _TAGS.items()}


def _dump(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as exc:
        reason = BadReason.BAD_ENCODING if "surrogates" in str(exc) else BadReason.BAD_SCHEMA
        raise BadRecord(reason, f"cannot be written as JSON: {exc}") from exc


def _load(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise BadRecord(BadReason.NOT_JSON, f"{exc.msg} at byte {exc.pos}, expected one JSON object") from exc
    if type(document) is not dict:
        raise BadRecord(BadReason.NOT_AN_OBJECT, f"found {type(document).__name__}, expected one JSON object")
    return document


def encode(record: Record) -> bytes:
    """Give the record as one JSON object in UTF-8, tagged with its type and schema version.

    Raises:
        BadRecord: a lone surrogate in a text (BAD_ENCODING), a number that is not finite or beyond 64 bits
            (BAD_SCHEMA).
        ValueError: a time without a zone.
    """
    kind = type(record)
    return _dump({"type": _TAGS[kind], **_PLANS[kind].document(record)})


def decode(raw: bytes) -> Record:
    """Give back what `encode` wrote: equal to the original, times in UTC.

    Raises:
        BadRecord: not a JSON object (NOT_JSON, NOT_AN_OBJECT), or an unknown type, version or field, a missing
            field or a wrong type (BAD_SCHEMA).
    """
    document = _load(raw)
    tag = document.pop("type", None)
    plan = _PLANS_BY_TAG.get(tag) if type(tag) is str else None
    if plan is None:
        found = repr(tag[:64]) if type(tag) is str else type(tag).__name__
        raise BadRecord(BadReason.BAD_SCHEMA, f"type: found {found}, expected one of {', '.join(_PLANS_BY_TAG)}")
    if "schema_version" not in document:
        raise BadRecord(BadReason.BAD_SCHEMA, f"{plan.label}: found no schema_version, expected one")
    return cast(Record, plan.read(document))


def document_of(mention: Mention) -> dict[str, Any]:
    """Give the mention as a flat dict of JSON values (times as strings), absent fields left out, without `type`."""
    return _load(_dump(_PLANS[Mention].document(mention)))


def mention_of(document: Mapping[str, Any]) -> Mention:
    """Give the mention back from `document_of`'s dict, which is left as it is.

    Raises:
        BadRecord: BAD_SCHEMA, as for `decode`.
    """
    return cast(Mention, _PLANS[Mention].read(dict(document)))
