"""Dead letters taken up again: those numbered, or all that are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from domain.clock import Clock, SystemClock
from domain.errors import BackendDown, BadRecord, ConfigError, RetryLater
from domain.records import Outcome
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.retry import Rereader
from ingest.stage import STAGE as INGEST
from ingest.stage import IngestStage
from service.brands import BrandBook
from service.components import file_source, health_index, live_sources, open_log, open_store
from service.letters import retry_one
from service.settings import Settings
from service.terminal import complain
from stream.protocol import LIVE_RUN, DeadLetterRow, Log

_LETTERS_AT_ONCE = 500


def retry_letters(
    log: Log,
    stage: IngestStage,
    settings: Settings,
    clock: Clock,
    numbers: Sequence[int] | None,
    on_letter: Callable[[int], None],
) -> dict[str, Any]:
    """Take up dead letters again.

    Args:
        log: that has them.
        stage: that ingest letters go through once more.
        settings: how rows are read now.
        clock: for when they were resolved.
        numbers: of letters; None takes all that are open.
        on_letter: told before each how many were taken up so far; what it raises ends the work.

    Returns:
        `retried`: outcome -> number; `problems`: what stayed parked or cannot be retried, one line each.

    Raises:
        ConfigError: there are no letters of these numbers; none was taken up.
    """
    if unknown := [number for number in numbers or () if log.dead_letter(number) is None]:
        raise ConfigError(
            [f"there is no dead letter {number}; `soundings dead-letters list` shows them" for number in unknown]
        )
    readers = _Readers(settings, clock)
    outcomes: dict[str, int] = {}
    problems: list[str] = []
    for number in _open_letters(log) if numbers is None else numbers:
        on_letter(sum(outcomes.values()))
        row = log.dead_letter(number)
        assert row is not None
        try:
            source, normaliser = readers.of(row)
            retry = retry_one(row, source, normaliser, stage, log, clock)
        except (ConfigError, BadRecord) as exc:
            problems.append(f"dead letter {number}: {exc}")
            continue
        outcomes[retry.outcome.value] = outcomes.get(retry.outcome.value, 0) + 1
        if retry.outcome is Outcome.PARKED:
            problems.append(f"dead letter {number}: still {retry.error}")
    return {"retried": outcomes, "problems": problems}


class _Readers:
    """Which source reads a letter again: the live one that gave it, else that of files."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        source = file_source(settings, "-")
        self._file: tuple[Rereader, Normaliser] = source, Normaliser(source.name, source.settings.normalise)
        self._live: dict[str, tuple[Rereader, Normaliser]] = {
            live.name: (live, Normaliser(live.name, live.normalise))
            for live in live_sources(settings, settings.brands, clock)
        }

    def of(self, row: DeadLetterRow) -> tuple[Rereader, Normaliser]:
        """Give the source of a letter, and its normaliser.

        Raises:
            ConfigError: it came from a live source that is not enabled.
        """
        letter = row.letter
        if letter.stage != INGEST or letter.run != LIVE_RUN:
            return self._file
        found = self._live.get(letter.source or "")
        if found is None:
            raise ConfigError(f"came from {letter.source}: name it in sources.enabled to read it again")
        return found


def _open_letters(log: Log) -> list[int]:
    numbers: list[int] = []
    while rows := log.dead_letters(after=numbers[-1] if numbers else 0, limit=_LETTERS_AT_ONCE):
        numbers += [row.number for row in rows]
    return numbers


def retry_on_cluster(settings: Settings, numbers: Sequence[int] | None) -> dict[str, Any]:
    """Take up dead letters again on a log that machines share; its workers do the rest.

    Raises:
        ConfigError, RetryLater, BackendDown: as the log.
    """
    clock = SystemClock()
    with closing(open_log(settings, clock, role="cli")) as log:
        book = BrandBook(log, settings, writes=True, rereads=False)
        complain(book.notices)
        stage = IngestStage(log, BrandMatcher(book.active), clock)
        taken = _open_letters(log) if numbers is None else list(numbers)
        answer = retry_letters(log, stage, settings, clock, taken, lambda done: None)
        if settings.store.kind == "elastic":
            complain(_show_in_kibana(log, settings, clock, taken))
    return answer


def _show_in_kibana(log: Log, settings: Settings, clock: Clock, numbers: Sequence[int]) -> Iterator[str]:
    """Copy what became of letters to where Kibana finds it; what stands in the way is told and no more."""
    try:
        with closing(open_store(settings, clock, read_only=True)) as store:
            index = health_index(store)
            rows = [row for number in numbers if (row := log.dead_letter(number)) is not None]
            if index is not None:
                index.write_letters(rows)
    except (ConfigError, RetryLater, BackendDown) as exc:
        yield f"note: Kibana still shows them as open: {exc}"
