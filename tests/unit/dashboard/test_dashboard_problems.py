"""What a request is told of errors that are not its own."""

from __future__ import annotations

from dashboard.problems import problem_of
from domain.errors import AccessRefused, ConfigError


def test_a_store_that_does_not_let_the_dashboard_read_is_no_fault_of_the_request() -> None:
    status, problem = problem_of(AccessRefused("elastic.user and elastic.password: refused"))
    assert (status, problem.code) == (503, "refused_access")
    assert problem_of(ConfigError("no cursor of ours"))[0] == 400
