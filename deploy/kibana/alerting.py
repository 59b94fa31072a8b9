"""What Kibana shows of alerts: of brands on the marketing dashboard, of the pipeline on the IT dashboard."""

from __future__ import annotations

from typing import Final

from deploy.kibana.describe import Mark, Metric, Over, Panel, Search, Values, View

ALERTS: Final = View("soundings-alerts", "soundings-alerts", "Alerts", "started_at")

# An alert of the pipeline itself has no brand.
OF_BRANDS: Final = "brand_id : *"
OF_PIPELINE: Final = "not brand_id : *"

COUNT: Final = Metric("count", "Alerts", "count")
TIME: Final = Over("time", "Began", "started_at")

ALERT_MARKS: Final = Mark(
    "alerts",
    "Alert",
    ALERTS,
    where=OF_BRANDS,
    text="brand",
    more=("rule", "severity", "observed", "expected"),
)
ALERTS_OVER_TIME: Final = Panel(
    "soundings-alerts-over-time",
    "Alerts over time by brand",
    "By when the first window that fired ended. A filter by what alerts have not, such as source, hides them.",
    ALERTS,
    "bar_stacked",
    (COUNT,),
    (Values("brand", "Brand", "brand_id", size=10), TIME),
    OF_BRANDS,
)
RULES: Final = Panel(
    "soundings-alert-rules",
    "Rules",
    "How often each rule fired, what people thought of it, and how it was found. Useful and noise are people's marks.",
    ALERTS,
    "table",
    (
        COUNT,
        Metric("useful", "Useful", "count", where="mark : useful"),
        Metric("noise", "Noise", "count", where="mark : noise"),
        Metric("open", "Not over", "count", where="not resolved_at : *"),
        Metric("after", "Found after seconds", "average", "told_after_seconds", decimals=0),
        Metric("lasted", "Lasted minutes", "average", "lasted_minutes", decimals=0),
    ),
    (Values("rule", "Rule", "rule", size=20),),
    OF_BRANDS,
)
ALERT_LIST: Final = Search(
    "soundings-search-alerts",
    "Alerts",
    "Newest first: what was seen and what was expected in the most unusual window.",
    ALERTS,
    ("severity", "brand", "rule", "state", "observed", "expected", "ratio", "authors", "stories", "mark"),
    where=OF_BRANDS,
)

TROUBLES: Final = Panel(
    "soundings-troubles",
    "Alerts of the pipeline over time",
    "Silent sources, lag, dead letters, budgets and disks, as IT is told of them.",
    ALERTS,
    "bar_stacked",
    (COUNT,),
    (Values("rule", "Rule", "rule", size=10), TIME),
    OF_PIPELINE,
)
TROUBLE_LIST: Final = Search(
    "soundings-search-troubles",
    "Alerts of the pipeline",
    "What was wrong, in a sentence, and whether it is over.",
    ALERTS,
    ("severity", "rule", "reason", "state", "resolved_at"),
    where=OF_PIPELINE,
)
