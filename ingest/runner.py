"""Reading one source to its end, or for ever: resumed where it was killed, held back, stopped in a flood."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from domain.clock import Clock
from domain.errors import BackendDown, BadRecord, RetryLater
from domain.records import BrandMatch, Outcome, Post, Topic
from ingest.normalise import Normaliser
from ingest.source import Extent, Item, RawPost, Source
from ingest.stage import STAGE, Handled, IngestStage, Matcher
from stream.park_cap import ParkCap, ParkWatch
from stream.protocol import LIVE_RUN, Log, StateWrite

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

CURSOR_SPACE = "cursor"
PAUSE_SECONDS = 0.1
# As every stage: a source that stays away for longer ends the process, and its supervisor starts it again.
_RETRY_BUDGET_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """How a source is read.

    `max_lag`: records that may wait for each group in `downstream` (group, topics) before reading pauses. Where that is
    a question to another machine it is asked every `lag_look_seconds`, and before what was read since could exceed it.
    """

    batch_items: int = 512
    max_lag: int = 10_000
    downstream: tuple[tuple[str, tuple[str, ...]], ...] = (("enrich", (Topic.POSTS.value,)),)
    lag_look_seconds: float = 0.0
    park_cap: ParkCap = field(default_factory=ParkCap)


@dataclass(frozen=True, slots=True)
class Books:
    """What became of all items of a run, from the log's own books: exact across kills and resumes.

    `reasons` counts the parked ones by reason. `read` is the sum of `outcomes`.
    """

    outcomes: Mapping[Outcome, int]
    reasons: Mapping[str, int]

    @property
    def read(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """How reading a source ended.

    `brands` counts the mentions that this call passed on, by brand. `flood` says which cap on bad records was
    reached, None when none was; `finished` is False then, and when reading was asked to stop. `examples` has
    up to ten different errors of this call.
    """

    run: str
    books: Books
    brands: Mapping[str, int]
    finished: bool
    flood: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def nothing_mapped(self) -> bool:
        """Tell whether no row could be read as a post: a wrong file or mapping, not a quiet zero."""
        return self.books.read == self.books.outcomes.get(Outcome.PARKED, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far this call has come: items read by it, and how much of a finite source."""

    items: int
    extent: Extent | None
    paused: bool = False


