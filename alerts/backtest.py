"""When a rule would have fired: the past, walked through bucket by bucket with what the evaluator itself uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from alerts.episode import Episode, step
from alerts.evaluator import begun, peaked
from alerts.judging import Judge
from alerts.records import Alert, Doubt, Level, Reading, WatchState
from alerts.rule import Watch
from alerts.series import BUCKET_MS
from domain.clock import from_ms


@dataclass(slots=True)
class Backtest:
    """What a look back found.

    `readings` are of the rule's own window, for a chart. `suppressed` counts, by doubt, the buckets that were a spike
    by their numbers only.
    """

    watch: Watch
    start_ms: int
    end_ms: int
    alerts: list[Alert] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    suppressed: dict[Doubt, int] = field(default_factory=dict)
    buckets: int = 0

    @property
    def brand_weeks(self) -> float:
        """How long it looked at."""
        return self.buckets * BUCKET_MS / (7 * 24 * 3_600_000)


def backtest(
    judge: Judge, watch: Watch, start_ms: int, end_ms: int, progress: Callable[[int, int], None] = lambda done, of: None
) -> Backtest:
    """Walk a watch through `[start_ms, end_ms]`; the counts of that span and its history are there already.

    Alerts have `fired_at` and `resolved_at` by event time. What the store holds today is what is judged: what was
    retracted since is not there, what came late is.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    found = Backtest(watch, start_ms, end_ms)
    episode = Episode()
    first = start_ms // BUCKET_MS * BUCKET_MS + BUCKET_MS
    ends = range(first, end_ms + 1, BUCKET_MS)
    for end in ends:
        judgement = judge.look(watch, end, sure=episode.fires)
        after = step(episode, judgement.reading, judgement.doubts, watch.rule)
        reading = judgement.reading
        found.buckets += 1
        if (own := judge.own(watch, end)) is not None:
            found.readings.append(own)
        if after.fires and not episode.fires and reading is not None:
            found.alerts.append(begun(watch, reading, judgement, end, from_ms(end)))
        elif episode.fires and not after.fires:
            found.alerts[-1] = replace(found.alerts[-1], resolved_at=from_ms(end))
        elif episode.fires and reading is not None and reading.level is Level.SPIKE:
            peak = found.alerts[-1]
            if reading.surprise > peak.reading.surprise:
                found.alerts[-1] = peaked(peak, reading, judge.look(watch, end).found)
        if after.state is WatchState.SUPPRESSED:
            for doubt in judgement.doubts:
                found.suppressed[doubt] = found.suppressed.get(doubt, 0) + 1
        episode = after
        if found.buckets % 288 == 0:
            progress(found.buckets, len(ends))
    return found
