"""Work on a cluster that whoever owns a source must do: rematching its posts, reading its past.

A command leaves a request in the log's state; the ingest worker that owns the source does it, keeping how far it is, so
that another goes on after its death. Only the owner of a source writes the ledger's rows of its posts.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from domain.clock import Clock, SystemClock
from domain.errors import BackendDown, Busy, ConfigError, RetryLater
from ingest.normalise import Normaliser
from ingest.runner import RunnerSettings, run_source
from ingest.stage import IngestStage
from search.store import Store
from service import runs
from service.brands import BrandBook
from service.components import file_source, open_log, open_store
from service.past import past_of
from service.progress import progress_view
from service.rematching import REST, Rematch, Standing, standings
from service.settings import Settings
from service.source_owner import FILES_GROUP, SourceOwner
from stream.kafka_log import KafkaLog
from stream.protocol import Log, Settlement, StateWrite

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# Claimed beside the sources: its owner does what belongs to no source that is listened to.
TASKS = "tasks"
_SPACE = "task"
_LOOK_SECONDS = 1.0
# Workers look every second; one that takes a source over needs half a minute.
_TAKEN_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked last under a key; numbers count up."""

    number: int
    start: str = ""
    end: str = ""

    def write(self, key: str) -> StateWrite:
        """Give what keeps it."""
        return StateWrite(
            _SPACE, key, json.dumps({"number": self.number, "start": self.start, "end": self.end}).encode()
        )


def requests(stream: Log, keys: Sequence[str]) -> Mapping[str, Request]:
    """Give what was asked last under each key.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    return {key: Request(**json.loads(raw)) for key, raw in stream.state(_SPACE, keys).items()}


def ask(stream: Log, key: str, *, start: str = "", end: str = "") -> Request:
    """Leave a request; gives it with its number.

    Raises:
        RetryLater, BackendDown: it was not kept.
    """
    before = requests(stream, [key]).get(key)
    request = Request(number=1 if before is None else before.number + 1, start=start, end=end)
    stream.settle(Settlement(source=TASKS, state=[request.write(key)]))
    return request


def parts(settings: Settings) -> tuple[str, ...]:
    """Give what a rematch is shared out over: the sources that are listened to, and the rest."""
    return (*settings.sources.enabled, REST)


def ask_for_rematch(stream: Log, book: BrandBook, brand_id: str) -> Request:
    """Ask for a rematch.

    Raises:
        ConfigError: there is no such brand, or it is paused.
        RetryLater, BackendDown: it was not kept.
    """
    if book.state(brand_id).paused:
        raise ConfigError(f"brand {brand_id}: is paused; resume it first")
    return ask(stream, f"rematch/{brand_id}")


def together(
    stream: Log, settings: Settings, brand_ids: Sequence[str], number: int | None = None
) -> dict[str, Standing]:
    """Give how far the parts of each brand's rematch are, as one; none before any has begun (the request `number`)."""
    names = {brand_id: [f"{brand_id}/{part}" for part in parts(settings)] for brand_id in brand_ids}
    found = standings(stream, [key for keys in names.values() for key in keys])
    merged: dict[str, Standing] = {}
    for brand_id, keys in names.items():
        begun = [found[key] for key in keys if key in found and (number is None or found[key].number == number)]
        if begun:
            merged[brand_id] = _merged(begun, all_begun=len(begun) == len(keys))
    return merged


def _merged(begun: Sequence[Standing], *, all_begun: bool) -> Standing:
    return Standing(
        run=begun[0].run,
        query_revision=begun[0].query_revision,
        looked=sum(one.looked for one in begun),
        added=sum(one.added for one in begun),
        withdrawn=sum(one.withdrawn for one in begun),
        older=sum(one.older for one in begun),
        total=sum(one.total for one in begun),
        done=all_begun and all(one.done for one in begun),
        problem=next((one.problem for one in begun if one.problem), ""),
    )


def _keeper(part: str) -> str:
    """Give the source under which it is kept how far a part is: the one that its worker owns."""
    return TASKS if part == REST else part


def give_up(stream: Log, brand_id: str, part: str, number: int, problem: str) -> None:
    """Keep that a part cannot be done, and why."""
    log.error("brand %s, %s, is not rematched: %s", brand_id, part, problem)
    end = Standing(run="", query_revision=0, number=number, done=True, problem=problem)
    stream.settle(Settlement(source=_keeper(part), state=[end.write(f"{brand_id}/{part}")]))


