"""Troubles of the pipeline as alerts: they begin, are told of and end as those of brands do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from alerts.health import KINDS, Facts, HealthCondition, from_body, look, to_body
from alerts.ids import alert_id
from alerts.records import Alert, Level, Reading
from alerts.rule import Metric
from alerts.stored import ALERT, alert_body, alert_of
from domain.documents import ABSENT, Change, Documents

KIND: Final = "health"
_NOW: Final = "now"


def alert_of_condition(condition: HealthCondition, now: datetime) -> Alert:
    """Give the alert of a condition that fires: without a brand, its rule is the kind of trouble.

    Its reading is empty: nothing was counted.
    """
    reading = Reading(
        end=condition.since,
        metric=Metric.VOLUME,
        level=Level.SPIKE,
        observed=0.0,
        expected=0.0,
        low=0.0,
        high=0.0,
        ratio=None,
        surprise=0.0,
        mentions=0,
    )
    return Alert(
        alert_id=_alert_id(condition),
        rule_id=condition.kind,
        rule=KINDS[condition.kind],
        brand_id="",
        brand="",
        metric=Metric.VOLUME,
        severity=condition.severity,
        window_minutes=0,
        started_at=condition.since,
        fired_at=now,
        reading=reading,
        peak_at=condition.since,
        reason=condition.sentence,
    )


def _alert_id(condition: HealthCondition) -> str:
    return alert_id(f"health/{condition.condition_id}", "", condition.since)


class HealthBook:
    """Keeps what is wrong, and begins and ends its alerts. Not thread-safe; whoever calls it holds the lease."""

    def __init__(self, documents: Documents, publish: Callable[[Sequence[Alert]], None] = lambda alerts: None) -> None:
        """Open nothing.

        Args:
            documents: where conditions and alerts are kept.
            publish: told of alerts that changed; the same alert may come again.
        """
        self._documents, self._publish = documents, publish

    def conditions(self) -> list[HealthCondition]:
        """Give what is wrong, as it was looked at last.

        Raises:
            RetryLater, BackendDown: as the documents.
        """
        found = self._documents.get(KIND, [_NOW]).get(_NOW)
        return from_body(found.body) if found is not None else []

    def look(self, facts: Facts) -> list[HealthCondition]:
        """Take note of what is known now, and give what is wrong; alerts begin, go on and end by it.

        Raises:
            Conflict: somebody else looked meanwhile; the next look goes on.
            RetryLater, BackendDown: as the documents; the same look again is harmless.
        """
        kept = self._documents.get(KIND, [_NOW]).get(_NOW)
        before = from_body(kept.body) if kept is not None else []
        after = look(facts, before)
        firing = {_alert_id(one): one for one in after if one.firing}
        fired = {_alert_id(one) for one in before} - firing.keys()
        there = self._documents.get(ALERT, [*firing, *fired])
        began = [alert_of_condition(one, facts.now) for name, one in firing.items() if name not in there]
        changes = [Change(ALERT, alert.alert_id, alert_body(alert), ABSENT) for alert in began]
        news = []
        for name, one in firing.items():
            # Whoever is told later is told how it stands then, not how it began.
            known = alert_of(name, there[name].body) if name in there else None
            if known is not None and known.resolved_at is None and known.reason != one.sentence:
                news.append(replace(known, reason=one.sentence))
                changes.append(Change(ALERT, name, alert_body(news[-1]), there[name].revision))
        ended = []
        for name in fired & there.keys():
            alert = alert_of(name, there[name].body)
            if alert.resolved_at is None:
                ended.append(replace(alert, resolved_at=facts.now))
                changes.append(Change(ALERT, name, alert_body(ended[-1]), there[name].revision))
        if changes:
            # Alerts first: of a look that is cut off here, the next one finds them there.
            self._documents.apply(changes)
            self._publish([*began, *news, *ended])
        if kept is None or dict(kept.body) != to_body(after):
            self._documents.apply([Change(KIND, _NOW, to_body(after), kept.revision if kept is not None else ABSENT)])
        return after
