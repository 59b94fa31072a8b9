"""The IT dashboard: health of stages and sources, gaps, dead letters without their text, alerts of the pipeline."""

from __future__ import annotations

from typing import Final

from deploy.kibana.alerting import TROUBLE_LIST, TROUBLES
from deploy.kibana.describe import Board, Control, Metric, Over, Panel, Placed, Search, Values, View

EVENTS: Final = View("soundings-events", "soundings-events", "Health of stages and sources", "at")
DEAD: Final = View("soundings-dead", "soundings-dead", "Dead letters (without text)", "parked_at")

HEALTH: Final = "kind : health"
WAITING: Final = "not resolved_at : *"

TIME: Final = Over("time", "Time", "at")
STAGE: Final = Values("stage", "Stage", "stage", size=10)
CAME_IN: Final = Metric("in", "In", "sum", "in")
LAG: Final = Metric("lag", "Records behind", "max", "lag")
OUTCOMES: Final = tuple(
    Metric(outcome, outcome, "sum", outcome) for outcome in ("ok", "duplicate", "filtered", "parked", "retried")
)
LETTERS: Final = Metric("letters", "Dead letters", "count")

THROUGHPUT: Final = Panel(
    "soundings-throughput",
    "Records in, by stage",
    "Sum of what each stage took in.",
    EVENTS,
    "line",
    (CAME_IN,),
    (STAGE, TIME),
    HEALTH,
)
LAGS: Final = Panel(
    "soundings-lag",
    "Records behind, by stage",
    "What lies in the log and is not handled yet; the worst of each bucket.",
    EVENTS,
    "line",
    (LAG,),
    (STAGE, TIME),
    HEALTH,
)
BY_OUTCOME: Final = Panel(
    "soundings-outcomes",
    "Outcomes of all stages",
    "Each record leaves a stage with exactly one outcome.",
    EVENTS,
    "bar_stacked",
    OUTCOMES,
    (TIME,),
    HEALTH,
)
STAGES: Final = Panel(
    "soundings-stages",
    "Stages",
    "Over the time shown. Behind is the worst of it; last seen is its newest health document.",
    EVENTS,
    "table",
    (CAME_IN, *OUTCOMES, LAG, Metric("seen", "Last seen", "max", "at", kind="date")),
    (STAGE,),
    HEALTH,
)
NOT_READY: Final = Panel(
    "soundings-not-ready",
    "Minutes not ready, by stage",
    "Health documents in which a worker said that it is not ready.",
    EVENTS,
    "bar_stacked",
    (Metric("minutes", "Not ready", "count"),),
    (STAGE, TIME),
    f"{HEALTH} and ready : false",
)

SOURCE: Final = Values("source", "Source", "source", size=20)
BEATS: Final = "kind : heartbeat"
LISTENING: Final = Panel(
    "soundings-listening",
    "Minutes by state of the sources",
    "A heartbeat a minute of each source: listening, or why not.",
    EVENTS,
    "bar_stacked",
    (Metric("minutes", "Minutes", "count"),),
    (Values("state", "State", "state", size=6), TIME),
    BEATS,
)
SOURCES: Final = Panel(
    "soundings-source-health",
    "Sources",
    "Over the time shown. A minute is the average; behind and troubles are the worst of it.",
    EVENTS,
    "table",
    (
        Metric("seen", "Last heartbeat", "max", "at", kind="date"),
        Metric("listened", "Minutes listening", "count", where="state : listening"),
        Metric("silent", "Minutes silent", "count", where="silent : true"),
        Metric("rate", "Items a minute", "average", "per_minute", decimals=1),
        Metric("behind", "Seconds behind", "max", "behind_seconds", decimals=1),
        Metric("errors", "Troubles", "max", "errors"),
        Metric("spent", "Spent in a day", "max", "spent_today", decimals=2),
    ),
    (SOURCE,),
    BEATS,
)
DEAF: Final = Panel(
    "soundings-deaf",
    "Seconds not listened, by source",
    "Gaps that were noted, when they ended. Counts of mentions of that time may be too low.",
    EVENTS,
    "bar_stacked",
    (Metric("seconds", "Seconds", "sum", "gap_seconds"),),
    (SOURCE, TIME),
    "kind : gap",
)

WAITING_LETTERS: Final = Panel(
    "soundings-dead-waiting",
    "Dead letters waiting",
    "Not retried or discarded yet.",
    DEAD,
    "number",
    (LETTERS,),
    where=WAITING,
)
REASONS: Final = Panel(
    "soundings-dead-reasons",
    "Dead letters by reason",
    "Why they could not be processed.",
    DEAD,
    "bar_horizontal",
    (LETTERS,),
    (Values("reason", "Reason", "reason", size=15),),
)
DEAD_OVER_TIME: Final = Panel(
    "soundings-dead-over-time",
    "Dead letters over time by stage",
    "Which stage parked them.",
    DEAD,
    "bar_stacked",
    (LETTERS,),
    (STAGE, Over("time", "Parked", "parked_at")),
)
DEAD_SOURCES: Final = Panel(
    "soundings-dead-sources",
    "Dead letters by source",
    "Number and size of what was parked.",
    DEAD,
    "table",
    (LETTERS, Metric("bytes", "Bytes", "sum", "payload_bytes")),
    (Values("source", "Source", "source", size=20),),
)
LETTER_LIST: Final = Search(
    "soundings-search-dead",
    "Dead letters waiting",
    "Where each lies, never what it says: `soundings dead-letters show NUMBER` does.",
    DEAD,
    ("number", "stage", "reason", "source", "post_id", "position", "payload_bytes"),
    where=WAITING,
)

OPERATIONS: Final = Board(
    object_id="soundings-operations",
    title="Soundings: operations",
    description="Whether every stage and source is alive and keeps up, and what was parked",
    span="now-6h",
    refresh_seconds=30,
    placed=(
        Placed(THROUGHPUT, 0, 0, 24, 12),
        Placed(LAGS, 24, 0, 24, 12),
        Placed(BY_OUTCOME, 0, 12, 24, 12),
        Placed(NOT_READY, 24, 12, 24, 12),
        Placed(STAGES, 0, 24, 36, 10),
        Placed(WAITING_LETTERS, 36, 24, 12, 10),
        Placed(SOURCES, 0, 34, 48, 10),
        Placed(LISTENING, 0, 44, 24, 12),
        Placed(DEAF, 24, 44, 24, 12),
        Placed(REASONS, 0, 56, 16, 12),
        Placed(DEAD_OVER_TIME, 16, 56, 16, 12),
        Placed(DEAD_SOURCES, 32, 56, 16, 12),
        Placed(LETTER_LIST, 0, 68, 48, 14),
        Placed(TROUBLES, 0, 82, 24, 12),
        Placed(TROUBLE_LIST, 24, 82, 24, 12),
    ),
    controls=(Control("stage", "Stage", EVENTS, "stage"),),
)
