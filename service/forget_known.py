"""What a store knows of a post or an author before it is forgotten, so that a slip of the pen is not told as done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from domain import ids
from domain.aggregation import Buckets, Terms
from domain.errors import ConfigError
from domain.query.ast import And, Everything, Keyword, Node
from domain.records import Mention
from domain.text import fold_keyword
from search.retractions import RetractionRow
from search.store import SearchRequest, Store
from service.forget import ForgetRequest
from service.settings_checks import nearest
from service.sources import SOURCE_KINDS

# What posts of a file without a source of their own are from.
_FILE: Final = "file"
_MOST_SOURCES: Final = 50
_ROWS: Final = 10_000
# Mentions among which an id of an author is looked for.
_LOOKED_AT: Final = 100


@dataclass(frozen=True, slots=True)
class Known:
    """What was there before: how many mentions, when it was asked for last, and what else may have been meant."""

    mentions: int = 0
    asked_before: RetractionRow | None = None
    hints: tuple[str, ...] = ()


def look(store: Store, request: ForgetRequest) -> Known:
    """Look for what a request names; `hints` only where nothing is there and nobody asked before.

    Raises:
        ConfigError: its source is none of ours, and nothing of it is or was stored.
        RetryLater, BackendDown: the store cannot be read.
    """
    rows = store.retractions(_ROWS)
    _require_source(store, request.source, rows)
    before = next((row for row in rows if (row.subject, row.key) == (request.kind, request.key)), None)
    mentions = _count(store, request)
    hints = () if mentions or before is not None else tuple(_hints(store, request))
    return Known(mentions, before, hints)


def _require_source(store: Store, source: str, rows: Sequence[RetractionRow]) -> None:
    ours = {_FILE, *(kind.name for kind in SOURCE_KINDS)}
    if source in ours or any(row.source == source for row in rows) or _newest(store, _of(source)) is not None:
        return
    found = cast(Buckets, store.aggregate(Everything(), {"by": Terms("source", _MOST_SOURCES)})["by"]).buckets
    names = sorted(ours | {str(bucket.key) for bucket in found})
    raise ConfigError(
        f"source {source}: is not known, and no mention of it is stored; expected one of {', '.join(names)}"
        f"{nearest(source, names)}"
    )


def _of(source: str, *parts: Node) -> Node:
    return And((Keyword("source", fold_keyword(source)), *parts))


def _newest(store: Store, node: Node, *, with_author: bool = False) -> Mention | None:
    """Give a newest mention; `with_author`: one of the newest whose author has an id, rather."""
    found = store.search(SearchRequest(node, limit=_LOOKED_AT if with_author else 1)).mentions
    named = (one for one in found if one.author_id is not None or not with_author)
    return next(named, found[0] if found else None)


def _count(store: Store, request: ForgetRequest) -> int:
    if request.author_id is None:
        named: Node = Keyword("post_id", fold_keyword(request.key))
    else:
        named = Keyword("author_id", fold_keyword(request.author_id))
    return store.search(SearchRequest(_of(request.source, named), limit=1)).total


def _hints(store: Store, request: ForgetRequest) -> Iterator[str]:
    source = request.source
    if request.author_id is not None:
        handle = request.author_id.removeprefix("@")
        theirs = _newest(store, _of(source, Keyword("author_handle", fold_keyword(handle))), with_author=True)
        if theirs is not None and theirs.author_id is not None:
            yield f"@{handle} is a handle here; the id of this author is {ids.author_key(source, theirs.author_id)}"
            return
        if theirs is not None:
            yield f"posts of @{handle} came without an id of the author, so name each with --post"
            return
    some = _newest(store, _of(source), with_author=request.author_id is not None)
    if some is None:
        yield f"no mention of {source} is stored at all"
    elif request.author_id is None:
        yield f"a post of {source} has an id such as {some.post_id}"
    elif some.author_id is not None:
        yield f"an author of {source} has an id such as {ids.author_key(source, some.author_id)}"
    else:
        yield f"posts of {source} came without an id of their author, so name each with --post"
