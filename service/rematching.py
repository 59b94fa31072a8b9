"""`soundings rematch`: the posts that are kept, held against the query of a brand as it is now, page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from domain import ids
from domain.aggregation import Distinct, DistinctResult
from domain.brand import Brand
from domain.clock import Clock
from domain.errors import ConfigError
from domain.query.ast import Everything, Keyword, Node, Or
from domain.query.parser import parse
from domain.records import Mention, Post, Topic
from ingest.ledger import LedgerPage
from ingest.matching import BrandMatcher
from ingest.rematch import Rematched, reader_of, retained_post
from ingest.stage import IngestStage
from search.store import MAX_PAGE, SearchPage, SearchRequest, Sort, Store
from service import runs
from service.brands import BrandBook
from stream.protocol import Log, Settlement, StateWrite

SPACE = "rematch"
# The part of a rematch that belongs to no source that is listened to. No source is called so.
REST = "the rest"
# The stages that read what is written here may be behind by this much before the next page is read.
_DOWNSTREAM = (("enrich", (Topic.POSTS.value,)), ("index", (Topic.MENTIONS.value,)))
MAX_LAG = 4_000
_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a rematch has come; kept with each page, so that a killed one goes on."""

    run: str
    query_revision: int
    cursor: str | None = None
    looked: int = 0
    added: int = 0
    withdrawn: int = 0
    older: int = 0
    total: int = 0
    done: bool = False
    # Of the request on a cluster; 0 where nobody asked but who works.
    number: int = 0
    problem: str = ""

    def after(self, page: Rematched, cursor: str | None) -> Standing:
        """Give how far it is with another page done."""
        return replace(
            self,
            cursor=cursor,
            looked=self.looked + page.looked,
            added=self.added + page.added,
            withdrawn=self.withdrawn + page.withdrawn,
            older=self.older + page.older,
            done=cursor is None,
        )

    def write(self, key: str) -> StateWrite:
        """Give what keeps it."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return StateWrite(SPACE, key, json.dumps(row).encode())


def standing(stream: Log, key: str) -> Standing | None:
    """Give how far the last rematch under a key came, or None.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    return standings(stream, [key]).get(key)


