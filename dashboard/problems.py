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


def _validation_problem(error: dict[str, Any]) -> Problem:
    parameter = str(error["loc"][-1])
    return Problem(
        code="bad_parameter",
        parameter=parameter,
        found=repr(error.get("input"))[:200],
        expected=str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, "),
        hint="see /api/docs",
    )
