"""Changing brands for pages and API alike: what is refused is refused with a problem that both can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.answers import Problem
from dashboard.brand_desk import BrandDesk
from dashboard.problems import NotFound, Refused
from dashboard.question import check_length
from domain.brand import CHANGEABLE, BrandState, changed_since
from domain.errors import ConfigError
from domain.query.parser import parse

# Changes that a brand of the configuration file takes there.
_OWN = ("edit", "remove")


def brand_of(desk: BrandDesk, brand_id: str) -> BrandState:
    """Give one brand.

    Raises:
        NotFound: it is not there.
    """
    for state in desk.states():
        if state.brand.brand_id == brand_id:
            return state
    raise NotFound(
        Problem(
            code="no_such_brand",
            parameter="brand_id",
            found=repr(brand_id[:100]),
            expected="the id of a brand",
            hint="see /api/brands",
        )
    )


def change(desk: BrandDesk, act: str, brand_id: str = "", values: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Add, edit, pause, resume or remove a brand; gives it as it is then.

    Raises:
        QueryError: the query cannot be read.
        BadParameter, NotFound, Refused: what else is wrong.
        Busy, RetryLater, BackendDown: whoever does it does not answer.
    """
    values = values or {}
    if act != "add":
        state = brand_of(desk, brand_id)
        if state.file and act in _OWN:
            raise Refused(
                409,
                Problem(
                    code="brand_of_file",
                    parameter="brand_id",
                    found=f"a brand that belongs to {state.file}",
                    expected="one that was made here",
                    hint=f"change it in {state.file}, which is read again by itself; here it can be paused",
                ),
            )
    _check_version(desk, act, brand_id, values)
    if values.get("query") is not None:
        # Here, where the place of a mistake can be told.
        parse(check_length(str(values["query"])))
    try:
        return _refusing(lambda: desk.change({"act": act, "brand_id": brand_id, "values": values}))
    except Refused:
        # It may have been changed while it was asked for.
        _check_version(desk, act, brand_id, values)
        raise


def _check_version(desk: BrandDesk, act: str, brand_id: str, values: Mapping[str, Any]) -> None:
    """Refuse to change what was changed since it was looked at."""
    version = values.get("version")
    if act != "edit" or not version:
        return
    brand = brand_of(desk, brand_id).brand
    changed = changed_since(str(version), brand)
    if not changed:
        return
    now = "; ".join(f"{name} is now {_shown(getattr(brand, name))}" for name in changed)
    raise Refused(
        409,
        Problem(
            code="brand_changed",
            parameter="version",
            found=f"a change that somebody made meanwhile: {now}",
            expected="the brand as it was when you looked at it",
            hint="look at what changed; what you send with the version of now takes its place",
        ),
    )


def _shown(value: str | tuple[str, ...]) -> str:
    return f"“{', '.join(value) if isinstance(value, tuple) else value}”"


def rematch(desk: BrandDesk, brand_id: str) -> None:
    """Have the kept posts held against a brand's query.

    Raises:
        NotFound, Refused, Busy, RetryLater, BackendDown: as `change`.
    """
    brand_of(desk, brand_id)

    def ask() -> Mapping[str, Any]:
        desk.rematch(brand_id)
        return {}

    _refusing(ask)


def _refusing(call: Any) -> Mapping[str, Any]:
    try:
        done: Mapping[str, Any] = call()
    except ConfigError as exc:
        raise Refused(400, _bad_brand(exc.problems)) from exc
    return done


def _bad_brand(problems: Sequence[str]) -> Problem:
    """Give the problem for lines such as `name: found A, expected B`; what one line says is said once."""
    name, colon, said = problems[0].partition(": ")
    parameter = name if colon and name in ("id", *CHANGEABLE) else None
    found, what = "; ".join(problems)[:2_000], "a brand that can be listened for"
    if parameter is not None and len(problems) == 1:
        before, comma, after = said.removeprefix("found ").partition(", expected ")
        found, what = (before, after) if comma else (said, what)
    return Problem(code="bad_brand", parameter=parameter, found=found, expected=what, hint="see docs/brands.md")
