"""Errors on their way out: what was found, what was expected, what to try; never a stack trace, never a bare 500."""

from __future__ import annotations

from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from dashboard.answers import Problem
from dashboard.question import BadParameter
from domain.documents import Conflict
from domain.errors import AccessRefused, BackendDown, Busy, ConfigError, QueryError, RetryLater, ServiceError


class NotFound(ServiceError):
    """What was asked for by its id is not there."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.found)


class Refused(ServiceError):
    """What was asked for is not done."""

    def __init__(self, status: int, problem: Problem) -> None:
        self.status, self.problem = status, problem
        super().__init__(problem.found)


# How much of a value that cannot be used is shown.
_SHOWN = 100


def query_problem(error: QueryError) -> Problem:
    """Tell an error of a query."""
    return Problem(
        code="bad_query",
        parameter="q",
        found=error.found,
        expected=error.expected,
        hint=error.hint,
        position=error.position,
    )


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Give the status and the problem for any error that a request can meet."""
    match error:
        case BadParameter(problem=problem):
            return 400, problem
        case NotFound(problem=problem):
            return 404, problem
        case Refused(status=status, problem=problem):
            return status, problem
        case Busy():
            return 409, Problem(
                code="busy", found=str(error), expected="one at a time", hint="try again when that is done"
            )
        case Conflict():
            return 409, Problem(
                code="changed_meanwhile",
                found="somebody else changed it at the same time, again and again",
                expected="one change at a time",
                hint="look at it again, and send what is still wanted",
            )
        case QueryError():
            return 400, query_problem(error)
        case AccessRefused():
            return 503, Problem(
                code="refused_access",
                found=str(error),
                expected="a store and a log that let the dashboard read",
                hint="whoever runs it must mend its access; nothing is lost",
            )
        case ConfigError():
            # The one other thing of a request that a store refuses; its message may quote what was sent.
            return 400, Problem(
                code="bad_cursor",
                parameter="cursor",
                found="a cursor that no search of this version gave",
                expected="`next_cursor` of the page before",
                hint="start again without a cursor",
            )
        case RetryLater() | BackendDown():
            return 503, Problem(
                code="unavailable",
                found=str(error),
                expected="a store and a log that answer",
                hint="try again in a moment; nothing is lost",
            )
        case RequestValidationError():
            return 422, _validation_problem(error.errors()[0])
        case HTTPException(status_code=404):
            return 404, Problem(
                code="no_such_page", found="an address without a page", expected="one of those in /api/docs"
            )
        case HTTPException():
            return error.status_code, Problem(
                code="refused", found=str(error.detail), expected="a GET request", hint="see /api/docs"
            )
    return 500, Problem(
        code="mistake",
        found="a mistake in this service",
        expected="an answer",
        hint="the log of the service says what happened; please report it",
    )


# What the framework finds wrong with a request, by its name for it, in our words; `{}` is filled from what it says.
_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no field of that name",
    "string_type": "a text",
    "list_type": "a list",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "json_invalid": "one JSON object",
    "dict_type": "one JSON object",
    "model_attributes_type": "one JSON object",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
}
_FOUND = {"missing": "nothing", "json_invalid": "something that is no JSON"}


def _validation_problem(error: dict[str, Any]) -> Problem:
    kind, place = str(error["type"]), [str(part) for part in error["loc"][1:]]
    if kind == "json_invalid":
        # Its place is an offset.
        place = []
    value = ascii(error.get("input"))
    return Problem(
        code="bad_parameter",
        parameter=".".join(place) or "body",
        found=_FOUND.get(kind, value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"),
        expected=_EXPECTED.get(kind, "another value").format_map(error.get("ctx") or {}),
        hint="see /api/docs",
    )
