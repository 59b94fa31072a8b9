"""Every metric, once: `/metrics`, its help texts, docs/metrics.md, the Grafana dashboard and the alert rules read this.

Names are `soundings_<room>_<noun>[_<unit>][_total]`. What a process counts is its own and is summed over processes.
What is read from the log or the store is the same whoever tells it: of that the largest is taken, never the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]
# Where a value comes from: counted by this process since it started, or read from the log's books or the store.
Origin = Literal["process", "log", "store"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is what a value of 1 is one of. `buckets` are the upper bounds of a histogram, in `unit`."""

    name: str
    kind: MetricKind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    origin: Origin = "process"
    buckets: tuple[float, ...] = ()


# What each label may hold: bounded sets, never ids, messages or anything that people wrote.
LABELS: dict[str, str] = {
    "stage": "`ingest`, `enrich` or `index`",
    "outcome": "`ok`, `duplicate`, `filtered` or `parked`",
    "reason": "why a record was parked: one of the reasons of dead letters",
    "source": "name of a source in the configuration",
    "role": "what the process is: `pipeline`, `ingest`, `enrich`, `index`, `alert` or `dashboard`",
    "part": "what it needs: `log`, `store`, `engine`, `stages`, `disk`",
    "model": "name of the sentiment model",
    "answer": "`numbers`, `nothing` (gone, unknown, or without a number) or `failed` (asked again)",
    "severity": "`info`, `warning` or `critical`",
    "state": "`quiet`, `learning`, `pending`, `firing`, `suppressed`, `delayed` or `no_data`, as docs/alerts.md has it",
    "channel": "id of a channel in the configuration",
    "fate": "`waiting`, `sent`, `refused`, `given_up` or `dropped`",
    "version": "version of Soundings",
    "log": "kind of the log",
    "store": "kind of the store",
}

# From one small batch in memory to the longest wait for a store before a batch is given up and tried again.
_BATCH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A subscriber is told within a minute or two; hours are what is left after an outage.
_FRESH_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)

