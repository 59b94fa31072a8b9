"""One line of JSON to one object, strictly: no NaN, no repeated keys, no depth that breaks a reader."""

from __future__ import annotations

import json
import re
from typing import Any

from domain.errors import BadReason, BadRecord

# Posts of the large networks are at most about 12 deep.
MAX_DEPTH = 64

# One step for each match, and no match looks further than two characters: linear.
_STRUCTURE = re.compile(r'[{}\[\]"]|\\.', re.DOTALL)
_CUT_ARRAY = "a JSON array must first be cut into one object a line (jq -c '.[]')"


def parse_object(raw: bytes) -> dict[str, Any]:
    """Read one JSON object. Lone surrogate escapes are left in the strings, for the normaliser to replace.

    Raises:
        BadRecord: BAD_ENCODING (not UTF-8), TOO_DEEP (over `MAX_DEPTH`), NOT_JSON, NOT_AN_OBJECT, BAD_ROW (a key
            stands twice in one object).
    """
    value = parse_value(raw)
    if not isinstance(value, dict):
        hint = f"; {_CUT_ARRAY}" if isinstance(value, list) else ""
        raise BadRecord(BadReason.NOT_AN_OBJECT, f"found {json_type(value)}, expected an object{hint}")
    return value


def parse_value(raw: bytes, whole: str = "line") -> Any:
    """Read one JSON value; `whole` is what it is all of, for the message.

    Raises:
        BadRecord: as `parse_object`, but NOT_AN_OBJECT.
    """
    text = decode(raw, whole)
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        found = "Unexpected UTF-8 BOM" if text.startswith("\ufeff") else exc.msg.removesuffix(" at")
        raise BadRecord(BadReason.NOT_JSON, f"{found} at character {exc.pos + 1} of the {whole}") from exc
    except ValueError as exc:
        # Python refuses to read integers of thousands of digits.
        raise BadRecord(BadReason.NOT_JSON, "found an integer of more digits than any reader takes") from exc


def decode(raw: bytes, whole: str = "line") -> str:
    """Decode a line, or `whole`.

    Raises:
        BadRecord: BAD_ENCODING, with the byte and its place.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        found = f"byte 0x{raw[exc.start]:02x} at byte {exc.start + 1} of the {whole} is not UTF-8"
        hint = "; if the file has another encoding, set `encoding`" if whole == "line" else ""
        raise BadRecord(BadReason.BAD_ENCODING, f"{found}{hint}") from exc


def json_type(value: object) -> str:
    """Name a value's type as JSON does, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRecord(BadReason.BAD_ROW, f"the key {twice[:40]!r} stands twice: nobody can know which one is meant")
    return made


def _refuse_constant(name: str) -> Any:
    raise BadRecord(BadReason.NOT_JSON, f"found {name}, which is not JSON; expected a number or null")


# One for all rows: `json.loads` with the same hooks builds one for each.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _check_depth(text: str) -> None:
    depth, quoted = 0, False
    for match in _STRUCTURE.finditer(text):
        sign = match[0]
        if sign == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif sign in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRecord(BadReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
        elif sign in "}]":
            depth -= 1
