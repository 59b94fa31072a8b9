"""The months as they lie in Elasticsearch: which index each one is, and what a migration that was cut off has left.

A month is the index of its name, `mentions-2026.03`, or after a migration one with a number, `mentions-2026.03-2`, that
has the name as an alias. Under that name it is written to; behind the alias of all mentions it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import ConfigError, RetryLater
from search.elastic_http import LATER_SECONDS, Elastic
from search.elastic_reads import WHOLE, refresh
from search.elastic_settings import ElasticSettings, Names

_BLOCK: Final = "index.blocks.write"


@dataclass(frozen=True, slots=True)
class Month:
    """One month; `index` is what holds it.

    `named`: it is written to under the name of the month. `read`: it is behind the alias of all mentions. `blocked`:
    writes to it are refused. `leftover`: what a migration that was cut off has left, copies that nobody reads or that
    are empty. `rivals`: other indices that claim the month and hold mentions, which no migration leaves.
    `last`: the highest number of an index of this month.
    """

    month: str
    index: str
    named: bool = True
    read: bool = True
    blocked: bool = False
    leftover: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    last: int = 1


def shown(month: str) -> str:
    """Give a month as people write it: 2026-03."""
    return month.replace(".", "-")


def find_months(elastic: Elastic, names: Names) -> list[Month]:
    """Give the months that are there, the newest first.

    Raises:
        AccessRefused, RetryLater, BackendDown.
    """
    lenient = {"allow_no_indices": "true", "expand_wildcards": "open"}
    found = elastic.ask("GET", f"/{names.mentions}-*/_alias", parameters=lenient, also=(404,), patient=True)
    settings = elastic.ask(
        "GET",
        f"/{names.mentions}-*/_settings/{_BLOCK}",
        parameters={**lenient, "flat_settings": "true"},
        also=(404,),
        patient=True,
    )
    blocked = {name for name, one in _of(settings.body, "settings") if one.get(_BLOCK) == "true"}
    by_month: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
    for index, aliases in _of(found.body, "aliases"):
        if (month := names.month_of(index)) is not None:
            by_month[month[0]][index] = set(aliases)
    return [_month(elastic, names, month, by_month[month], blocked) for month in sorted(by_month, reverse=True)]


def _of(body: Mapping[str, Any], part: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Give a part of what is said of each index; nothing where none is there."""
    return ((name, one[part]) for name, one in body.items() if isinstance(one, dict) and part in one)


def _month(elastic: Elastic, names: Names, month: str, indices: Mapping[str, set[str]], blocked: set[str]) -> Month:
    name = names.month(month)
    named = {index for index, aliases in indices.items() if index == name or name in aliases}
    read = {index for index, aliases in indices.items() if names.mentions in aliases}
    # A copy that a migration has begun is neither; before that it is behind the alias for a moment, and empty. Where
    # nothing else is left, it is kept.
    claiming = sorted(named | read) or sorted(indices)
    holding = claiming if len(claiming) == 1 else [index for index in claiming if _holds_any(elastic, index)]
    chosen = min(holding or claiming, key=lambda index: (index not in named, index))
    rivals = tuple(index for index in holding if index != chosen)
    return Month(
        month,
        chosen,
        named=named == {chosen},
        read=chosen in read,
        blocked=chosen in blocked,
        leftover=tuple(sorted(index for index in indices if index != chosen and index not in rivals)),
        rivals=rivals,
        last=max(found[1] for index in indices if (found := names.month_of(index))),
    )


def _holds_any(elastic: Elastic, index: str) -> bool:
    refresh(elastic, index, patient=True)
    body = {"size": 0, "track_total_hits": 1}
    answer = elastic.ask("POST", f"/{index}/_search", body, parameters=WHOLE, patient=True)
    return bool(answer.body["hits"]["total"]["value"])


