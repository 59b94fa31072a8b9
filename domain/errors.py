"""Errors, named by what the caller must do.

    ServiceError
    ├── ConfigError      the operator mends the configuration: exit code 2, every problem listed
    │   ├── QueryError   a query cannot be read: the position and what was expected
    │   └── AccessRefused  a server knows us not, or does not let us: which setting or role is to be mended
    ├── BadRecord        park this record with its reason and go on
    ├── RetryLater       the same record again after a wait; nothing is committed
    ├── PartialWrite     some items of a batch failed, the others did not
    ├── BackendDown      give up after the retry budget: exit code 1, the supervisor restarts
    └── Busy             somebody else holds what we need (port, data folder): exit code 2

Messages say what was found, what was expected and what to try. Programming mistakes stay
`ValueError` and `TypeError` and crash loudly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum


class ServiceError(Exception):
    """Parent of every error that the service raises on purpose."""


class ConfigError(ServiceError):
    """The configuration cannot be used. `problems` lists all that was found, one line each."""

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class QueryError(ConfigError):
    """A query cannot be read.

    `position` is the code point offset at which reading failed (the length of the query at its end),
    `found` what stands there, `expected` what could have stood there, `hint` what to try ("" when there is none).
    """

    def __init__(self, query: str, position: int, found: str, expected: str, hint: str = "") -> None:
        self.query, self.position, self.found, self.expected, self.hint = query, position, found, expected, hint
        message = f"at position {position + 1}: found {found}, expected {expected}"
        super().__init__(f"{message}. {hint}" if hint else message)


class AccessRefused(ConfigError):
    """A server refuses who we are or what we may do there. No waiting mends it, and nothing was carried out."""


class BadReason(StrEnum):
    """Why a record was parked: a closed set, so that dead letters can be counted by it."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"
    MISSING_ID = "missing_id"
    MISSING_TEXT = "missing_text"
    WRONG_TYPE = "wrong_type"
    BAD_DATE = "bad_date"
    BAD_ROW = "bad_row"
    BAD_SCHEMA = "bad_schema"
    ENGINE_FAILED = "engine_failed"
    STORE_REFUSED = "store_refused"


class BadRecord(ServiceError):
    """This record can never be processed as it is: park it. `detail` says what was found and expected."""

    def __init__(self, reason: BadReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason.value}: {detail}")


class RetryLater(ServiceError):
    """The backend asks for patience: pause, keep polling, then the same records again."""

    def __init__(self, message: str, after_seconds: float) -> None:
        self.after_seconds = after_seconds
        super().__init__(message)


class PartialWrite(ServiceError):
    """Some items of a write failed. `failed` maps the item's place in the batch to its error."""

    def __init__(self, failed: Mapping[int, BadRecord | RetryLater]) -> None:
        self.failed = dict(failed)
        super().__init__(f"{len(self.failed)} items of the batch failed")


class BackendDown(ServiceError):
    """A dependency did not come back within the retry budget, or a disk is full or broken."""


class Busy(ServiceError):
    """Another process holds what this one needs, such as a port or the data folder."""
