"""Bodies of documents as JSON, and nothing that JSON would change on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, cast

from domain.errors import BadReason, BadRecord
from stream.codec import from_json, to_json

# What a number that is not finite is written as, without a word.
_NULL: Final = b"null"


def body_bytes(body: Mapping[str, Any]) -> bytes:
    """Write a body.

    Raises:
        BadRecord: it holds a number that is not finite or beyond 64 bits, a lone surrogate, or what JSON does not have.
    """
    raw = to_json(body)
    # Only where there is a null is it worth to look at each value.
    if _NULL in raw:
        _require_finite(body)
    return raw


def body_of(raw: bytes | str) -> Mapping[str, Any]:
    """Read what `body_bytes` wrote."""
    return cast(Mapping[str, Any], from_json(raw.encode() if isinstance(raw, str) else raw))


def _require_finite(value: object) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadRecord(BadReason.BAD_SCHEMA, f"found the number {value} in a body, expected a finite one")
    elif isinstance(value, Mapping):
        for part in value.values():
            _require_finite(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _require_finite(part)
