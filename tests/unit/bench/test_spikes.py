"""The benchmark of spikes: its report, its peers, and the truth of what it makes up."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bench.spike_peers import DAY, seasonal_esd, windowed_gaussian
from bench.spikes import faults, main
from bench.synthetic_spikes import KINDS, MUST_BE_FOUND, Result, calm, eventful, shifting, together


def test_a_folder_is_scored_and_told_as_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = datetime(2015, 3, 1, 0, 2, 53, tzinfo=UTC)
    values = np.random.default_rng(1).poisson(5.0, 6 * DAY)
    values[5 * DAY : 5 * DAY + 24] += 60
    moments = [start + timedelta(minutes=5 * row) for row in range(len(values))]
    rows = "".join(f"{at:%Y-%m-%d %H:%M:%S},{value}\n" for at, value in zip(moments, values, strict=True))
    (tmp_path / "Acme.csv.gz").write_bytes(gzip.compress(f"timestamp,value\n{rows}".encode()))
    labels = [[f"{moments[5 * DAY - 12]:%Y-%m-%d %H:%M:%S.%f}", f"{moments[5 * DAY + 100]:%Y-%m-%d %H:%M:%S.%f}"]]
    (tmp_path / "windows.json").write_text(json.dumps({"Acme.csv": labels}), encoding="utf-8")
    assert main(["--data", str(tmp_path), "--only", "brands", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["standard"] > 95
    assert report["low_fp"] > 95
    assert report["low_fn"] > 95
    assert (report["false_positives"], report["hits"], report["windows"]) == (0, 1, 1)
    assert set(report["peers"]) == {"windowed_gaussian", "seasonal_s_h_esd"}
    assert report["leave_one_company_out"]["standard"] > 95


def test_what_is_required_and_missed_is_named() -> None:
    assert faults({"standard": 60.0, "low_fp": 50.0}) == []
    assert len(faults({"standard": 59.9, "low_fp": 50.0})) == 1
    assert len(faults({"made_up": {"false_per_calm_brand_week": 0.1}})) == 1
    good = {"american": [{"at": "2015-02-22 20:05"}], "us-airways": [{"at": "2015-02-22 15:00"}]}
    assert faults({"airlines": good}) == []
    assert len(faults({"airlines": {**good, "united": [{"at": "2015-02-20 15:00"}] * 3}})) == 1
    assert len(faults({"airlines": {"american": [{"at": "2015-02-22 14:05"}], "united": []}})) == 2


def test_peers_see_an_obvious_spike_and_look_at_nothing_later() -> None:
    values = np.random.default_rng(2).poisson(20.0, 8 * DAY).astype(np.float64)
    values[6 * DAY + 50] = 400.0
    later = values.copy()
    later[6 * DAY + 51 :] = 999.0
    for peer in (windowed_gaussian, seasonal_esd):
        found = peer(values)
        assert int(np.argmax(found)) == 6 * DAY + 50
        np.testing.assert_array_equal(found[: 6 * DAY + 51], peer(later)[: 6 * DAY + 51])


def test_what_is_made_up_is_what_it_says() -> None:
    quiet, full = (make(5.0, 10.0, np.random.default_rng(3)) for make in (calm, eventful))
    assert quiet.events == []
    assert sorted(event.kind for event in full.events) == sorted(KINDS)
    for event in full.events:
        inside = full.series.negative[event.start : event.end].mean()
        before = full.series.negative[: event.start].mean()
        if event.kind == "outage":
            assert not full.series.known[event.start : event.end].any()
            assert inside == 0
        else:
            assert inside > 1.5 * before
        loud = full.by_one_author[event.start : event.end].sum() > 0
        assert loud is np.bool_(event.kind == "flood")
    assert int((~full.series.known).sum()) < 100


def test_a_share_shifts_at_constant_volume() -> None:
    made = shifting(20.0, np.random.default_rng(4))
    counts = made.series
    np.testing.assert_array_equal(counts.negative + counts.neutral + counts.positive, counts.mentions)
    for event in made.events:
        assert event.kind in MUST_BE_FOUND
        window = slice(event.start, event.end)
        assert counts.negative[window].sum() / counts.mentions[window].sum() > 0.5


def test_results_are_added_up() -> None:
    total = together([Result(5, 2, 1, 3, 2, (10.0,)), Result(5, 2, 2, 2, 0, (20.0, 40.0))])
    assert (total.precision, total.recall, total.median_delay) == (pytest.approx(0.6), 0.75, 20.0)
    assert total.false_per_week == 0.2
    assert together([Result(5, 0, 0, 1, 1, ())]).precision is None
