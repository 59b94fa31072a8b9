"""The metric table as Prometheus reads it: counted here, or read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domain.metrics import METRICS, Metric

CONTENT_TYPE: str = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a metric; `labels` are in the metric's order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


class Meter(Collector):
    """The metrics of one process. Thread-safe.

    A metric of origin "process" is counted with `add`, `observe` and `set`. The others are given by `read`, which is
    called for each answer; what it leaves out is left out there too, so that no old value passes for a new one.
    """

    def __init__(self, read: Callable[[], Sequence[Reading]] = tuple) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._read = read
        self._registry = CollectorRegistry()
        self._kept: dict[str, Any] = {}
        for metric in METRICS:
            if metric.origin == "process":
                self._kept[metric.name] = self._make(metric)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        if metric.kind == "counter":
            return Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)
        if metric.kind == "gauge":
            return Gauge(metric.name, metric.meaning, metric.labels, registry=self._registry)
        return Histogram(metric.name, metric.meaning, metric.labels, registry=self._registry, buckets=metric.buckets)

    def add(self, metric: Metric, number: float, *labels: str) -> None:
        """Raise a counter."""
        self._one(metric, labels).inc(number)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._one(metric, labels).set(value)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        self._one(metric, labels).observe(value)

    def _one(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        kept = self._kept[metric.name]
        return kept.labels(*labels) if metric.labels else kept

    def describe(self) -> Iterable[Any]:
        """Give nothing: the library asks for it instead of collecting when we register."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give what is read from the log and the store now."""
        families: dict[str, GaugeMetricFamily] = {}
        for reading in self._read():
            metric = reading.metric
            family = families.setdefault(
                metric.name, GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            )
            family.add_metric(reading.labels, reading.value)
        yield from families.values()

    def text(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self._registry)
