"""The evaluator: once a minute, what every rule sees of every brand, what fires, and what is to be told to whom.

Whatever it decides is decided by what is stored and by ids that follow from it, so a second evaluator, a restart or a
repeated minute comes to the same alerts and the same messages, once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alerts import episode as episodes
from alerts.asking import Mentions
from alerts.counting import HISTORY, CountBook
from alerts.detector import Detector
from alerts.doubts import Spread
from alerts.episode import Episode, step
from alerts.ids import alert_id
from alerts.judging import Judge, Judgement
from alerts.records import Alert, Level, Reading, WatchState
from alerts.rule import Watch
from alerts.series import BUCKET_MS
from alerts.stored import ALERT, alert_body, alert_of, reading_body
from domain.clock import Clock, from_ms, to_ms
from domain.documents import ABSENT, Change, Document, Documents

log = logging.getLogger(__name__)

WATCH: Final = "watch"
STATUS: Final = "status"
# The name of the lease, and of what is noted of each look.
EVALUATOR: Final = "evaluator"
# What is further behind than this is said to be.
LATE: Final = timedelta(minutes=5)
# Hours that are looked at every minute; all of the history every half hour.
_RECENT: Final = timedelta(hours=48)
_WHOLE_EVERY: Final = timedelta(minutes=30)
# After a longer standstill the past is not walked through: nobody wants to be told of it.
_MOST_BEHIND: Final = timedelta(hours=24)
_PAGE: Final = 500

Publish = Callable[[Sequence[Alert]], None]


@dataclass(slots=True)
class Minute:
    """What one look at everything came to."""

    edge: datetime
    watches: int = 0
    recounted_hours: int = 0
    began: list[Alert] = field(default_factory=list)
    ended: list[Alert] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Walked:
    """A watch after the buckets that are new."""

    watch: Watch
    episode: Episode
    end_ms: int
    state: WatchState
    # Of the last bucket; None where there is none that is new.
    judgement: Judgement | None
    changed: list[Alert] = field(default_factory=list)


class Evaluator:
    """Looks at everything that is watched. Not thread-safe; whoever calls it holds the lease."""

    def __init__(
        self, mentions: Mentions, documents: Documents, clock: Clock, publish: Publish = lambda alerts: None
    ) -> None:
        """Prepare; nothing is asked.

        Args:
            mentions: what is counted.
            documents: where counts, states and alerts are kept.
            clock: the time of day.
            publish: told of alerts that changed, before that counts as done; the same alert may come again.
        """
        self._mentions, self._documents, self._clock, self._publish = mentions, documents, clock, publish
        self.counts = CountBook(mentions, documents)
        self.judge = Judge(mentions, self.counts, Detector())
        self._whole_at: datetime | None = None
        self._known: frozenset[str] = frozenset()

    def evaluate(self, watches: Sequence[Watch], edge: datetime) -> Minute:
        """Bring counts, states and alerts up to `edge`, the lowest watermark.

        Raises:
            RetryLater, BackendDown: as store and documents; the same call again goes on.
        """
        now = self._clock.now()
        minute = Minute(edge, len(watches))
        minute.recounted_hours = self._count(watches, edge, now)
        self.judge.forget_gaps()
        late = now - edge > LATE
        for begin in range(0, len(watches), _PAGE):
            self._evaluate(watches[begin : begin + _PAGE], to_ms(edge), now, minute, late=late)
        self._end_orphans(watches, now, minute)
        return minute

    def _end_orphans(self, watches: Sequence[Watch], now: datetime, minute: Minute) -> None:
        """End the alerts that no watch fires: its rule or brand is gone, or it was cut off and is none any more."""
        found = [d for d in self._documents.scan(ALERT, descending=True) if d.body.get("resolved_at") is None]
        watched = {watch.watch_id for watch in watches}
        orphans = [
            d for d in found if d.body["brand_id"] and f"{d.body['rule_id']}:{d.body['brand_id']}" not in watched
        ]
        there = self._documents.get(WATCH, [f"{d.body['rule_id']}:{d.body['brand_id']}" for d in found])
        orphans += [
            d
            for d in found
            if (state := there.get(f"{d.body['rule_id']}:{d.body['brand_id']}")) is not None
            and d not in orphans
            and state.body["alert_id"] != d.doc_id
        ]
        ended = [replace(alert_of(d.doc_id, d.body), resolved_at=now) for d in orphans]
        if ended:
            revisions = {d.doc_id: d.revision for d in orphans}
            self._documents.apply([Change(ALERT, a.alert_id, alert_body(a), revisions[a.alert_id]) for a in ended])
            self._publish(ended)
            minute.ended += ended

    def _count(self, watches: Sequence[Watch], edge: datetime, now: datetime) -> int:
        filters = frozenset(watch.filter_id for watch in watches)
        whole = self._whole_at is None or now - self._whole_at >= _WHOLE_EVERY or not filters <= self._known
        # What is newer than the edge is counted too: the next minute needs it.
        recounted = self.counts.refresh(watches, edge - (HISTORY if whole else _RECENT), now + timedelta(minutes=5))
        if whole:
            self._whole_at, self._known = now, filters
            self.counts.forget(watches)
        return recounted

    def _evaluate(self, watches: Sequence[Watch], edge_ms: int, now: datetime, minute: Minute, *, late: bool) -> None:
        kept = self._documents.get(WATCH, [watch.watch_id for watch in watches])
        open_ids = [str(document.body["alert_id"]) for document in kept.values() if document.body.get("alert_id")]
        open_alerts = {
            document.doc_id: (alert_of(document.doc_id, document.body), document.revision)
            for document in self._documents.get(ALERT, open_ids).values()
        }
        states: list[Change] = []
        alerts: dict[str, Change] = {}
        changed: dict[str, Alert] = {}
        for watch in watches:
            document = kept.get(watch.watch_id)
            walked = self._walk(watch, document, edge_ms, now, open_alerts)
            shown = WatchState.DELAYED if late else walked.state
            minute.states[shown.value] = minute.states.get(shown.value, 0) + 1
            for alert in walked.changed:
                known = open_alerts.get(alert.alert_id)
                alerts[alert.alert_id] = Change(ALERT, alert.alert_id, alert_body(alert), known[1] if known else ABSENT)
                changed[alert.alert_id] = alert
            body = _watch_body(walked, shown, _firing(walked, document), document.body if document else {})
            if document is None or dict(document.body) != body:
                states.append(Change(WATCH, watch.watch_id, body, document.revision if document else ABSENT))
        self._settle(alerts, states, changed, open_alerts)
        minute.began += [
            alert for alert in changed.values() if alert.alert_id not in open_alerts and alert.resolved_at is None
        ]
        minute.ended += [alert for alert in changed.values() if alert.resolved_at is not None]

    def _settle(
        self,
        alerts: Mapping[str, Change],
        states: Sequence[Change],
        changed: Mapping[str, Alert],
        known: Mapping[str, tuple[Alert, str]],
    ) -> None:
        """Make alerts durable, then what is shown of them, then that they were seen: a repeat finds them there."""
        there = self._documents.get(ALERT, [name for name in alerts if name not in known])
        # Somebody was cut off between an alert and its state; it is the same alert.
        fresh = [change for name, change in alerts.items() if name not in there]
        if fresh:
            self._documents.apply(fresh)
        if changed:
            self._publish([alert for name, alert in changed.items() if name not in there])
        if states:
            self._documents.apply(states)

    def _walk(
        self,
        watch: Watch,
        document: Document | None,
        edge_ms: int,
        now: datetime,
        open_alerts: Mapping[str, tuple[Alert, str]],
    ) -> _Walked:
        """Take a watch through the buckets that are new, and, where it would fire already, through the one begun."""
        complete = edge_ms // BUCKET_MS * BUCKET_MS
        oldest = complete - _MOST_BEHIND // timedelta(milliseconds=1)
        done = complete - BUCKET_MS if document is None else max(int(document.body["end_ms"]), oldest)
        episode = Episode() if document is None else episodes.from_body(document.body["episode"])
        name = str(document.body.get("alert_id") or "") if document is not None else ""
        alert = open_alerts[name][0] if name in open_alerts else None
        changed: dict[str, Alert] = {}
        judged = Judgement(None)
        end_ms = done
        # The bucket that has begun holds too little rather than too much: what fires with it, fires.
        for end in range(done + BUCKET_MS, complete + 2 * BUCKET_MS, BUCKET_MS):
            judgement = self.judge.look(watch, end, sure=episode.fires)
            after = step(episode, judgement.reading, judgement.doubts, watch.rule)
            if end > complete and (episode.fires or not after.fires):
                break
            judged = judgement
            alert = _until(self._alert(watch, episode, after, judgement, alert, end, now), from_ms(edge_ms))
            if alert is not None:
                changed[alert.alert_id] = alert
                if alert.resolved_at is not None:
                    alert = None
            episode, end_ms = after, end
        kept = {known[0].alert_id: known[0] for known in open_alerts.values()}
        news = [each for name, each in changed.items() if kept.get(name) != each]
        if end_ms == done and document is not None:
            # Nothing new: what was seen of the last bucket stands.
            return _Walked(watch, episode, end_ms, WatchState(document.body["seen"]), None, news)
        unjudged = WatchState.LEARNING if judged.learning else WatchState.NO_DATA
        state = episode.state if judged.reading is not None else unjudged
        return _Walked(watch, episode, end_ms, state, judged, news)

    def _alert(
        self,
        watch: Watch,
        before: Episode,
        after: Episode,
        judgement: Judgement,
        alert: Alert | None,
        end_ms: int,
        now: datetime,
    ) -> Alert | None:
        """Give the alert as it is after a bucket; None where there is none."""
        reading = judgement.reading
        if after.fires and not before.fires and reading is not None:
            return begun(watch, reading, judgement, end_ms, now)
        if alert is None:
            return None
        if before.fires and not after.fires:
            return replace(alert, resolved_at=now)
        if reading is not None and reading.level is Level.SPIKE and reading.surprise > alert.reading.surprise:
            return peaked(alert, reading, self.judge.look(watch, end_ms).found)
        return alert


def peaked(alert: Alert, reading: Reading, found: Spread | None) -> Alert:
    """Give an alert that has become more improbable; `found` is over whom the new peak is spread, asked for anew."""
    return replace(
        alert,
        reading=reading,
        peak_at=reading.end,
        window_minutes=reading.window_minutes,
        authors=found.authors if found else None,
        stories=found.stories if found else None,
    )


def begun(watch: Watch, reading: Reading, judgement: Judgement, end_ms: int, now: datetime) -> Alert:
    """Give the alert that begins with a window."""
    rule, started = watch.rule, from_ms(end_ms)
    return Alert(
        alert_id=alert_id(rule.rule_id, watch.brand_id, started),
        rule_id=rule.rule_id,
        rule=rule.name or rule.rule_id,
        brand_id=watch.brand_id,
        brand=watch.brand,
        metric=rule.metric,
        severity=rule.severity,
        window_minutes=reading.window_minutes,
        started_at=started,
        fired_at=now,
        reading=reading,
        peak_at=reading.end,
        authors=judgement.found.authors if judgement.found else None,
        stories=judgement.found.stories if judgement.found else None,
        query=rule.query,
    )


def _until(alert: Alert | None, edge: datetime) -> Alert | None:
    """Give an alert whose moments lie in the past: the bucket that has begun ends later than what is known of it."""
    if alert is None or alert.peak_at <= edge:
        return alert
    reading = replace(alert.reading, end=edge)
    return replace(alert, started_at=min(alert.started_at, edge), peak_at=edge, reading=reading)


def _firing(walked: _Walked, document: Document | None) -> str:
    """Give the id of the alert that fires, "" where none does."""
    if not walked.episode.fires:
        return ""
    began = [alert.alert_id for alert in walked.changed if alert.resolved_at is None]
    return began[-1] if began else str(document.body.get("alert_id") or "") if document is not None else ""


def _watch_body(walked: _Walked, shown: WatchState, alert: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Give the state of a watch as a body: what the next minute goes on from, and what pages show of it."""
    body = dict(before) if walked.judgement is None else _seen(walked.judgement)
    return body | {
        "end_ms": walked.end_ms,
        "episode": episodes.to_body(walked.episode),
        "seen": walked.state.value,
        "state": shown.value,
        "alert_id": alert,
    }


def _seen(judgement: Judgement) -> dict[str, Any]:
    return {
        "reading": None if judgement.reading is None else reading_body(judgement.reading),
        "doubts": sorted(judgement.doubts),
    }
