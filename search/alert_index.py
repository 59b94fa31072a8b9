"""Alerts in an index of their own, for Kibana: what it shows of them, a document each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.errors import BackendDown, BadRecord
from search.elastic_bulk import Bulk, Op
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings
from search.elastic_setup import check_ready
from stream.codec import to_json


class AlertIndex:
    """Writes alerts as `alerts.projection` gives them. The same again changes nothing. Thread-safe.

    It is a view: what decides about alerts lies in the documents, and what is lost here is published again.
    """

    def __init__(self, elastic: Elastic, settings: ElasticSettings) -> None:
        self._elastic, self._index = elastic, settings.names.alerts
        self._bulk = Bulk(elastic, settings)

    @classmethod
    def open(cls, settings: ElasticSettings) -> AlertIndex:
        """Connect, and see that the index is as expected.

        Raises:
            ConfigError: the settings cannot be used, or `soundings setup` has not run.
            RetryLater, BackendDown.
        """
        elastic = Elastic(settings)
        try:
            check_ready(elastic, settings, "alerts")
        except BaseException:
            elastic.close()
            raise
        return cls(elastic, settings)

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

    def close(self) -> None:
        """Wait for what is in flight and close the connections."""
        self._bulk.close()
        self._elastic.close()
