"""What is known of the pipeline's own health, gathered once a minute from the log, the store and the disk."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from alerts.health import ChannelHealth, DiskHealth, Facts, SourceHealth, StageHealth
from alerts.outbox import Outbox
from domain.clock import Clock
from domain.documents import Documents
from domain.errors import BackendDown, RetryLater
from domain.records import Outcome
from search.store import Store
from service.data_folder import DataFolder, free_megabytes
from service.settings import Settings
from service.stages import STAGES
from stream.protocol import Log

log = logging.getLogger(__name__)

# Rates are over this long; before there are so many samples, over what there is, and nothing is said to stand still.
_WINDOW: Final = timedelta(minutes=15)
_STILL: Final = timedelta(minutes=10)
# A message that was lost longer ago is no trouble of now.
_LOST_LATELY: Final = timedelta(hours=1)
_MEGABYTE: Final = 1_000_000
# Of sources that cost something, the setting that limits a day.
_BUDGETS: Final = {"x": "daily_budget", "youtube": "daily_units"}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Sample:
    """Records that ever met their end, and that are parked, by stage."""

    at: datetime
    settled: Mapping[str, int]
    parked: Mapping[str, int]


class HealthLook:
    """Gathers facts. Not thread-safe."""

    def __init__(self, settings: Settings, stream: Log, store: Store, documents: Documents, clock: Clock) -> None:
        self._settings, self._log, self._store, self._clock = settings, stream, store, clock
        self._outbox = Outbox(documents)
        self._samples: deque[_Sample] = deque()
        self._began = clock.now()

    def facts(self) -> Facts:
        """Give what is known now; what cannot be read is left out."""
        return Facts(
            now=self._clock.now(),
            looking_since=self._began,
            sources=_known("the sources", self._sources),
            stages=_known("the stages", self._stages),
            disks=_known("the disk", self._disks),
            channels=_known("the outbox", self._channels),
        )

    def _sources(self) -> list[SourceHealth]:
        reports = {report.source: report for report in self._store.sources()}
        values = self._settings.sources.values
        found = []
        for name in self._settings.sources.enabled:
            report, budget = reports.get(name), values.get(name, {}).get(_BUDGETS.get(name, ""))
            if report is None:
                found.append(SourceHealth(source=name))
                continue
            found.append(
                SourceHealth(
                    source=name,
                    at=report.at,
                    state=report.state,
                    since=report.since,
                    reason=report.reason,
                    silent=report.silent,
                    item_at=report.item_at,
                    spent=report.spent_today,
                    budget=float(budget) if budget is not None else None,
                    currency=report.currency,
                )
            )
        return found

    def _stages(self) -> list[StageHealth]:
        now = self._clock.now()
        settled: dict[str, int] = {}
        parked: dict[str, int] = {}
        for count in self._log.counts():
            settled[count.stage] = settled.get(count.stage, 0) + count.number
            if count.outcome is Outcome.PARKED:
                parked[count.stage] = parked.get(count.stage, 0) + count.number
        while self._samples and now - self._samples[0].at > _WINDOW:
            self._samples.popleft()
        self._samples.append(_Sample(now, settled, parked))
        first = self._samples[0]
        passed = now - first.at
        return [
            StageHealth(
                stage=stage.name,
                waiting=self._log.lag(stage.group, stage.topics) if stage.topics else 0,
                settled=_grown(settled, first.settled, stage.name) if passed >= _STILL else None,
                parked=_grown(parked, first.parked, stage.name),
                minutes=max(round(passed / timedelta(minutes=1)), 1),
            )
            for stage in STAGES
        ]

    def _channels(self) -> list[ChannelHealth]:
        return [
            ChannelHealth(channel=one.channel, waiting=one.waiting, since=one.since, lost=one.lost, why=one.why)
            for one in self._outbox.troubles(self._clock.now(), _LOST_LATELY)
        ]

    def _disks(self) -> list[DiskHealth] | None:
        if self._settings.log.kind != "embedded" and self._settings.store.kind != "embedded":
            # Each worker of a cluster has its own, which Prometheus watches.
            return None
        root = DataFolder(self._settings.data.dir).root
        floor = self._settings.data.disk_floor_mb * _MEGABYTE
        return [DiskHealth(where="the data folder", free=free_megabytes(root) * _MEGABYTE, floor=floor)]


def _grown(now: Mapping[str, int], then: Mapping[str, int], stage: str) -> int | None:
    """Give by how much a number of the books grew; None where it shrank, as when dead letters are taken up again."""
    more = now.get(stage, 0) - then.get(stage, 0)
    return more if more >= 0 else None


def _known(what: str, read: Callable[[], Sequence[_T] | None]) -> Sequence[_T] | None:
    try:
        return read()
    except (RetryLater, BackendDown, OSError) as exc:
        log.info("%s cannot be looked at: %s", what, exc)
        return None