class TaskRunner:
    """Does what is asked for the sources that are ours."""

    def __init__(
        self,
        settings: Settings,
        stream: KafkaLog,
        stage: IngestStage,
        book: BrandBook,
        take_up: Callable[[], None],
        owner: SourceOwner,
        runner: RunnerSettings,
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is opened before something is asked. `take_up` puts the brands as they are now in force."""
        self._settings, self._stream, self._stage, self._book = settings, stream, stage, book
        self._take_up = take_up
        self._owner, self._runner, self._stop, self._clock = owner, runner, stop, clock
        self._store: Store | None = None

    def run(self) -> None:
        """Look for work until told to stop; what fails is tried again."""
        try:
            while not self._stop.wait(_LOOK_SECONDS):
                try:
                    self._rematches()
                    self._backfills()
                except (RetryLater, BackendDown) as exc:
                    log.warning("a task waits: %s", exc)
        finally:
            if self._store is not None:
                self._store.close()

    def _owns(self, part: str) -> threading.Event | None:
        return self._owner.held(TASKS if part == REST else part)

    # --- rematches

    def _rematches(self) -> None:
        names = {f"rematch/{state.brand.brand_id}": state.brand.brand_id for state in self._book.states}
        asked = requests(self._stream, list(names))
        pairs = [(key, part) for key in asked for part in parts(self._settings)]
        found = standings(self._stream, [f"{names[key]}/{part}" for key, part in pairs])
        for key, part in pairs:
            request, before = asked[key], found.get(f"{names[key]}/{part}")
            due = before is None or before.number < request.number or not before.done
            if due and (lost := self._owns(part)) is not None:
                self._rematch(names[key], part, request.number, lost)

    def _rematch(self, brand_id: str, part: str, number: int, lost: threading.Event) -> None:
        def check() -> None:
            if lost.is_set() or self._stop.is_set():
                raise RetryLater("another worker goes on with the rematch", 1.0)

        # Whoever asks may have changed the query a moment ago.
        self._take_up()
        try:
            self._store = self._store or open_store(self._settings, self._clock, read_only=True)
        except ConfigError as exc:
            give_up(self._stream, brand_id, part, number, f"ingest cannot read the store: {exc.problems[0]}")
            return
        work = Rematch(
            brand_id,
            self._book,
            self._stage,
            self._stream,
            self._store,
            self._clock,
            check,
            part=part,
            listened=self._settings.sources.enabled,
            number=number,
            keeper=_keeper(part),
        )
        with self._files(part, lost):
            try:
                end, _ = work.run(lambda now: None)
            except ConfigError as exc:
                give_up(self._stream, brand_id, part, number, exc.problems[0])
                return
        log.info("brand %s, %s: %d mentions added, %d withdrawn", brand_id, part, end.added, end.withdrawn)

    @contextmanager
    def _files(self, part: str, lost: threading.Event) -> Iterator[None]:
        """Keep files from being read meanwhile: their posts are among the rest."""
        if part != REST:
            yield
            return
        name = file_source(self._settings, "-").name
        with SourceOwner(self._stream, [name], lost, self._clock, FILES_GROUP) as files:
            if files.wait(name) is None:
                raise RetryLater("another worker goes on with the rematch", 1.0)
            yield

    # --- backfills

    def _backfills(self) -> None:
        from service.sources import SOURCE_KINDS

        names = {f"backfill/{kind.name}": kind.name for kind in SOURCE_KINDS}
        for key, request in requests(self._stream, list(names)).items():
            name = names[key]
            part = name if name in self._settings.sources.enabled else REST
            if backfilled(self._stream, name, request.number) is None and (lost := self._owns(part)) is not None:
                self._backfill(name, request, lost)

    def _backfill(self, name: str, request: Request, lost: threading.Event) -> None:
        problem = ""
        start, end = datetime.fromisoformat(request.start), datetime.fromisoformat(request.end)
        run = runs.begin_span(self._stream, name, start, end)
        try:
            source, normalise = past_of(self._settings, self._book.active, name, start, end, self._clock)
            result = run_source(
                source,
                Normaliser(source.name, normalise),
                self._stage,
                self._stream,
                self._clock,
                run=run.run_id,
                settings=self._runner,
                stop=lost,
            )
            if not result.finished and result.flood is None:
                return
            problem = f"stopped, for {result.flood} could not be read" if result.flood else ""
        except ConfigError as exc:
            problem = exc.problems[0]
        runs.finish(self._stream, run)
        done = {"number": request.number, "run": run.run_id, "problem": problem}
        write = StateWrite(_SPACE, f"backfill/{name}/done", json.dumps(done).encode())
        self._stream.settle(Settlement(source=TASKS, state=[write]))
        log.info("%s is filled up from %s to %s (run %s)", name, request.start, request.end, run.run_id)


def backfilled(stream: Log, name: str, number: int) -> Mapping[str, Any] | None:
    """Give how the backfill of this number ended, or None while it has not."""
    key = f"backfill/{name}/done"
    raw = stream.state(_SPACE, [key]).get(key)
    done: dict[str, Any] | None = None if raw is None else json.loads(raw)
    return done if done is not None and done["number"] >= number else None


# --- commands


def rematch_on_cluster(settings: Settings, brand_id: str) -> dict[str, Any]:
    """Have the workers rematch a brand, and wait for them.

    Raises:
        ConfigError: there is no such brand, or it is paused.
        BackendDown: no worker takes it up; it stays asked for.
        RetryLater: the log does not answer.
    """
    from service.rematching import told

    kept = _kept(settings)
    started = time.monotonic()
    with closing(open_log(settings, SystemClock(), role="cli")) as stream:
        book = BrandBook(stream, settings, writes=False, rereads=False)
        request = ask_for_rematch(stream, book, brand_id)
        with progress_view("rematch") as view:

            def look() -> Standing | None:
                now = together(stream, settings, [brand_id], request.number).get(brand_id)
                if now is not None:
                    view.update({"stages": {"rematch": {"done": now.looked, "total": max(now.total, now.looked)}}})
                return now

            end = _wait(look, lambda now: now.done)
    if end.problem:
        raise ConfigError(end.problem)
    return told(brand_id, end, resumed=False, seconds=time.monotonic() - started, kept=kept)


def _kept(settings: Settings) -> int | None:
    """Count the posts that are kept; None where the store cannot be asked from here, for it is only told beside."""
    from service.rematching import kept_posts

    try:
        with closing(open_store(settings, SystemClock(), read_only=True)) as store:
            return kept_posts(store)
    except (ConfigError, RetryLater, BackendDown):
        return None


def backfill_on_cluster(settings: Settings, name: str, start: datetime, end: datetime) -> dict[str, Any]:
    """Have the worker that owns a source read its past, and wait for it; gives the books of ingest for that run.

    Raises:
        Busy: another time of this source is asked for and not done.
        ConfigError: the source gives nothing of that time.
        BackendDown: no worker takes it up; it stays asked for.
        RetryLater: the log does not answer.
    """
    from service.books import stage_books

    with closing(open_log(settings, SystemClock(), role="cli")) as stream:
        key = f"backfill/{name}"
        before = requests(stream, [key]).get(key)
        span = (start.isoformat(), end.isoformat())
        if before is not None and backfilled(stream, name, before.number) is None:
            if (before.start, before.end) != span:
                raise Busy(f"{name}: {before.start} to {before.end} is being read; try again when that is done")
            request = before
        else:
            request = ask(stream, key, start=span[0], end=span[1])
        run = runs.begin_span(stream, name, start, end).run_id
        with progress_view("backfill") as view:

            def look() -> dict[str, Any] | None:
                done = backfilled(stream, name, request.number)
                read = stage_books(stream, run)["ingest"]["in"]
                view.update({"stages": {"read": {"done": read, "total": read if done else None}}})
                return {**done, "done": True} if done else {"done": False} if read else None

            ended = _wait(look, lambda now: bool(now["done"]))
        if ended["problem"]:
            raise ConfigError(f"{name}: {ended['problem']}")
        books = stage_books(stream, ended["run"])["ingest"]
    return {"run": ended["run"], **{name: books[name] for name in ("in", "ok", "duplicate", "filtered", "parked")}}


def _wait(look: Callable[[], _T | None], is_done: Callable[[_T], bool]) -> _T:
    """Look until it is done."""
    since = time.monotonic()
    while True:
        now = look()
        if now is not None and is_done(now):
            return now
        if now is None and time.monotonic() - since > _TAKEN_UP_SECONDS:
            raise BackendDown(
                f"no ingest worker has taken it up for {_TAKEN_UP_SECONDS:.0f} s; it stays asked for, and is done when "
                "one runs: `soundings ingest`"
            )
        time.sleep(_LOOK_SECONDS)
