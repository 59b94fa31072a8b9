"""The dashboard "Soundings: pipeline": what IT looks at first, in Grafana's classic model (Grafana 12)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from domain.metrics import (
    ALERT_LAG,
    ALERT_LOOKED,
    ALERT_MESSAGES,
    ALERT_SECONDS,
    ALERT_WATCHES,
    ALERTS_FIRING,
    BATCH_SECONDS,
    BOOKED,
    DEAD_LETTERS,
    DELAY,
    DISK_FLOOR,
    DISK_FREE,
    FRESHNESS,
    INFO,
    LAG,
    LOOKED_UP,
    MENTIONS,
    MODEL,
    PART_UP,
    READY,
    RETRIED,
    SETTLED,
    SOURCE_BEHIND,
    SOURCE_GAPS,
    SOURCE_LAST_ITEM,
    SOURCE_RATE,
    SOURCE_READING,
    SOURCE_SILENT,
    SOURCE_TROUBLES,
    SOURCE_UP,
    Metric,
)

DASHBOARD: Final = Path(__file__).parent / "dashboards" / "soundings.json"
# As provisioning/datasources names it.
DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS: Final = 24
# Grafana fits it to the time range and to how often Prometheus asks.
SPAN: Final = "$__rate_interval"

PanelKind = Literal["stat", "timeseries", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's name of it. `width` and `height` are in Grafana's grid of 24 columns."""

    title: str
    meaning: str
    kind: PanelKind
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    # A value below 1 is shown in red: for what is 1 while all is well.
    one_is_well: bool = False


def _rate(metric: Metric, by: str) -> str:
    return f"sum by ({by}) (rate({metric.name}[{SPAN}]))"


def _quantile(share: float, metric: Metric, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric.name}_bucket[{SPAN}])))"


def _latest(metric: Metric, by: str) -> str:
    """Give a value that every process tells alike."""
    return f"max by ({by}) ({metric.name})"


# Prometheus knows a process by its address; what it is stands in this metric.
_OF_ROLE: Final = f"* on (instance) group_left (role) {INFO.name}"