SETTLED = Metric(
    "soundings_stream_settled_records_total",
    "counter",
    "records",
    "records that met their end in a stage of this process",
    ("stage", "outcome"),
)
RETRIED = Metric(
    "soundings_stream_retried_records_total",
    "counter",
    "records",
    "records that were given to a stage of this process once more",
    ("stage",),
)
BATCH_SECONDS = Metric(
    "soundings_stream_batch_seconds",
    "histogram",
    "seconds",
    "from when a batch was read until it was durable",
    ("stage",),
    buckets=_BATCH_BUCKETS,
)
BOOKED = Metric(
    "soundings_stream_booked_records",
    "gauge",
    "records",
    "the books: records that ever met their end in a stage; less when dead letters are retried",
    ("stage", "outcome"),
    "log",
)
LAG = Metric(
    "soundings_stream_lag_records", "gauge", "records", "records that wait for a stage in the log", ("stage",), "log"
)
DEAD_LETTERS = Metric(
    "soundings_stream_dead_letters",
    "gauge",
    "dead letters",
    "dead letters that nobody has retried, by stage and reason",
    ("stage", "reason"),
    "log",
)
SOURCE_READING = Metric(
    "soundings_ingest_source_reading", "gauge", "yes or no", "1 while this process reads the source", ("source",)
)
SOURCE_LAST_ITEM = Metric(
    "soundings_ingest_source_last_item_timestamp_seconds",
    "gauge",
    "seconds since 1970",
    "when the source last gave this process something",
    ("source",),
)
SOURCE_UP = Metric(
    "soundings_ingest_source_up",
    "gauge",
    "yes or no",
    "1 while this process is connected to a live source and hears it; 0 while it tries to be",
    ("source",),
)
SOURCE_SILENT = Metric(
    "soundings_ingest_source_silent",
    "gauge",
    "yes or no",
    "1 while a connected source is silent beyond its own usual rhythm",
    ("source",),
)
SOURCE_RATE = Metric(
    "soundings_ingest_source_items_per_minute",
    "gauge",
    "items a minute",
    "what a live source gave in the last minute, before anything is filtered",
    ("source",),
)
SOURCE_BEHIND = Metric(
    "soundings_ingest_source_behind_seconds",
    "gauge",
    "seconds",
    "how old the newest thing is that a live source gave, by its own clock",
    ("source",),
)
SOURCE_TROUBLES = Metric(
    "soundings_ingest_source_troubles",
    "gauge",
    "troubles",
    "how often a live source was cut off, refused or could not be reached since this process began",
    ("source",),
)
SOURCE_GAPS = Metric(
    "soundings_ingest_source_gaps",
    "gauge",
    "gaps",
    "spans of time in which a live source did not listen, noted since this process began",
    ("source",),
)
SOURCE_SPENT = Metric(
    "soundings_ingest_source_spent_today",
    "gauge",
    "what the source counts in",
    "what a source that costs something has used of its daily budget: dollars or units of a quota",
    ("source",),
)
MODEL = Metric("soundings_enrich_model_info", "gauge", "always 1", "the sentiment model that is loaded", ("model",))
MENTIONS = Metric(
    "soundings_search_mentions", "gauge", "mentions", "mentions in the store, from its truth", origin="store"
)
FRESHNESS = Metric(
    "soundings_search_freshness_seconds",
    "histogram",
    "seconds",
    "from when a post was published until a search found its mention; sampled, backfilled posts left out",
    buckets=_FRESH_BUCKETS,
)
DELAY = Metric(
    "soundings_search_delay_seconds",
    "histogram",
    "seconds",
    "from when a post was collected until a search found its mention; sampled",
    buckets=_FRESH_BUCKETS,
)
ALERTS_FIRING = Metric(
    "soundings_alerts_firing", "gauge", "alerts", "alerts that fire, told or not", ("severity",), "store"
)
ALERT_WATCHES = Metric(
    "soundings_alerts_watches",
    "gauge",
    "watches",
    "rules by brand, by what they saw when they were last looked at",
    ("state",),
    "store",
)
ALERT_LOOKED = Metric(
    "soundings_alerts_evaluated_timestamp_seconds",
    "gauge",
    "seconds since 1970",
    "when everything that is watched was last looked at, by whichever process has the lease",
    (),
    "store",
)
ALERT_LAG = Metric(
    "soundings_alerts_lag_seconds",
    "gauge",
    "seconds",
    "how far back the newest moment lay that could be judged then",
    (),
    "store",
)
ALERT_MESSAGES = Metric(
    "soundings_alerts_messages",
    "gauge",
    "messages",
    "messages of the last 30 days by channel and what became of them",
    ("channel", "fate"),
    "store",
)
ALERT_SECONDS = Metric(
    "soundings_alerts_evaluation_seconds",
    "histogram",
    "seconds",
    "how long one look at everything that is watched took",
    buckets=_BATCH_BUCKETS,
)
LOOKED_UP = Metric(
    "soundings_service_engagement_posts_total",
    "counter",
    "posts",
    "posts whose likes, reposts, replies and views this process looked up again",
    ("source", "answer"),
)
READY = Metric("soundings_service_ready", "gauge", "yes or no", "1 while the process can take work", ("role",))
PART_UP = Metric(
    "soundings_service_part_up", "gauge", "yes or no", "1 while what the process needs is there", ("role", "part")
)
INFO = Metric(
    "soundings_service_info", "gauge", "always 1", "what this process is", ("role", "version", "log", "store")
)
DISK_FREE = Metric(
    "soundings_service_disk_free_bytes", "gauge", "bytes", "free on the disk of the data folder", ("role",)
)
DISK_FLOOR = Metric(
    "soundings_service_disk_floor_bytes", "gauge", "bytes", "reading stops when less is free there", ("role",)
)

METRICS: tuple[Metric, ...] = (
    SETTLED,
    RETRIED,
    BATCH_SECONDS,
    BOOKED,
    LAG,
    DEAD_LETTERS,
    SOURCE_READING,
    SOURCE_LAST_ITEM,
    SOURCE_UP,
    SOURCE_SILENT,
    SOURCE_RATE,
    SOURCE_BEHIND,
    SOURCE_TROUBLES,
    SOURCE_GAPS,
    SOURCE_SPENT,
    MODEL,
    MENTIONS,
    FRESHNESS,
    DELAY,
    LOOKED_UP,
    ALERTS_FIRING,
    ALERT_WATCHES,
    ALERT_LOOKED,
    ALERT_LAG,
    ALERT_MESSAGES,
    ALERT_SECONDS,
    READY,
    PART_UP,
    INFO,
    DISK_FREE,
    DISK_FLOOR,
)