def standings(stream: Log, keys: Sequence[str]) -> dict[str, Standing]:
    """Give how far the last rematch under each key came, by key.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    return {key: Standing(**json.loads(raw)) for key, raw in stream.state(SPACE, keys).items()}


def candidates(brand: Brand) -> Node:
    """Give what the store is asked for: what the query finds there, and what is a mention of the brand.

    A query for the declared language is asked of all: the store knows only the language that was found.
    """
    query = parse(brand.query)
    if "lang" in _fields(query):
        return Everything()
    return Or((query, Keyword("brand_id", brand.brand_id)))


def _fields(node: Node) -> set[str]:
    parts: Sequence[Node] = getattr(node, "nodes", ()) or ((node.node,) if hasattr(node, "node") else ())
    found = {str(node.field)} if hasattr(node, "field") else set()
    return found.union(*(_fields(part) for part in parts))


class Rematch:
    """One rematch of one brand, from where it stands to its end."""

    def __init__(
        self,
        brand_id: str,
        book: BrandBook,
        stage: IngestStage,
        stream: Log,
        store: Store,
        clock: Clock,
        check: Callable[[], None],
        *,
        part: str | None = None,
        listened: Sequence[str] = (),
        number: int = 0,
        keeper: str = "",
    ) -> None:
        """Prepare.

        Args:
            brand_id: the brand.
            book: says what its query is; asked again before each page.
            stage: whose ledger says what was told of each post.
            stream: keeps how far it came.
            store: has the posts.
            clock: for waits.
            check: called often; what it raises ends the work, which can be resumed.
            part: where machines share a log, the source whose posts alone are looked at, or REST: those of all that
                are not `listened` to.
            listened: the sources that others look after.
            number: of the request.
            keeper: the source under which it is kept how far it came.
        """
        self._brand_id, self._book, self._stage = brand_id, book, stage
        self._stream, self._store, self._clock, self._check = stream, store, clock, check
        self._part, self._listened, self._number, self._keeper = part, frozenset(listened), number, keeper
        self._key = brand_id if part is None else f"{brand_id}/{part}"

    def run(self, told: Callable[[Standing], None]) -> tuple[Standing, bool]:
        """Work to the end, telling how far it is; gives where it ended, and whether it had begun before.

        A query that changes meanwhile is begun with again.

        Raises:
            ConfigError: there is no such brand, or it is paused.
            RetryLater, BackendDown: log or store failed; what was done is kept.
        """
        resumed = False
        while True:
            brand = self._brand()
            before = standing(self._stream, self._key)
            same = before is not None and (before.query_revision, before.number) == (brand.query_revision, self._number)
            if before is not None and same and not before.done:
                now, resumed = before, True
            else:
                now = self._begun(brand)
            # What is under way was matched by the query before.
            self._drained()
            for reached in self._pages(brand, now):
                now = reached
                told(now)
            if now.done:
                runs.finish(self._stream, self._run_of(brand))
                return now, resumed

    def _brand(self) -> Brand:
        state = self._book.state(self._brand_id)
        if state.paused:
            raise ConfigError(f"brand {self._brand_id}: is paused; resume it first, its mentions stay until then")
        return state.brand

    def _run_of(self, brand: Brand) -> runs.Run:
        key = f"rematch:{self._key}:{brand.query_revision}"
        stem = f"rematch-{self._key.replace('/', '-').replace(' ', '-')}-r{brand.query_revision}"
        return runs.begin_named(self._stream, stem, key)

    def _begun(self, brand: Brand) -> Standing:
        return Standing(run=self._run_of(brand).run_id, query_revision=brand.query_revision, number=self._number)

    def _pages(self, brand: Brand, now: Standing) -> Iterator[Standing]:
        matcher = BrandMatcher((brand,))
        while not now.done:
            self._held()
            if self._brand() != brand:
                return
            request = SearchRequest(candidates(brand), sort=Sort.OLDEST, cursor=now.cursor, limit=MAX_PAGE)
            page = self._store.search(request)
            now = self._settle(matcher, page, now)
            yield now

    def _settle(self, matcher: BrandMatcher, page: SearchPage, now: Standing) -> Standing:
        """Settle a page, with how far it brings us."""

        def after(did: Rematched) -> Standing:
            return replace(now.after(did, page.next_cursor), total=max(page.total, now.total))

        def state(did: Rematched) -> list[StateWrite]:
            return [after(did).write(self._key)]

        posts = _newest(page.mentions)
        match = partial(self._stage.rematch, self._brand_id, matcher, kept=self._kept, run=now.run)
        if self._part != REST:
            return after(match(retained=posts, source=self._part, state=state))
        # Each row is settled under the source that it was read from; what a crash leaves undone is done again.
        seen = LedgerPage(self._stream, [post.post_id for post in posts])
        readers = {reader_of(post, seen.get(post.post_id)) for post in posts}
        did = Rematched()
        for reader in sorted(readers - self._listened):
            did += match(retained=posts, source=reader)
        self._stream.settle(Settlement(source=self._keeper, state=state(did)))
        return after(did)

    def _kept(self, post_id: str) -> list[Mention]:
        found = (self._store.get(ids.mention_id(post_id, brand.brand_id)) for brand in self._book.brands)
        return [mention for mention in found if mention is not None]

    def _held(self) -> None:
        """Wait while the stages that read what is written here are far behind."""
        while max(self._stream.lag(group, topics) for group, topics in _DOWNSTREAM) > MAX_LAG:
            self._check()
            self._clock.sleep(_WAIT_SECONDS)
        self._check()

    def _drained(self) -> None:
        """Wait until all that is in the log now is stored, and can be found."""
        for group, topics in _DOWNSTREAM:
            end = sum(map(self._stream.appended, topics))
            while sum(map(self._stream.appended, topics)) - self._stream.lag(group, topics) < end:
                self._check()
                self._clock.sleep(_WAIT_SECONDS)
        self._store.refresh()


def _newest(mentions: Sequence[Mention]) -> list[Post]:
    """Give each post once, as its newest mention says it."""
    newest: dict[str, Mention] = {}
    for mention in mentions:
        before = newest.get(mention.post_id)
        if before is None or mention.version > before.version:
            newest[mention.post_id] = mention
    return [retained_post(mention) for mention in newest.values()]


def kept_posts(store: Store) -> int:
    """Count the posts that are kept, whatever they name; of very many it is the store's estimate.

    Raises:
        RetryLater, BackendDown: the store cannot be read.
    """
    return cast(DistinctResult, store.aggregate(Everything(), {"posts": Distinct("post_id")})["posts"]).count


def told(brand_id: str, now: Standing, *, resumed: bool, seconds: float, kept: int | None = None) -> dict[str, Any]:
    """Give what a rematch did, for commands and pages; `kept`: how many posts there are in all, where that is known."""
    return {
        "brand_id": brand_id,
        "run": now.run,
        "resumed": resumed,
        "joined": False,
        "kept": kept,
        "query_revision": now.query_revision,
        # A post whose mentions lie on two pages was met twice; nobody asks how often.
        "looked": now.looked if kept is None else min(now.looked, kept),
        "added": now.added,
        "withdrawn": now.withdrawn,
        "older": now.older,
        "done": now.done,
        "seconds": round(seconds, 3),
    }