PANELS: Final = (
    Panel(
        "Ready",
        "1: every process of this role can take work.",
        "stat",
        (Query(f"min by (role) ({READY.name})", "{{role}}"),),
        width=8,
        height=4,
        one_is_well=True,
    ),
    Panel("Mentions in the store", MENTIONS.meaning, "stat", (Query(f"max({MENTIONS.name})"),), width=4, height=4),
    Panel(
        "Records that wait",
        "All stages together.",
        "stat",
        (Query(f"sum({_latest(LAG, 'stage')})"),),
        width=4,
        height=4,
    ),
    Panel(
        "Open dead letters",
        "Parked and not retried yet.",
        "stat",
        (Query(f"sum({_latest(DEAD_LETTERS, 'stage, reason')}) or vector(0)"),),
        width=4,
        height=4,
    ),
    Panel("Model", MODEL.meaning, "stat", (Query(f"count by (model) ({MODEL.name})", "{{model}}"),), width=4, height=4),
    Panel(
        "Records per second, by stage",
        "Records that met their end in a stage.",
        "timeseries",
        (Query(_rate(SETTLED, "stage"), "{{stage}}"),),
        unit="recps",
    ),
    Panel("Lag, by stage", LAG.meaning, "timeseries", (Query(_latest(LAG, "stage"), "{{stage}}"),)),
    Panel(
        "Freshness",
        "Until a search found a mention: nine of ten, and half of them; from publishing and from collecting.",
        "timeseries",
        (
            Query(_quantile(0.9, FRESHNESS), "published, 90 %"),
            Query(_quantile(0.5, FRESHNESS), "published, 50 %"),
            Query(_quantile(0.9, DELAY), "collected, 90 %"),
            Query(_quantile(0.5, DELAY), "collected, 50 %"),
        ),
        unit="s",
    ),
    Panel(
        "Outcomes per second",
        "Each record leaves a stage with exactly one.",
        "timeseries",
        (Query(_rate(SETTLED, "stage, outcome"), "{{stage}} {{outcome}}"),),
        unit="recps",
        stacked=True,
    ),
    Panel(
        "Given once more, per second",
        "What a stage was given again because something it needs was away.",
        "timeseries",
        (Query(_rate(RETRIED, "stage"), "{{stage}}"),),
        unit="recps",
    ),
    Panel(
        "Seconds a batch",
        "From when nine of ten batches were read until they were durable.",
        "timeseries",
        (Query(_quantile(0.9, BATCH_SECONDS, "stage"), "{{stage}}"),),
        unit="s",
    ),
    Panel(
        "The books",
        "What became of every record that ever came in, from the log.",
        "table",
        (Query(_latest(BOOKED, "stage, outcome"), "{{stage}} {{outcome}}"),),
    ),
    Panel(
        "Open dead letters, by reason",
        "`soundings dead-letters list` shows them.",
        "table",
        (Query(_latest(DEAD_LETTERS, "stage, reason"), "{{stage}} {{reason}}"),),
    ),
    Panel(
        "Sources",
        "1 while a source is heard; whether it is silent beyond its rhythm; how long ago it gave something (seconds).",
        "table",
        (
            Query(f"max by (source) ({SOURCE_READING.name})", "{{source}} is read"),
            Query(f"max by (source) ({SOURCE_UP.name})", "{{source}} is heard"),
            Query(f"max by (source) ({SOURCE_SILENT.name})", "{{source}} is silent"),
            Query(f"time() - max by (source) ({SOURCE_LAST_ITEM.name})", "{{source}} silent for"),
        ),
    ),
    Panel(
        "Items a minute, by source",
        "Before anything is filtered.",
        "timeseries",
        (Query(f"sum by (source) ({SOURCE_RATE.name})", "{{source}}"),),
    ),
    Panel(
        "Seconds behind, by source",
        "Age of the newest thing that a source gave, by its own clock.",
        "timeseries",
        (Query(f"max by (source) ({SOURCE_BEHIND.name})", "{{source}}"),),
        unit="s",
    ),
    Panel(
        "Troubles and gaps, by source",
        "Cut off, refused or out of reach; and spans of time that were not listened to.",
        "timeseries",
        (
            Query(f"sum by (source) ({SOURCE_TROUBLES.name})", "{{source}} troubles"),
            Query(f"sum by (source) ({SOURCE_GAPS.name})", "{{source}} gaps"),
        ),
    ),
    Panel(
        "Posts looked up again a second, by source",
        "Likes, reposts, replies and views after an hour and after a day; what failed is asked again.",
        "timeseries",
        (Query(_rate(LOOKED_UP, "source, answer"), "{{source}} {{answer}}"),),
    ),
    Panel(
        "Alerts that fire, by severity",
        "Of brands and of the pipeline itself, told or not.",
        "timeseries",
        (Query(_latest(ALERTS_FIRING, "severity"), "{{severity}}"),),
    ),
    Panel(
        "What rules see",
        "Each rule for each brand: quiet, pending, firing, suppressed with a reason, delayed, or without data.",
        "timeseries",
        (Query(_latest(ALERT_WATCHES, "state"), "{{state}}"),),
        stacked=True,
    ),
    Panel(
        "Messages of the last 30 days",
        ALERT_MESSAGES.meaning,
        "table",
        (Query(_latest(ALERT_MESSAGES, "channel, fate"), "{{channel}} {{fate}}"),),
    ),
    Panel(
        "How late alerts are",
        "Since all was looked at; how far back lies what can be judged; how long nine of ten looks take.",
        "timeseries",
        (
            Query(f"time() - max({ALERT_LOOKED.name})", "looked at"),
            Query(f"max({ALERT_LAG.name})", "can be judged"),
            Query(_quantile(0.9, ALERT_SECONDS), "a look, 90 %"),
        ),
        unit="s",
    ),
    Panel(
        "What processes lack",
        "Below 1: a part that a process needs is away.",
        "timeseries",
        (Query(f"min by (role, part) ({PART_UP.name})", "{{role}} {{part}}"),),
    ),
    Panel(
        "Disk above the floor",
        "What is left before sources are no longer read.",
        "timeseries",
        (Query(f"min by (role) ({DISK_FREE.name} - {DISK_FLOOR.name})", "{{role}}"),),
        unit="bytes",
    ),
    Panel(
        "Memory, by role",
        "The largest process of each role.",
        "timeseries",
        (Query(f"max by (role) (process_resident_memory_bytes {_OF_ROLE})", "{{role}}"),),
        unit="bytes",
    ),
    Panel(
        "Processor, by role",
        "Seconds of processor time a second, all processes of a role together.",
        "timeseries",
        (Query(f"sum by (role) (rate(process_cpu_seconds_total[{SPAN}]) {_OF_ROLE})", "{{role}}"),),
    ),
    Panel(
        "Processes",
        "What runs, in which version, over which log and store.",
        "table",
        (Query(f"count by (role, version, log, store) ({INFO.name})", "{{role}} {{version}} {{log}} {{store}}"),),
        width=16,
    ),
)


def written() -> str:
    """Give what `DASHBOARD` must hold."""
    document = {
        "uid": "soundings-pipeline",
        "title": "Soundings: pipeline",
        "description": "Whether every stage is alive and keeps up, and how fresh the store is",
        "tags": ["soundings"],
        "timezone": "browser",
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": _panels(),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _panels() -> list[dict[str, Any]]:
    """Lay the panels out in rows, from left to right."""
    placed, x, y, row_height = [], 0, 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        placed.append(_panel(number, panel, x, y))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return placed


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.one_is_well:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.stacked:
        defaults["custom"] = {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or panel.title,
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
                **({"format": "time_series"} if panel.kind != "table" else {"format": "table"}),
            }
            for place, query in enumerate(panel.queries)
        ],
        **({"transformations": [{"id": "merge", "options": {}}]} if panel.kind == "table" else {}),
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "value_and_name" if panel.queries[0].legend else "value",
        }
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {"showHeader": True}
