"""Records to bytes and back: JSON tagged by `type`, checked field by field when it is read.

Each record type gets a plan, worked out once from its annotations, so a field that is added to a record cannot
be forgotten here. Absent fields (None, an empty tuple, an empty mapping) are left out. Times are RFC 3339 in UTC
with all their digits. A span is `[start, end]`, or `[start, end, "title"]`.

This stands on the path of every post, hence two shapes that plain code would not have: most fields are fetched and
written at once, and a document whose field names and types were seen before is not checked again
name by name (posts of one source nearly all have the same few shapes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from operator import attrgetter
from sys import intern
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import orjson

from domain.errors import BadReason, BadRecord
from domain.records import (
    SCHEMA_VERSION,
    AuthorRetraction,
    Event,
    Health,
    MatchedPost,
    Mention,
    Restoration,
    Retraction,
    Span,
    Withdrawal,
)

Record: TypeAlias = MatchedPost | Retraction | AuthorRetraction | Restoration | Mention | Withdrawal | Event | Health

# Readers take this version and the one before it, once there is one: producers and consumers are upgraded apart.
READABLE_VERSIONS = frozenset({SCHEMA_VERSION})

_TAGS: dict[type, str] = {
    MatchedPost: "matched_post",
    Retraction: "retraction",
    AuthorRetraction: "author_retraction",
    Restoration: "restoration",
    Mention: "mention",
    Withdrawal: "withdrawal",
    Event: "event",
    Health: "health",
}

# A plan forgets the shapes it knows beyond this many: fields can be present in many combinations, memory is bounded.
MAX_SHAPES = 4_096

# An empty tuple of strings is absent. There is one empty tuple; another would be written as an empty list, as good.
_NO_STRINGS: tuple[str, ...] = ()

_Read: TypeAlias = Callable[[Any], Any]
_Write: TypeAlias = Callable[[Any], Any]


class _Mismatch(Exception):
    """A value is not of its kind. Says so by type only: a value may be personal text, and details reach the logs."""

    def __init__(self, found: object, expected: str) -> None:
        super().__init__(f"found {type(found).__name__}, expected {expected}")


def _read_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise _Mismatch(value, "a number")


def _write_float(value: float) -> float:
    """Give a finite number back, and refuse another."""
    # orjson turns NaN and infinity into null without a word.
    if math.isfinite(value):
        return value
    raise BadRecord(BadReason.BAD_SCHEMA, f"found the number {value}, expected a finite one")


def _read_time(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is UTC:
            return moment
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as exc:
        raise _Mismatch(value, "an RFC 3339 time in the years 1 to 9999") from exc
    raise _Mismatch(value, "an RFC 3339 time with its zone")


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"expected an aware datetime, found the naive {value!r}")
    return value.astimezone(UTC)


def _read_strings(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise _Mismatch(value, "a list of strings")
    for item in value:
        if type(item) is not str:
            raise _Mismatch(item, "a string in the list")
    return tuple(value)


def _read_spans(value: Any) -> tuple[Span, ...]:
    if type(value) is not list:
        raise _Mismatch(value, "a list of spans")
    spans = []
    for item in value:
        if type(item) is not list or not 2 <= len(item) <= 3 or type(item[0]) is not int or type(item[1]) is not int:
            raise _Mismatch(item, "a span [start, end] or [start, end, field]")
        if len(item) == 3 and item[2] not in ("text", "title"):
            raise _Mismatch(item[2], "the span's field, text or title")
        spans.append(Span(*item))
    return tuple(spans)


def _write_spans(value: tuple[Span, ...]) -> list[list[int | str]]:
    return [[s.start, s.end] if s.field == "text" else [s.start, s.end, s.field] for s in value]


def _read_version(value: Any) -> int:
    if type(value) is int and value in READABLE_VERSIONS:
        return value
    expected = ", ".join(map(str, sorted(READABLE_VERSIONS)))
    raise _Mismatch(value, f"one of the versions {expected}")


def _choice_reader(choices: tuple[str, ...]) -> _Read:
    def read(value: Any) -> Any:
        if type(value) is str and value in choices:
            return value
        raise _Mismatch(value, f"one of {', '.join(choices)}")

    return read


def _mapping_reader(kinds: tuple[type, ...]) -> _Read:
    names = ", ".join(kind.__name__ for kind in kinds)

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch(value, "an object")
        for item in value.values():
            if type(item) not in kinds:
                raise _Mismatch(item, f"values of {names}")
        return value

    return read


def _write_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _write_float(item) if type(item) is float else item for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class _Shape:
    """Names and types of a document that were checked once: its fields in order, and those that a function reads.

    The names are Python's own for the fields, not equal ones from JSON: a call matches its keywords by identity first,
    and by comparing each with each where that fails, which took half the time of reading a record.
    """

    names: tuple[str, ...]
    to_read: tuple[tuple[int, _Read], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one record type is written and read, worked out from its annotations."""

    record: type
    label: str
    # Fields that orjson writes as they are, and the one call that fetches all their values.
    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    # Those of them that are looked at first.
    times: tuple[str, ...]
    floats: tuple[str, ...]
    # Fields without a default; and the version, as what has none is not ours.
    required: tuple[str, ...]
    # Fields that need a function to be written: None is left out, and so is what is empty.
    writers: tuple[tuple[str, _Write], ...]
    # Fields whose exact type is all there is to check, and those that a function reads.
    scalars: dict[str, type]
    readers: dict[str, _Read]
    shapes: dict[tuple[Any, ...], _Shape] = field(default_factory=dict)

    def document(self, record: Any) -> dict[str, Any]:
        """Give the record as values that orjson knows: times stay datetimes."""
        document = {
            name: value
            for name, value in zip(self.names, self.values(record), strict=False)
            if value is not None and value is not _NO_STRINGS
        }
        for name in self.times:
            if name in document and document[name].tzinfo is not UTC:
                document[name] = _in_utc(document[name])
        for name in self.floats:
            if name in document:
                _write_float(document[name])
        for name, write in self.writers:
            value = getattr(record, name)
            if value or name in self.required:
                document[name] = write(value)
        return document

    def read(self, document: dict[str, Any]) -> Any:
        """Build the record from a document.

        Raises:
            BadRecord: a field is unknown, missing or of the wrong type.
        """
        values = list(document.values())
        key = (*document, *map(type, values))
        shape = self.shapes.get(key)
        if shape is None:
            shape = self._check(document)
            if len(self.shapes) >= MAX_SHAPES:
                self.shapes.clear()
            self.shapes[key] = shape
        for place, reader in shape.to_read:
            try:
                values[place] = reader(values[place])
            except _Mismatch as exc:
                raise BadRecord(BadReason.BAD_SCHEMA, f"{self.label}.{shape.names[place]}: {exc}") from exc
        return self.record(**dict(zip(shape.names, values, strict=True)))

    def _check(self, document: dict[str, Any]) -> _Shape:
        """Check names and scalar types."""
        to_read: list[tuple[int, _Read]] = []
        for place, (name, value) in enumerate(document.items()):
            expected = self.scalars.get(name)
            if expected is not None:
                if type(value) is not expected:
                    raise BadRecord(
                        BadReason.BAD_SCHEMA,
                        f"{self.label}.{name}: found {type(value).__name__}, expected {expected.__name__}",
                    )
            elif (reader := self.readers.get(name)) is not None:
                # A number that is a float already is as it should be.
                if reader is not _read_float or type(value) is not float:
                    to_read.append((place, reader))
            else:
                raise BadRecord(BadReason.BAD_SCHEMA, f"{self.label}: found an unknown field {name[:64]!r}")
        missing = [name for name in self.required if name not in document]
        if missing:
            raise BadRecord(BadReason.BAD_SCHEMA, f"{self.label}: found no {', '.join(missing)}, expected one")
        return _Shape(tuple(map(intern, document)), tuple(to_read))


