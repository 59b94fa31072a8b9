"""The brands that are listened for: those of the configuration file, and those made while it runs.

Each has one owner. A brand of the file is changed there; one that was made here lies in the log's state, where every
process sees it. Any may be paused here. Each change of a query raises its revision.
"""

from __future__ import annotations

import json
import logging
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from domain.brand import Brand, BrandState, is_slug, slug
from domain.errors import BackendDown, ConfigError, RetryLater
from domain.query.anchors import anchors, check_live
from domain.query.parser import parse
from service.brand_check import query_warnings
from service.brand_file import BrandFile
from service.revisions import known_revisions, settle_revisions
from service.settings import Settings
from stream.protocol import Log, Settlement, StateWrite

log = logging.getLogger(__name__)

SPACE = "brand"
# One row for all: who reads it sees one moment, and nobody has to know the ids beforehand.
_ROW = "all"
LOOK_SECONDS = 2.0
# The row stays far below what a broker takes as one record.
MAX_BRANDS = 2_000
MAX_NAME = 200
MAX_QUERY = 4_000
MAX_WORDS = 50

Changed = Callable[[Sequence[BrandState]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The row of the log: brands made here, and the ids of all that are paused."""

    brands: tuple[Brand, ...] = ()
    paused: frozenset[str] = frozenset()

    def to_bytes(self) -> bytes:
        """Give the row as it is kept."""
        brands = [asdict(brand) for brand in self.brands]
        return json.dumps({"v": 1, "brands": brands, "paused": sorted(self.paused)}).encode()

    @staticmethod
    def read(stream: Log) -> Kept:
        """Read it.

        Raises:
            RetryLater, BackendDown: the log cannot be read.
        """
        raw = stream.state(SPACE, [_ROW]).get(_ROW)
        if raw is None:
            return Kept()
        row = json.loads(raw)
        return Kept(brands=tuple(_brand(one) for one in row["brands"]), paused=frozenset(row["paused"]))


def _brand(row: Mapping[str, Any]) -> Brand:
    return Brand(**{**row, "handles": tuple(row["handles"]), "competitors": tuple(row["competitors"])})


class BrandBook:
    """What is listened for, kept up to date. Thread-safe.

    `states` is replaced as a whole: whoever holds one sees one moment.
    """

    def __init__(self, stream: Log, settings: Settings, *, writes: bool, rereads: bool = True) -> None:
        """Read all brands.

        Args:
            stream: the log that keeps what was made here.
            settings: with the brands of the file.
            writes: whether revisions are settled here; a reader takes those that others settled.
            rereads: whether the file is read again; a command has just read it.

        Raises:
            RetryLater, BackendDown: the log cannot be read or written.
        """
        self._stream, self._settings, self._writes, self._rereads = stream, settings, writes, rereads
        self._file = BrandFile(settings, aloud=writes)
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._clashes: frozenset[str] = frozenset()
        self.notices: tuple[str, ...] = ()
        self.states: tuple[BrandState, ...] = ()
        self._told: Sequence[BrandState] = ()
        self.look()
        self._told = self.states

    @property
    def brands(self) -> tuple[Brand, ...]:
        """All brands, paused ones too."""
        return tuple(state.brand for state in self.states)

    @property
    def active(self) -> tuple[Brand, ...]:
        """The brands that are matched."""
        return tuple(state.brand for state in self.states if not state.paused)

    @property
    def file_brands(self) -> tuple[Brand, ...]:
        """The brands of the file as it was last read well."""
        return self._file.brands

    def require_brands(self) -> None:
        """See that there is something to listen for, of the file or made here.

        Raises:
            ConfigError: there is nothing.
        """
        if not self.states:
            self._settings.require_brands()

    def look(self, *, anyway: bool = False) -> None:
        """Read file and log again. `anyway`: the file even if it looks the same.

        Raises:
            RetryLater, BackendDown: the log cannot be read or written; nothing changed.
        """
        with self._lock:
            if self._rereads:
                self._file.look(anyway=anyway)
            self._take(Kept.read(self._stream))

    def _take(self, kept: Kept) -> None:
        ours = {brand.brand_id for brand in self._file.brands}
        clashes = frozenset(brand.brand_id for brand in kept.brands if brand.brand_id in ours)
        for brand_id in sorted(clashes - self._clashes):
            log.warning("brand %s is in %s too: that one holds, the one made here rests", brand_id, self._file.name)
        made_here = [brand for brand in kept.brands if brand.brand_id not in ours]
        if self._writes:
            settled, self.notices = settle_revisions(self._stream, self._file.brands)
            # Whoever edits here has no revision to raise and need not be told of it.
            settled += settle_revisions(self._stream, made_here)[0]
        else:
            settled = known_revisions(self._stream, [*self._file.brands, *made_here])
        states = tuple(
            BrandState(
                brand=brand,
                file=self._file.name if brand.brand_id in ours else "",
                paused=brand.brand_id in kept.paused,
            )
            for brand in settled
        )
        self._clashes, self.states = clashes, states

    def watch(self, stop: threading.Event, changed: Changed, *, again: threading.Event | None = None) -> None:
        """Look every few seconds until `stop`, and tell of each change. `again` set: the file is read at once."""
        again = again or threading.Event()
        while not stop.is_set():
            again.wait(LOOK_SECONDS)
            anyway = again.is_set()
            again.clear()
            if stop.is_set():
                return
            try:
                self.look(anyway=anyway)
                for line in self.notices:
                    log.warning(line)
            except (RetryLater, BackendDown) as exc:
                log.debug("brands cannot be read: %s", exc)
            self.tell(changed)

    def tell(self, changed: Changed) -> None:
        """Call `changed` if something is different since it was called last; one call at a time."""
        with self._telling:
            states = self.states
            if states == self._told:
                return
            self._told = states
            try:
                changed(states)
            except ConfigError as exc:
                # All were checked when they were made: by another version, perhaps.
                log.error("these brands cannot be used, the ones before stay: %s", exc)

    # --- changes of brands made here

    def add(self, values: Mapping[str, Any]) -> BrandState:
        """Make a brand.

        Args:
            values: `name` and `query`; `brand_id`, `handles` and `competitors` where they are wanted.

        Raises:
            QueryError: the query cannot be read.
            ConfigError: all else that keeps it from being one.
            RetryLater, BackendDown: it was not kept.
        """
        with self._lock:
            kept = self._fresh()
            name = str(values.get("name") or "").strip()
            brand_id = str(values.get("brand_id") or "").strip() or slug(name)
            brand = _with(Brand(brand_id=brand_id, name=name, query=""), values)
            if any(brand_id == state.brand.brand_id for state in self.states):
                raise ConfigError(f"brand {brand_id}: is there already; `soundings brands edit` changes it")
            if len(kept.brands) >= MAX_BRANDS:
                raise ConfigError(f"there are {MAX_BRANDS:,} brands already, which is the most; remove one first")
            self._check(brand)
            return self._keep(replace(kept, brands=(*kept.brands, brand)), brand_id)

    def edit(self, brand_id: str, values: Mapping[str, Any]) -> BrandState:
        """Change a brand that was made here; what `values` does not name stays.

        Raises:
            QueryError, ConfigError: as `add`, or it belongs to the file.
            RetryLater, BackendDown: it was not kept.
        """
        with self._lock:
            kept = self._fresh()
            before = self._ours(brand_id, "changed").brand
            after = _with(before, values)
            self._check(after)
            brands = tuple(after if brand.brand_id == brand_id else brand for brand in kept.brands)
            return self._keep(replace(kept, brands=brands), brand_id)

    def remove(self, brand_id: str) -> None:
        """No longer listen for a brand that was made here; its mentions stay.

        Raises:
            ConfigError: it is not there, or belongs to the file.
            RetryLater, BackendDown: it was not kept.
        """
        with self._lock:
            kept = self._fresh()
            self._ours(brand_id, "removed")
            brands = tuple(brand for brand in kept.brands if brand.brand_id != brand_id)
            self._write(Kept(brands=brands, paused=kept.paused - {brand_id}))

    def pause(self, brand_id: str, *, paused: bool = True) -> BrandState:
        """Match a brand no longer, or again; of the file or made here.

        Raises:
            ConfigError: it is not there.
            RetryLater, BackendDown: it was not kept.
        """
        with self._lock:
            kept = self._fresh()
            self.state(brand_id)
            changed = kept.paused | {brand_id} if paused else kept.paused - {brand_id}
            return self._keep(replace(kept, paused=changed), brand_id)

    def state(self, brand_id: str) -> BrandState:
        """Give one brand.

        Raises:
            ConfigError: it is not there.
        """
        for state in self.states:
            if state.brand.brand_id == brand_id:
                return state
        raise ConfigError(f"brand {brand_id}: is not there; `soundings brands list` shows all")

    def _fresh(self) -> Kept:
        kept = Kept.read(self._stream)
        self._take(kept)
        return kept

    def _ours(self, brand_id: str, done: str) -> BrandState:
        state = self.state(brand_id)
        if state.file:
            raise ConfigError(f"brand {brand_id}: belongs to {state.file}, and is {done} there; here it can be paused")
        return state

    def _check(self, brand: Brand) -> None:
        node = parse(brand.query)
        problems = list(_problems(brand, {state.brand.brand_id for state in self.states}))
        for check in (check_live, anchors):
            try:
                check(node)
            except ConfigError as exc:
                problems += [f"query: {problem}" for problem in exc.problems]
        if problems:
            raise ConfigError(problems)

    def _keep(self, kept: Kept, brand_id: str) -> BrandState:
        self._write(kept)
        return self.state(brand_id)

    def _write(self, kept: Kept) -> None:
        self._stream.settle(Settlement(state=[StateWrite(SPACE, _ROW, kept.to_bytes())]))
        self._take(kept)


def _with(brand: Brand, values: Mapping[str, Any]) -> Brand:
    """Give a brand with what `values` names."""
    return replace(
        brand,
        name=_text(values.get("name"), brand.name),
        query=_text(values.get("query"), brand.query),
        handles=_texts(values.get("handles"), brand.handles),
        competitors=_texts(values.get("competitors"), brand.competitors),
    )


def _text(given: object, before: str) -> str:
    return before if given is None else str(given).strip()


def _texts(given: Iterable[object] | None, before: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return before
    texts = (str(one).strip().removeprefix("@") for one in given)
    return tuple(dict.fromkeys(text for text in texts if text))


def _problems(brand: Brand, others: set[str]) -> Iterable[str]:
    if not is_slug(brand.brand_id):
        yield f"id: found {brand.brand_id[:100]!a}, expected a slug such as {slug(brand.brand_id)!r}"
    name = brand.name
    plain = not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name)
    if not (plain and 0 < len(name) <= MAX_NAME and any(character.isalnum() for character in name)):
        yield f"name: found {name[:100]!a}, expected a line of at most {MAX_NAME} characters with a letter or digit"
    if len(brand.query) > MAX_QUERY:
        yield f"query: found {len(brand.query):,} characters, expected at most {MAX_QUERY:,}"
    for what, texts in (("handles", brand.handles), ("competitors", brand.competitors)):
        if len(texts) > MAX_WORDS or any(len(text) > MAX_NAME or not text.isprintable() for text in texts):
            yield f"{what}: expected at most {MAX_WORDS}, of at most {MAX_NAME} characters each"
    for other in brand.competitors:
        if other == brand.brand_id or other not in others:
            yield f"competitors: found {other[:100]!a}, expected the id of another brand"


def told(state: BrandState) -> dict[str, Any]:
    """Give a brand as commands and the control socket tell it, with what the linter says of its query."""
    brand = state.brand
    return {
        "brand_id": brand.brand_id,
        "name": brand.name,
        "query": brand.query,
        "query_revision": brand.query_revision,
        "handles": list(brand.handles),
        "competitors": list(brand.competitors),
        "paused": state.paused,
        "file": state.file,
        "warnings": query_warnings(brand),
    }


def change(book: BrandBook, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a command or the page asks of the brands; gives the brand as it is then, nothing of one that is gone.

    Raises:
        ConfigError, RetryLater, BackendDown: as the change.
    """
    act, brand_id = request["act"], str(request.get("brand_id") or "")
    if act == "add":
        return told(book.add(request["values"]))
    if act == "edit":
        return told(book.edit(brand_id, request["values"]))
    if act == "remove":
        book.remove(brand_id)
        return {}
    return told(book.pause(brand_id, paused=act == "pause"))
