"""The chart shows what was measured, what was usual, alerts and deaf sources, in the reader's zone, always the same."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alerts.asking import Deaf
from alerts.chart import HEIGHT, WIDTH, chart_png, chart_spec, chart_words
from alerts.records import Level, Reading
from alerts.rule import Metric

START = datetime(2026, 3, 28, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
ROOT = Path(__file__).resolve().parents[3]
BERLIN = ZoneInfo("Europe/Berlin")


def readings(places: range, metric: Metric = Metric.NEGATIVE) -> list[Reading]:
    return [
        Reading(
            end=START + STEP * place,
            metric=metric,
            level=Level.CALM,
            observed=float(place % 9),
            expected=4.0,
            low=1.0,
            high=9.0,
            ratio=None,
            surprise=0.0,
            mentions=place % 9,
        )
        for place in places
    ]


def rows(spec: dict) -> list[dict]:  # type: ignore[type-arg]
    return list(spec["data"]["values"])


def test_the_line_breaks_where_nothing_was_read() -> None:
    found = readings(range(10)) + readings(range(20, 30))
    spec = chart_spec(found, metric=Metric.NEGATIVE, window="in an hour", zone=UTC)
    assert [row["segment"] for row in rows(spec)] == [0] * 10 + [1] * 10


def test_times_are_those_of_the_readers_clock_and_its_zone_is_named() -> None:
    spec = chart_spec(readings(range(3)), metric=Metric.NEGATIVE, window="in an hour", zone=BERLIN)
    assert datetime.fromtimestamp(rows(spec)[0]["at"] / 1000, UTC) == datetime(2026, 3, 28, 13, tzinfo=UTC)
    assert spec["encoding"]["x"]["axis"]["title"] == "time (Europe/Berlin)"


def test_alerts_and_deaf_sources_are_marked_within_the_chart() -> None:
    gaps = [
        Deaf("rss", START - timedelta(hours=5), START + STEP),
        Deaf("x", START - timedelta(hours=5), START - timedelta(hours=4)),
    ]
    spec = chart_spec(
        readings(range(12)), metric=Metric.VOLUME, window="in an hour", zone=UTC, alerts=[START], gaps=gaps
    )
    first, *_, last = spec["layer"]
    (deaf,) = first["data"]["values"]
    assert (deaf["source"], deaf["label"]) == ("rss", "rss deaf")
    assert datetime.fromtimestamp(deaf["from"] / 1000, UTC) == START
    assert datetime.fromtimestamp(last["data"]["values"][0]["at"] / 1000, UTC) == START


@pytest.mark.parametrize("metric", list(Metric))
def test_a_picture_is_drawn_of_every_metric(metric: Metric) -> None:
    found = readings(range(40), metric)
    gaps = [Deaf("東京", START, START + STEP)]
    spec = chart_spec(found, metric=metric, window="in an hour", zone=BERLIN, alerts=[START + STEP], gaps=gaps)
    drawn = chart_png(spec)
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", drawn[16:24])
    assert (width, height) >= (2 * WIDTH, 2 * HEIGHT)


def test_the_same_chart_is_the_same_picture_in_every_process() -> None:
    spec = chart_spec(readings(range(40)), metric=Metric.NEGATIVE, window="in an hour", zone=BERLIN, alerts=[START])
    code = (
        "import json, sys; from alerts.chart import chart_png; sys.stdout.buffer.write(chart_png(json.load(sys.stdin)))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(spec).encode(), capture_output=True, check=True, cwd=ROOT
    )
    assert other.stdout == chart_png(spec)


def test_a_picture_that_stands_alone_has_a_title_and_a_legend() -> None:
    found, gaps = readings(range(40)), [Deaf("rss", START, START + STEP)]
    bare = chart_spec(found, metric=Metric.NEGATIVE, window="in an hour", zone=UTC, alerts=[START], gaps=gaps)
    assert "title" not in bare
    titled = chart_spec(
        found, metric=Metric.NEGATIVE, window="in an hour", zone=UTC, alerts=[START], gaps=gaps, title="Acme:\nBattery"
    )
    assert titled["title"]["text"] == "Acme: Battery"
    assert titled["title"]["subtitle"] == [
        "Line: measured. Dashed: usual. Grey: would not be strange.",
        "Upright: an alert begins. Yellow: a source is deaf.",
    ]
    drawn = chart_png(titled)
    assert drawn == chart_png(json.loads(json.dumps(titled)))
    # Both stand above the plot, which keeps its size.
    (_, height), (_, without) = (struct.unpack(">II", each[16:24]) for each in (drawn, chart_png(bare)))
    assert height > without + 2 * 40


def test_a_chart_without_readings_is_empty_and_no_fault() -> None:
    spec = chart_spec([], metric=Metric.NEGATIVE, window="in an hour", zone=UTC)
    assert chart_png(spec)[:4] == b"\x89PNG"
    assert chart_words([], Metric.NEGATIVE, UTC) == "Chart without values."


def test_who_cannot_see_it_is_told_its_peak() -> None:
    words = chart_words(readings(range(9)), Metric.NEGATIVE, BERLIN)
    assert words == (
        "Chart of negative mentions from 28 Mar 2026, 13:00 to 28 Mar 2026, 13:40 (Europe/Berlin): "
        "8 at 28 Mar 2026, 13:40, where 4 is usual."
    )
