"""A look back over what was replayed: when a rule would have fired, by the code that watches, and a picture of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from e2e.test_alerts import crisis, history
from fakes.running_pipeline import Running, running_pipeline, write_rows

from domain.errors import ConfigError
from service.backtesting import look_back
from service.settings import Settings

# Any time of any day will do; the same one makes a red run repeatable.
NOW = datetime(2026, 3, 11, 15, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("past")
    with running_pipeline(folder) as running:
        _replay(running, folder)
        settings = running.settings
    return settings


def _replay(running: Running, folder: Path) -> None:
    running.replay(write_rows(folder / "rows.jsonl", [json.loads(line) for line in (*history(NOW), *crisis(NOW))]))


def test_a_crisis_of_the_past_is_found_though_it_was_replayed(replayed: Settings, tmp_path: Path) -> None:
    picture = tmp_path / "acme.png"
    [found] = look_back(replayed, "negative-spike", "acme", 90, chart=picture)
    [alert] = found.alerts
    assert NOW - timedelta(minutes=30) <= alert.started_at <= NOW
    assert alert.fired_at == alert.started_at
    assert alert.reading.observed >= 10
    assert 1 < found.brand_weeks < 2
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_brand_is_looked_at_where_none_is_named(replayed: Settings) -> None:
    assert {one.watch.brand_id for one in look_back(replayed, "negative-spike", None, 90)} == {"acme", "globex"}


def test_only_so_many_days_are_looked_at(replayed: Settings) -> None:
    [found] = look_back(replayed, "negative-spike", "acme", 2)
    assert found.buckets == 2 * 288


@pytest.mark.parametrize(
    ("rule", "brand", "expected"),
    [
        ("negativ-spike", "acme", "rule negativ-spike: there is none of this id, expected negative-spike"),
        ("negative-spike", "acne", "brand acne: there is none of this id; did you mean acme?"),
    ],
)
def test_what_is_not_there_is_told(replayed: Settings, rule: str, brand: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace("?", r"\?")):
        look_back(replayed, rule, brand, 90)


def test_a_picture_is_of_one_brand(replayed: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--chart draws one brand"):
        look_back(replayed, "negative-spike", None, 90, chart=tmp_path / "x.png")


def test_nobody_said_anything_is_no_picture(replayed: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was said of globex"):
        look_back(replayed, "negative-spike", "globex", 90, chart=tmp_path / "x.png")
