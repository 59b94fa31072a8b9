"""One window of one watch, judged: the same for what happens now and for a look back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from alerts.asking import Deaf, Mentions
from alerts.baseline import Baseline
from alerts.counting import DAY_MS, HISTORY, HOUR_MS, CountBook, known_buckets
from alerts.detector import Detector
from alerts.doubts import Spread, doubts, spread
from alerts.episode import MINUTE_MS
from alerts.event_time import within
from alerts.records import Doubt, Level, Reading
from alerts.rule import Watch
from alerts.series import BUCKET_MS, Series
from domain.aggregation import Buckets, Terms
from domain.clock import from_ms, to_ms
from domain.query.ast import Everything

_HISTORY_MS: Final = HISTORY // timedelta(milliseconds=1)
# What a window is read with besides its baseline: itself, and how the last days went.
_RECENT_MS: Final = 2 * DAY_MS
# A source with a smaller share of a filter's mentions may be deaf without hiding or faking a spike.
_USUAL_SHARE: Final = 0.05
_USUAL_DAYS: Final = timedelta(days=7)
# Baselines kept at once: each a few kilobytes, and more than one machine has watches.
_MOST_BASELINES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one window says. `doubts` and `found` are asked for only where it is a spike by its numbers.

    `learning`: the brand was first heard of less than a day ago, so that nothing is judged.
    """

    reading: Reading | None
    doubts: frozenset[Doubt] = frozenset()
    found: Spread | None = None
    learning: bool = False