def _nested(plan: _Plan) -> tuple[_Read, _Write]:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch(value, "an object")
        return plan.read(value)

    return read, plan.document


def _nested_many(plan: _Plan) -> tuple[_Read, _Write]:
    read_one, write_one = _nested(plan)

    def read(value: Any) -> Any:
        if type(value) is not list:
            raise _Mismatch(value, "a list")
        return tuple([read_one(item) for item in value])

    def write(value: tuple[Any, ...]) -> list[Any]:
        return [write_one(item) for item in value]

    return read, write


def _rule(hint: Any) -> tuple[_Read, _Write]:
    """Give how a value of a kind that needs more than its exact type is read and written.

    Raises:
        TypeError: there is no rule: the records gained a kind of field, and it must be given one here.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Mapping:
        return _mapping_reader(get_args(arguments[1]) or (arguments[1],)), _write_mapping
    if origin is tuple and arguments[0] is Span:
        return _read_spans, _write_spans
    if origin is tuple and is_dataclass(arguments[0]):
        return _nested_many(_plan(cast(type, arguments[0])))
    if is_dataclass(hint):
        return _nested(_plan(cast(type, hint)))
    raise TypeError(f"no rule to write a {hint!r}")


def _plan(record: type) -> _Plan:
    """Work out the plan of a record type."""
    hints = get_type_hints(record)
    required = [f.name for f in fields(record) if f.default is MISSING and f.default_factory is MISSING]
    plain: list[str] = []
    times: list[str] = []
    strings: list[str] = []
    floats: list[str] = []
    writers: list[tuple[str, _Write]] = []
    scalars: dict[str, type] = {}
    readers: dict[str, _Read] = {}
    for name in (f.name for f in fields(record)):
        hint = hints[name]
        if get_origin(hint) in (Union, UnionType):
            (hint,) = (part for part in get_args(hint) if part is not NoneType)
        if name == "schema_version":
            plain.append(name)
            readers[name] = _read_version
        elif hint in (str, int, bool):
            plain.append(name)
            scalars[name] = hint
        elif get_origin(hint) is Literal:
            plain.append(name)
            readers[name] = _choice_reader(get_args(hint))
        elif hint is datetime:
            times.append(name)
            readers[name] = _read_time
        elif get_origin(hint) is tuple and get_args(hint)[0] is str and name not in required:
            strings.append(name)
            readers[name] = _read_strings
        elif hint is float:
            floats.append(name)
            readers[name] = _read_float
        else:
            readers[name], write = _rule(hint)
            writers.append((name, write))
    label = _TAGS.get(record, record.__name__.lower())
    if record in _TAGS:
        required.append("schema_version")
    names = (*plain, *times, *strings, *floats)
    return _Plan(
        record=record,
        label=label,
        names=names,
        # A bare value for a single name and a tuple for more: naming one twice makes it a tuple always.
        values=attrgetter(*names, names[0]),
        times=tuple(times),
        floats=tuple(floats),
        required=tuple(required),
        writers=tuple(writers),
        scalars=scalars,
        readers=readers,
    )


_PLANS = {record: _plan(record) for record in _TAGS}
_PLANS_BY_TAG = {tag: _PLANS[record] for record, tag in _TAGS.items()}


def _dump(document: Any) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as exc:
        reason = BadReason.BAD_ENCODING if "surrogates" in str(exc) else BadReason.BAD_SCHEMA
        raise BadRecord(reason, f"cannot be written as JSON: {exc}") from exc


def _load(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise BadRecord(BadReason.NOT_JSON, f"{exc.msg} at character {exc.pos}, expected one JSON object") from exc
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
    document = _PLANS[kind].document(record)
    document["type"] = _TAGS[kind]
    return _dump(document)


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
    return cast(Record, plan.read(document))


def glance(raw: bytes) -> Mapping[str, Any]:
    """Give the document that `encode` wrote without checking it: for a reader of one or two plain fields.

    Five times as fast as `decode`. Whether it is whole is for the stage to say that works on the same record.

    Raises:
        BadRecord: not a JSON object (NOT_JSON, NOT_AN_OBJECT).
    """
    return _load(raw)


def document_of(mention: Mention) -> dict[str, Any]:
    """Give the mention as a flat dict of JSON values (times as strings), absent fields left out, without `type`."""
    return _load(_dump(_PLANS[Mention].document(mention)))


def values_of(mention: Mention) -> dict[str, Any]:
    """Give the mention as a flat dict for `to_json`: as `document_of`, times as datetimes, sooner."""
    return _PLANS[Mention].document(mention)


def to_json(value: Any) -> bytes:
    """Write plain values as JSON in UTF-8, on one line; times are RFC 3339 in UTC with all their digits.

    Raises:
        BadRecord: a lone surrogate (BAD_ENCODING), a number beyond 64 bits or what JSON does not have (BAD_SCHEMA).
    """
    return _dump(value)


def from_json(raw: bytes) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is none, or is cut off.
    """
    return orjson.loads(raw)


def mention_of(document: Mapping[str, Any]) -> Mention:
    """Give the mention back from `document_of`'s dict, which is left as it is.

    Raises:
        BadRecord: BAD_SCHEMA, as for `decode`.
    """
    return cast(Mention, _PLANS[Mention].read(dict(document)))
