"""The chart of an alert: what was measured, what was usual, when it fired and when sources were deaf.

One Vega-Lite specification serves the page, and the PNG in a mail. Times are written as the wall clock of the reader's
zone, so that the picture is the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

import vl_convert

from alerts.asking import Deaf
from alerts.escaping import one_line
from alerts.records import Reading
from alerts.rule import Metric
from alerts.sentences import measured, moment
from alerts.series import BUCKET_MS
from domain.clock import to_ms

# The version whose rules the specification keeps; a page loads the same one.
VEGA_LITE: Final = "5.21"
# Its writing can be read where a telephone shows it at half of its size.
WIDTH, HEIGHT = 520, 230
# What fits above it in one line.
MAX_TITLE: Final = 54
# Twice as many pixels as its size in a mail: sharp on the screens of today.
_SCALE: Final = 2.0
# An alert is told to many at once, who see the same picture: the last ones are kept, some 100 KB each.
_KEPT: Final = 16
# First what the converter brings along, then what Debian calls its fonts for every script.
_FONTS: Final = "Noto Sans, DejaVu Sans, Noto Sans CJK SC, Noto Color Emoji, sans-serif"
# Colours that people tell apart whatever they see of red and green: the usual grey, what is negative orange-red, deaf
# sources a pale yellow with their name in it.
NEGATIVE_COLOUR, VOLUME_COLOUR, USUAL_COLOUR, GAP_COLOUR = "#c2410c", "#1d4ed8", "#6b7280", "#fde68a"

TITLES: Final = {
    Metric.VOLUME: "mentions",
    Metric.NEGATIVE: "negative mentions",
    Metric.NEGATIVE_SHARE: "share of negative mentions",
    Metric.NET_SENTIMENT: "net sentiment",
}


def chart_spec(
    readings: Sequence[Reading],
    *,
    metric: Metric,
    window: str,
    zone: tzinfo,
    alerts: Sequence[datetime] = (),
    gaps: Sequence[Deaf] = (),
    buckets: int = 1,
    title: str = "",
) -> dict[str, Any]:
    """Give the Vega-Lite specification of a series of readings; without readings an empty chart.

    Args:
        readings: by time, at most one a bucket; where one is missing the line breaks.
        metric: what they measure.
        window: over what, for the title (`in an hour`).
        zone: whose clock the axis shows; it is named there.
        alerts: when alerts began.
        gaps: when sources were deaf.
        buckets: readings are of each so many buckets; where they are further apart the line breaks.
        title: stands above it with a legend, where nothing around the picture says what it shows.
    """
    rows, segment = [], 0
    for before, reading in zip((None, *readings), readings, strict=False):
        if before is not None and to_ms(reading.end) - to_ms(before.end) > 2 * buckets * BUCKET_MS - BUCKET_MS:
            segment += 1
        rows.append(_row(reading, zone, segment))
    start, end = _bounds(readings, alerts, gaps)
    marks = [{"at": _wall(at, zone), "label": "alert"} for at in alerts]
    deaf = [
        {"from": _wall(max(gap.start, start), zone), "to": _wall(min(gap.end, end), zone)}
        | {"source": one_line(gap.source, 40), "label": f"{one_line(gap.source, 20)} deaf"}
        for gap in gaps
        if gap.end > start and gap.start < end
    ]
    axis = f"{TITLES[metric]} {window}".strip().capitalize()
    colour = VOLUME_COLOUR if metric is Metric.VOLUME else NEGATIVE_COLOUR
    x = {"field": "at", "type": "temporal", "scale": {"type": "utc"}, "axis": _time_axis(zone, end - start)}
    values = {"type": "quantitative", "title": axis, "axis": _value_axis(metric)}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": WIDTH,
        "height": HEIGHT,
        **({"title": _title(title, marks=bool(marks), deaf=bool(deaf))} if title else {}),
        "background": "#ffffff",
        "config": _CONFIG,
        "data": {"values": rows},
        "encoding": {"x": x, "detail": {"field": "segment", "type": "nominal"}},
        "layer": [
            *([_gap_layer(deaf)] if deaf else []),
            {"mark": {"type": "area", "color": USUAL_COLOUR, "opacity": 0.22}, "encoding": _band(values)},
            {
                "mark": {"type": "line", "color": USUAL_COLOUR, "strokeDash": [5, 3], "strokeWidth": 1.2},
                "encoding": {"y": values | {"field": "expected"}},
            },
            {
                "mark": {"type": "line", "color": colour, "strokeWidth": 2.2, "strokeJoin": "round", "tooltip": True},
                "encoding": {"y": values | {"field": "observed"}, "tooltip": _tooltip(metric)},
            },
            *([_mark_layer(marks)] if marks else []),
        ],
    }


def chart_png(spec: dict[str, Any]) -> bytes:
    """Draw a specification: a PNG, the same bytes for the same specification and fonts. Takes some tenths of a second.

    Nothing is loaded over the network. Thread-safe.
    """
    return _drawn(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=_KEPT)
def _drawn(spec: str) -> bytes:
    return bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=_SCALE, allowed_base_urls=[]))


def chart_words(readings: Sequence[Reading], metric: Metric, zone: tzinfo) -> str:
    """Say what the chart shows, for who cannot see it."""
    if not readings:
        return "Chart without values."
    furthest = min if metric is Metric.NET_SENTIMENT else max
    peak = furthest(readings, key=lambda reading: reading.observed)
    first, last = moment(readings[0].end, zone), moment(readings[-1].end, zone)
    value, usual = measured(metric, peak.observed), measured(metric, peak.expected)
    return (
        f"Chart of {TITLES[metric]} from {first} to {last} ({zone}): "
        f"{value} at {moment(peak.end, zone)}, where {usual} is usual."
    )


def _row(reading: Reading, zone: tzinfo, segment: int) -> dict[str, Any]:
    return {
        "at": _wall(reading.end, zone),
        "observed": round(reading.observed, 4),
        "expected": round(reading.expected, 4),
        "low": round(reading.low, 4),
        "high": round(reading.high, 4),
        "segment": segment,
    }


def _bounds(readings: Sequence[Reading], alerts: Sequence[datetime], gaps: Sequence[Deaf]) -> tuple[datetime, datetime]:
    moments = [reading.end for reading in readings] or [*alerts, *(gap.start for gap in gaps)]
    now = datetime(1970, 1, 1, tzinfo=UTC)
    return min(moments, default=now), max(moments, default=now)


def _wall(at: datetime, zone: tzinfo) -> int:
    """Give what a clock in the zone shows as if it were UTC, which every renderer draws alike."""
    return to_ms(at.astimezone(zone).replace(tzinfo=UTC))


def _time_axis(zone: tzinfo, length: timedelta) -> dict[str, Any]:
    days = length > timedelta(days=3)
    return {
        "title": f"time ({zone})",
        "format": "%-d %b" if days else "%-d %b %H:%M",
        "tickCount": 5 if days else 4,
        "grid": False,
    }


def _value_axis(metric: Metric) -> dict[str, Any]:
    if metric is Metric.NEGATIVE_SHARE:
        return {"format": ".0%", "tickCount": 5}
    if metric is Metric.NET_SENTIMENT:
        return {"labelExpr": "format(datum.value * 100, '+.0f')", "tickCount": 5}
    return {"format": ",d", "tickMinStep": 1, "tickCount": 5}


def _title(words: str, *, marks: bool, deaf: bool) -> dict[str, Any]:
    legend = ["Line: measured. Dashed: usual. Grey: would not be strange."]
    extra = [*(["Upright: an alert begins."] if marks else []), *(["Yellow: a source is deaf."] if deaf else [])]
    if extra:
        legend.append(" ".join(extra))
    return {"text": one_line(words, MAX_TITLE), "subtitle": legend, "anchor": "start", "frame": "group", "offset": 12}


def _band(values: dict[str, Any]) -> dict[str, Any]:
    return {"y": values | {"field": "low"}, "y2": {"field": "high"}}


def _tooltip(metric: Metric) -> list[dict[str, Any]]:
    shape = ".0%" if metric is Metric.NEGATIVE_SHARE else ".2f" if metric is Metric.NET_SENTIMENT else ",.1f"
    numbers = [("observed", "measured"), ("expected", "usual"), ("low", "usual, from"), ("high", "usual, to")]
    return [
        {"field": "at", "type": "temporal", "title": "until", "format": "%-d %b %Y %H:%M", "scale": {"type": "utc"}},
        *({"field": name, "type": "quantitative", "title": title, "format": shape} for name, title in numbers),
    ]


def _gap_layer(deaf: list[dict[str, Any]]) -> dict[str, Any]:
    start = {"field": "from", "type": "temporal", "scale": {"type": "utc"}}
    return {
        "data": {"values": deaf},
        "encoding": {"x": start, "detail": {"field": "source", "type": "nominal"}},
        "layer": [
            {
                "mark": {"type": "rect", "color": GAP_COLOUR, "opacity": 0.7, "tooltip": True},
                "encoding": {
                    "x2": {"field": "to"},
                    "tooltip": [{"field": "source", "type": "nominal", "title": "did not listen"}],
                },
            },
            {
                "mark": {"type": "text", "align": "left", "baseline": "top", "dx": 3, "dy": 2, "color": "#78350f"},
                "encoding": {"text": {"field": "label", "type": "nominal"}, "y": {"value": 0}},
            },
        ],
    }


def _mark_layer(marks: list[dict[str, Any]]) -> dict[str, Any]:
    at = {"field": "at", "type": "temporal", "scale": {"type": "utc"}}
    return {
        "data": {"values": marks},
        "encoding": {"x": at, "detail": {"field": "label", "type": "nominal"}},
        "layer": [
            {"mark": {"type": "rule", "color": "#111827", "strokeWidth": 1.5}},
            {
                "mark": {
                    "type": "text",
                    "align": "right",
                    "baseline": "top",
                    "dx": -4,
                    "dy": 2,
                    "color": "#111827",
                    "fontWeight": "bold",
                },
                "encoding": {"text": {"field": "label"}, "y": {"value": 0}},
            },
        ],
    }


_CONFIG: Final[dict[str, Any]] = {
    "font": _FONTS,
    "view": {"stroke": None},
    "axis": {
        "labelFont": _FONTS,
        "titleFont": _FONTS,
        "labelFontSize": 14,
        "titleFontSize": 14,
        "titleFontWeight": "normal",
        "titleColor": "#374151",
        "labelColor": "#374151",
        "gridColor": "#e5e7eb",
        "domainColor": "#9ca3af",
        "tickColor": "#9ca3af",
    },
    "text": {"font": _FONTS, "fontSize": 14},
    "title": {
        "font": _FONTS,
        "subtitleFont": _FONTS,
        "fontSize": 16,
        "subtitleFontSize": 14,
        "color": "#111827",
        "subtitleColor": "#374151",
    },
}