def troubles(months: Iterable[Month], names: Names) -> list[str]:
    """Give what keeps months from being written to or read, a line each, with how to mend it."""
    lines = []
    for one in months:
        name = names.month(one.month)
        if one.rivals:
            lines.append(_rivalry(one))
        if not one.named:
            lines.append(f"{name} is not the name of {one.index} alone, so nothing can be written to it: {_MEND}")
        if not one.read:
            lines.append(f"index {one.index} is not behind {names.mentions}, so nobody finds its mentions: {_MEND}")
        if one.blocked:
            lines.append(f"writes to {one.index} are refused. Unless a migration runs now, one was cut off: {_MEND}")
    return lines


def leftovers(months: Iterable[Month]) -> list[str]:
    """Give what only takes room, a line each, with how to mend it."""
    return [
        f"index {index} was left by a migration that was cut off, unless one runs now: {_MEND}"
        for one in months
        for index in one.leftover
    ]


_MEND: Final = "run `soundings migrate`"


def _rivalry(month: Month) -> str:
    others = ", ".join(month.rivals)
    return (
        f"month {shown(month.month)}: {month.index} and {others} hold mentions, and one index was expected. No "
        f"migration leaves this: look at both, and remove the one that is not wanted (DELETE /NAME)"
    )


def tidy(elastic: Elastic, settings: ElasticSettings, month: Month) -> list[str]:
    """Clear away what a migration that was cut off has left of a month, so that it is written to and read again.

    Run it while no migration runs.

    Raises:
        ConfigError: two indices hold mentions of it; nothing is changed then.
        AccessRefused, RetryLater, BackendDown.
    """
    if month.rivals:
        raise ConfigError(_rivalry(month))
    done = []
    # Before writes are let in: a migration that is under way after all then fails, and loses nothing.
    for index in month.leftover:
        remove_copy(elastic, settings.names, index, of=month.index)
        done.append(f"{index}: removed, a migration that was cut off had left it")
    names = settings.names
    if not (month.named and month.read):
        # The name of an index that was removed a moment ago is free for an alias.
        add = [{"add": {"index": month.index, "alias": names.mentions}}]
        if month.index != names.month(month.month):
            add.append({"add": {"index": month.index, "alias": names.month(month.month)}})
        elastic.ask("POST", "/_aliases", {"actions": add}, patient=True)
        done.append(f"{month.index}: is read and written to again as {names.month(month.month)}")
    if month.blocked:
        set_block(elastic, month.index, blocked=False)
        done.append(f"{month.index}: writes are let in again")
    return done


def remove_copy(elastic: Elastic, names: Names, copy: str, *, of: str) -> None:
    """Remove an index if another is there still at that very moment, which is then read.

    A switch whose answer was lost may be carried out late: then the copy is all there is.

    Raises:
        RetryLater: the other index is gone; nothing is removed.
        AccessRefused, BackendDown.
    """
    actions = [{"add": {"index": of, "alias": names.mentions}}, {"remove_index": {"index": copy}}]
    # 400 where the name of the other is that of an alias by now.
    answer = elastic.ask("POST", "/_aliases", {"actions": actions}, also=(400, 404), patient=True)
    # Or removed by a first try whose answer was lost?
    if answer.status != 200 and elastic.ask("GET", f"/{copy}/_alias", also=(404,), patient=True).status == 200:
        raise RetryLater(f"{copy} took the place of {of} a moment ago: {answer.said}", LATER_SECONDS)


def set_block(elastic: Elastic, index: str, *, blocked: bool) -> None:
    """Refuse writes to an index, or let them in again."""
    # Not false but unset: nothing is left to be seen of it.
    elastic.ask("PUT", f"/{index}/_settings", {_BLOCK: True if blocked else None}, patient=True)


def is_blocked(elastic: Elastic, index: str) -> bool:
    """Tell whether writes to an index are refused."""
    parameters = {"flat_settings": "true"}
    answer = elastic.ask("GET", f"/{index}/_settings/{_BLOCK}", parameters=parameters, patient=True)
    return any(one.get(_BLOCK) == "true" for _, one in _of(answer.body, "settings"))
