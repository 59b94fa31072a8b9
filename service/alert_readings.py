"""What `/metrics` reads of alerts when it is asked: from their documents, so that every process tells the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alerts.book import AlertBook
from alerts.evaluator import STATUS
from alerts.outbox import Outbox, State
from alerts.records import WatchState
from alerts.rule import Severity
from domain.documents import Documents
from domain.metrics import ALERT_LAG, ALERT_LOOKED, ALERT_MESSAGES, ALERT_WATCHES, ALERTS_FIRING
from service.prometheus import Reading

# The name of the evaluator's lease, and of its status.
EVALUATOR: Final = "evaluator"


def alert_readings(documents: Documents, channels: Sequence[str], now: datetime) -> list[Reading]:
    """Give what fires, what rules see, when that was looked at, and how messages fare.

    Args:
        documents: of alerts.
        channels: ids of the channels that are configured: of these a zero is told too.
        now: by our clock.

    Raises:
        RetryLater, BackendDown: as the documents.
    """
    firing = dict.fromkeys((severity.value for severity in Severity), 0)
    for alert in AlertBook(documents).current(now):
        if alert.resolved_at is None:
            firing[alert.severity.value] += 1
    messages = {(channel, state.value): 0 for channel in channels for state in State}
    messages |= {(channel, state.value): number for (channel, state), number in Outbox(documents).tally().items()}
    return [
        *(Reading(ALERTS_FIRING, (severity,), number) for severity, number in firing.items()),
        *(Reading(ALERT_MESSAGES, labels, number) for labels, number in messages.items()),
        *_of_last_look(documents),
    ]


def _of_last_look(documents: Documents) -> list[Reading]:
    status = documents.get(STATUS, [EVALUATOR]).get(EVALUATOR)
    if status is None:
        return []
    body = status.body
    watches = dict.fromkeys((state.value for state in WatchState), 0) | dict(body["states"])
    return [
        *(Reading(ALERT_WATCHES, (state,), number) for state, number in watches.items()),
        Reading(ALERT_LOOKED, (), body["at_ms"] / 1000),
        Reading(ALERT_LAG, (), max(body["at_ms"] - body["edge_ms"], 0) / 1000),
    ]