class Judge:
    """Reads windows against baselines, which are fitted once an hour and kept. Not thread-safe."""

    def __init__(self, mentions: Mentions, counts: CountBook, detector: Detector, *, looks_back: bool = False) -> None:
        """Prepare; nothing is asked.

        Args:
            mentions: what is stored.
            counts: of what is judged.
            detector: by which windows are read.
            looks_back: what was filled up afterwards is evidence like any other. Who is told of what happens now needs
                it told as it happens; who looks back wants to see what was.
        """
        self._mentions, self._counts, self._detector = mentions, counts, detector
        self._looks_back = looks_back
        self._baselines: OrderedDict[tuple[str, int], Baseline] = OrderedDict()
        self._usual: dict[tuple[str, int], tuple[str, ...]] = {}
        self._deaf: Sequence[Deaf] = ()
        self._deaf_span = (0, 0)

    def look(self, watch: Watch, end_ms: int, *, sure: bool = False) -> Judgement:
        """Judge the window of a watch that ends at a moment, a multiple of BUCKET_MS.

        Args:
            watch: rule and brand.
            end_ms: where the window ends.
            sure: the alert fires already, so that nobody needs to ask what speaks against it.

        Raises:
            RetryLater, BackendDown: as the store.
        """
        first_ms = self._counts.first_ms(watch.filter_id)
        if first_ms is None:
            return Judgement(None)
        if end_ms - first_ms < self._detector.tuning.min_history_hours * HOUR_MS:
            return Judgement(None, learning=True)
        # Deaf and filled buckets count here: what looks like a spike with them is told to nobody, and that is said;
        # without them it would look like calm.
        recent = self._counted(watch, end_ms - _RECENT_MS, end_ms)
        reading = self._detector.read(self._baseline(watch, end_ms), recent, end_ms, watch.rule)
        if reading is None or reading.level is not Level.SPIKE or sure:
            return Judgement(reading)
        start_ms = end_ms - reading.window_minutes * MINUTE_MS
        start, end = from_ms(start_ms), from_ms(end_ms)
        found = spread(self._mentions, watch, start, end)
        deaf = [each for each in self._gaps(start_ms, end_ms) if each.start < end and each.end > start]
        backfilled = bool(self._filled(watch, start_ms, end_ms))
        against = doubts(watch.rule, reading, found, deaf, self._usual_sources(watch, end_ms), backfilled=backfilled)
        return Judgement(reading, against, found)

    def first_ms(self, watch: Watch) -> int | None:
        """Give the bucket in which something was first said of a watch; None where nothing ever was."""
        return self._counts.first_ms(watch.filter_id)

    def readings(self, watch: Watch, start_ms: int, end_ms: int) -> list[Reading]:
        """Give the readings of all windows that end in `(start_ms, end_ms]`, for a chart."""
        ends = range(start_ms // BUCKET_MS * BUCKET_MS + BUCKET_MS, end_ms + 1, BUCKET_MS)
        found = [self.own(watch, end) for end in ends]
        return [reading for reading in found if reading is not None]

    def own(self, watch: Watch, end_ms: int) -> Reading | None:
        """Give the reading of the window of the rule's own length that ends at a moment; None where it says nothing."""
        if self._counts.first_ms(watch.filter_id) is None:
            return None
        recent = self._series(watch, end_ms - _RECENT_MS, end_ms)
        return self._detector.read_own(self._baseline(watch, end_ms), recent, end_ms, watch.rule)

    def _baseline(self, watch: Watch, end_ms: int) -> Baseline:
        """Give the baseline of the hour, fitted for each watch at a minute of its own: the work is spread evenly."""
        digest = blake2b(watch.watch_id.encode(), digest_size=2).digest()
        shift = int.from_bytes(digest, "big") % (HOUR_MS // BUCKET_MS) * BUCKET_MS
        at_ms = (end_ms - BUCKET_MS - shift) // HOUR_MS * HOUR_MS + shift
        key = (watch.watch_id, at_ms)
        baseline = self._baselines.get(key)
        if baseline is None:
            history = self._series(watch, at_ms - _HISTORY_MS, at_ms)
            baseline = self._baselines[key] = self._detector.fit(history, at_ms, watch.rule)
            while len(self._baselines) > _MOST_BASELINES:
                self._baselines.popitem(last=False)
        return baseline

    def _series(self, watch: Watch, start_ms: int, end_ms: int) -> Series:
        """Give the counts of a span, from when the filter was first heard of; deaf and filled buckets are unknown."""
        series = self._counted(watch, start_ms, end_ms)
        start_ms = series.start_ms
        usual = self._usual_sources(watch, end_ms)
        deaf = [(to_ms(each.start), to_ms(each.end)) for each in self._gaps(start_ms, end_ms) if each.source in usual]
        return known_buckets(series, deaf, self._filled(watch, start_ms, end_ms))

    def _counted(self, watch: Watch, start_ms: int, end_ms: int) -> Series:
        """Give the counts of a span, from when the filter was first heard of."""
        first = self._counts.first_ms(watch.filter_id)
        return self._counts.series(watch.filter_id, max(start_ms, first if first is not None else end_ms), end_ms)

    def _filled(self, watch: Watch, start_ms: int, end_ms: int) -> Sequence[int]:
        """Give the buckets that are no evidence because of what was filled up in them."""
        return () if self._looks_back else self._counts.backfilled(watch.brand_id, start_ms, end_ms)

    def _gaps(self, start_ms: int, end_ms: int) -> Sequence[Deaf]:
        """Give the gaps of a span, asked for once for all watches."""
        low, high = self._deaf_span
        if not (low <= start_ms and end_ms <= high):
            low, high = min(start_ms, end_ms - _HISTORY_MS), end_ms
            self._deaf = self._mentions.gaps(from_ms(low), from_ms(high))
            self._deaf_span = (low, high)
        return self._deaf

    def forget_gaps(self) -> None:
        """Ask for gaps anew: time has passed."""
        self._deaf_span = (0, 0)

    def _usual_sources(self, watch: Watch, end_ms: int) -> Sequence[str]:
        """Give the sources that a brand's mentions come from, by those of the last seven days; asked for once a day."""
        day_ms = end_ms // DAY_MS * DAY_MS
        key = (watch.brand_id, day_ms)
        if key not in self._usual:
            if len(self._usual) > _MOST_BASELINES:
                self._usual.clear()
            self._usual |= self._sources_of(day_ms, watch.brand_id)
        return self._usual[key]

    def _sources_of(self, day_ms: int, wanted: str) -> Mapping[tuple[str, int], tuple[str, ...]]:
        """Give them for all brands of a day at once."""
        end = from_ms(day_ms + DAY_MS)
        asked = {"brand": Terms("brand_id", 2_000, sub={"source": Terms("source", 50)})}
        answer = self._mentions.aggregate(within(Everything(), end - _USUAL_DAYS, end), asked)["brand"]
        usual: dict[tuple[str, int], tuple[str, ...]] = {(wanted, day_ms): ()}
        for brand in answer.buckets if isinstance(answer, Buckets) else ():
            sources = brand.sub["source"]
            rows = sources.buckets if isinstance(sources, Buckets) else ()
            often = tuple(str(row.key) for row in rows if row.count >= _USUAL_SHARE * brand.count)
            usual[str(brand.key), day_ms] = often
        return usual
