"""What an address can be asked: for whoever asked it otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from dashboard.answers import Problem

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def methods_of(routes: Iterable[BaseRoute], scope: Scope, path: str) -> tuple[str, ...]:
    """Give the methods that an address takes, in order; none where it is no address of ours."""
    routes = tuple(routes)
    # By asking: routes of a router that is part of another do not stand in one list.
    return tuple(
        method
        for method in METHODS
        if any(route.matches({**scope, "path": path, "method": method})[0] is Match.FULL for route in routes)
    )


def wrong_method(routes: Iterable[BaseRoute], scope: Scope) -> tuple[Problem, str]:
    """Give the problem of a method that an address does not take, and the header `Allow`."""
    routes, path = tuple(routes), str(scope["path"])
    allowed = methods_of(routes, scope, path)
    problem = Problem(
        code="wrong_method",
        found=f"{scope['method'][:20]!a}".strip("'") + f" {path[:200]}",
        expected=" or ".join(allowed) or "another address",
        hint=_hint(routes, scope, path, allowed),
    )
    return problem, ", ".join(allowed)


def _hint(routes: tuple[BaseRoute, ...], scope: Scope, path: str, allowed: tuple[str, ...]) -> str:
    if "GET" not in allowed:
        above = path
        while "/" in above.strip("/"):
            above = above.rpartition("/")[0]
            if "GET" in methods_of(routes, scope, above):
                return f"what it changes is read with GET {above[:200]}; see /api/docs"
    return "see /api/docs"
