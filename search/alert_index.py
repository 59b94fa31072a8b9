"""Alerts in an index of their own, for Kibana: what it shows of them, a document each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import BackendDown, BadRecord
from search.elastic_bulk import Bulk, Op
from search.elastic_settings import Names
from stream.codec import to_json


class AlertIndex:
    """Writes alerts as `alerts.projection` gives them. The same again changes nothing. Thread-safe.

    It is a view: what decides about alerts lies in the documents, and what is lost here is published again.
    """

    def __init__(self, bulk: Bulk, names: Names) -> None:
        self._bulk, self._index = bulk, names.alerts

    def publish(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Put alerts in the place of what is there of them; each has an `alert_id`, and none comes twice.

        Raises:
            RetryLater, BackendDown: some may be written; the same call again is harmless.
        """
        ops = [Op("index", self._index, str(alert["alert_id"]), to_json(alert)) for alert in alerts]
        for outcome in self._bulk.write(ops):
            if isinstance(outcome, BadRecord):
                raise BackendDown(
                    f"{outcome.detail}: the index {self._index} is not as expected; run `soundings setup`"
                )