def run_source(
    source: Source,
    normaliser: Normaliser,
    stage: IngestStage,
    log: Log,
    clock: Clock,
    *,
    run: str = LIVE_RUN,
    settings: RunnerSettings | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestResult:
    """Read a source until it ends, until `stop`, or until a flood of bad records.

    The cursor is settled with each batch, so after a kill the same call goes on where it was; a run that was
    finished gives its books at once. Its key is the run for a replay, the source's for live reading.

    Raises:
        ConfigError: the source cannot be read as configured.
        BackendDown: the log is broken, or the source stayed away for ten minutes.
    """
    settings = settings or RunnerSettings()
    stop = stop or threading.Event()
    key = source.key if run == LIVE_RUN else f"run:{run}"
    cursor, finished = saved_cursor(log, key)
    watch = ParkWatch(settings.park_cap)
    brands: Counter[str] = Counter()
    examples: dict[str, None] = {}
    flood: str | None = None
    items = 0
    reader = source.open(cursor) if not finished else None
    brake = Brake(log, settings, clock)
    try:
        while reader is not None and not stop.is_set() and flood is None:
            if patiently(brake.holds, True, "the log", clock, stop):
                _tell(on_progress, Progress(items, reader.extent(), paused=True))
                clock.sleep(PAUSE_SECONDS)
                continue
            nothing: Sequence[Item] | None = ()
            batch = patiently(partial(reader.read, settings.batch_items), nothing, "the source", clock, stop)
            if batch is None:
                finished = True
                batch = ()
            if not batch and not finished:
                clock.sleep(PAUSE_SECONDS)
                continue
            cursor = batch[-1].cursor if batch else cursor
            state = [cursor_write(key, cursor, finished=finished)]
            settle = partial(stage.handle, batch, normaliser, source=source.name, run=run, state=state)
            unsettled: Handled | None = None
            handled = patiently(settle, unsettled, "the log", clock, stop)
            if handled is None:
                # Asked to stop before it was settled: it is read again.
                finished = False
                break
            items += len(batch)
            brake.wrote(handled.outcomes.count(Outcome.OK))
            brands.update(handled.brands)
            for error in handled.errors:
                if len(examples) < 10:
                    examples.setdefault(str(error))
            flood = watch.exceeded(handled.outcomes)
            _tell(on_progress, Progress(items, reader.extent()))
            if finished:
                break
    finally:
        if reader is not None:
            reader.close()
    if flood is not None:
        logger.error("source %s stopped: %s could not be read (%s)", source.name, flood, next(iter(examples), ""))
    # Asked to stop, nobody waits for the books.
    books = patiently(partial(books_of, log, run), Books({}, {}), "the log", clock, stop)
    return IngestResult(
        run=run,
        books=books,
        brands=dict(brands),
        finished=finished,
        flood=flood,
        examples=tuple(examples),
    )


def books_of(log: Log, run: str) -> Books:
    """Give the books of the ingest stage for a run."""
    outcomes: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    for count in log.counts():
        if count.stage == STAGE and count.run == run:
            outcomes[count.outcome] += count.number
            if count.reason:
                reasons[count.reason] += count.number
    return Books(dict(+outcomes), dict(+reasons))


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of one item: a post with its brands, or the reason why not."""

    item: Item
    post: Post | None
    matches: tuple[BrandMatch, ...]
    error: BadRecord | None


def preview(
    source: Source, normaliser: Normaliser, matcher: Matcher, clock: Clock, *, items: int = 20
) -> Sequence[Preview]:
    """Show what the first items of a source would become; nothing is stored.

    Raises:
        ConfigError, BackendDown: as `run_source`.
    """
    reader = source.open(None)
    previews: list[Preview] = []
    try:
        while len(previews) < items:
            batch = reader.read(items - len(previews))
            if not batch:
                break
            previews += [_preview(item, normaliser, matcher, clock) for item in batch]
    finally:
        reader.close()
    return previews


def _preview(item: Item, normaliser: Normaliser, matcher: Matcher, clock: Clock) -> Preview:
    content = item.content
    if isinstance(content, RawPost):
        try:
            post = normaliser.normalise(content, clock.now())
        except BadRecord as exc:
            return Preview(item, None, (), exc)
        return Preview(item, post, matcher.match(post), None)
    return Preview(item, None, (), content if isinstance(content, BadRecord) else None)


def saved_cursor(log: Log, key: str) -> tuple[str | None, bool]:
    """Give the cursor that was settled under a key, and whether the source was finished there."""
    raw = log.state(CURSOR_SPACE, [key]).get(key)
    if raw is None:
        return None, False
    place = json.loads(raw)
    return place["cursor"], place["finished"]


def cursor_write(key: str, cursor: str | None, *, finished: bool = False) -> StateWrite:
    """Give what settles a cursor."""
    return StateWrite(CURSOR_SPACE, key, json.dumps({"cursor": cursor, "finished": finished}).encode())


class Brake:
    """Tells whether reading must pause for the stages that read what we write."""

    def __init__(self, log: Log, settings: RunnerSettings, clock: Clock) -> None:
        self._log, self._settings, self._clock = log, settings, clock
        self._looked_at: float | None = None
        self._lag = 0
        # What this source added since: a fast one could outrun the next look by far.
        self._written = 0

    def wrote(self, records: int) -> None:
        """Take note of what was added."""
        self._written += records

    def holds(self) -> bool:
        """Tell whether to pause.

        Raises:
            RetryLater, BackendDown: as the log.
        """
        now = self._clock.monotonic()
        most = self._settings.max_lag
        due = self._looked_at is None or now - self._looked_at >= self._settings.lag_look_seconds
        if due or (self._lag <= most < self._lag + self._written):
            self._lag = max((self._log.lag(group, topics) for group, topics in self._settings.downstream), default=0)
            self._looked_at, self._written = now, 0
        return self._lag > most


def patiently(call: Callable[[], _T], stopped: _T, who: str, clock: Clock, stop: threading.Event) -> _T:
    """Call, waiting as `who` asks for patience; gives `stopped` when asked to stop meanwhile."""
    since = clock.monotonic()
    while True:
        try:
            return call()
        except RetryLater as exc:
            left = since + _RETRY_BUDGET_SECONDS - clock.monotonic()
            if left <= 0:
                raise BackendDown(f"{who} made no progress for {_RETRY_BUDGET_SECONDS:.0f} s: {exc}") from exc
            logger.warning("%s asks for patience: %s; again in %.1f s", who, exc, min(exc.after_seconds, left))
            if stop.wait(0) or not sleep_until(min(max(exc.after_seconds, PAUSE_SECONDS), left), clock, stop):
                return stopped


def sleep_until(seconds: float, clock: Clock, stop: threading.Event) -> bool:
    """Sleep in slices; False when asked to stop."""
    until = clock.monotonic() + seconds
    while (left := until - clock.monotonic()) > 0:
        if stop.is_set():
            return False
        clock.sleep(min(left, PAUSE_SECONDS))
    return True


def _tell(on_progress: Callable[[Progress], None] | None, progress: Progress) -> None:
    if on_progress is not None:
        on_progress(progress)
