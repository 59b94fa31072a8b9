"""Kibana's objects: what is committed is what the descriptions say, and fits the shipped index templates."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kibana import validate_ndjson

from deploy.kibana.__main__ import OBJECTS, written
from deploy.kibana.alerting import ALERTS
from deploy.kibana.describe import RECORDS, Answers, Over, Panel, Search
from deploy.kibana.marketing import ALL_MENTIONS, MARKETING, MENTIONS, NOT_JUDGED
from deploy.kibana.operations import DEAD, EVENTS, OPERATIONS

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = Path(validate_ndjson.__file__).with_name("kibana-saved-objects.schema.json")
TEMPLATES = ROOT / "search" / "mapping"
TEMPLATE_OF = {
    MENTIONS.object_id: "mentions",
    EVENTS.object_id: "events",
    DEAD.object_id: "dead",
    ALERTS.object_id: "alerts",
}
NUMBERS = ("long", "integer", "short", "byte", "float", "half_float", "double", "scaled_float", "unsigned_long")


def mapping(view_id: str) -> dict[str, str]:
    """Give field and type of what the shipped template of a data view's index maps."""
    template = json.loads((TEMPLATES / f"{TEMPLATE_OF[view_id]}.json").read_text())
    return dict(validate_ndjson.flat(template["template"]["mappings"]["properties"]))


def problems(path: Path, mapping_file: Path) -> list[str]:
    """Give what the checker finds wrong with a file."""
    command = [sys.executable, validate_ndjson.__file__, path, SCHEMA, "--mapping", mapping_file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"\d+ objects, {len(lines) - 1} problems", lines[-1])
    return lines[:-1]


@pytest.fixture(scope="module")
def whole_mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fields of all indices together, as one mapping."""
    fields = {name: {"type": kind} for view_id in TEMPLATE_OF for name, kind in mapping(view_id).items()}
    path = tmp_path_factory.mktemp("kibana") / "mapping.json"
    path.write_text(json.dumps({"mappings": {"properties": fields}}))
    return path


def objects() -> list[dict[str, Any]]:
    return [json.loads(line) for line in OBJECTS.read_text().splitlines()]


def shown() -> Iterator[Panel | Search]:
    """Give every panel and saved search that is shipped."""
    for board in (MARKETING, OPERATIONS):
        yield from board.panels()
        yield from board.searches()
    yield from (ALL_MENTIONS, NOT_JUDGED)


def test_the_committed_file_is_what_the_descriptions_say() -> None:
    assert OBJECTS.read_text() == written(), "run `python -m deploy.kibana`"


def test_the_checker_finds_nothing_against_the_shipped_templates(whole_mapping: Path) -> None:
    assert problems(OBJECTS, whole_mapping) == []


@pytest.mark.parametrize(
    ("fault", "becomes", "found"),
    [
        ('"sourceField": "author_handle"', '"sourceField": "author"', "not in mapping"),
        ('"sourceField": "author_handle"', '"sourceField": "text"', "is text, cannot aggregate"),
        ('"id": "soundings-volume", "name"', '"id": "soundings-volumes", "name"', "dangling reference"),
        ('"typeMigrationVersion": "8.9.0"', '"typeMigrationVersion": "9.9.0"', "typeMigrationVersion"),
        ('"operationType": "average"', '"operationType": "mean"', "columns"),
        ('"xAccessor": "time"', '"xAccessor": "tim"', "not a column"),
        ('"textField": "brand"', '"textField": "brands"', "annotation field brands not in mapping"),
        ('"timeField": "started_at"', '"timeField": "rule"', "is no date"),
        ('"xy-visualization-layer-alerts"', '"xy-visualization-layer-alert"', "has no reference"),
        ('"type": "kibana_query"', '"type": "query_string"', "layers"),
    ],
)
def test_the_checker_finds_a_planted_fault(
    fault: str, becomes: str, found: str, whole_mapping: Path, tmp_path: Path
) -> None:
    text = OBJECTS.read_text()
    assert fault in text
    wrong = tmp_path / "wrong.ndjson"
    wrong.write_text(text.replace(fault, becomes))
    assert [line for line in problems(wrong, whole_mapping) if found in line]


@pytest.mark.parametrize("one", list(shown()), ids=lambda one: one.object_id)
def test_everything_asks_only_for_fields_of_its_own_index(one: Panel | Search) -> None:
    fields = mapping(one.view.object_id)
    assert fields[one.view.time] == "date"
    if isinstance(one, Search):
        assert [column for column in one.columns if column not in fields] == []
        return
    for bucket in one.buckets:
        if not isinstance(bucket, Answers):
            assert fields[bucket.field] in ("keyword", "date", "boolean")
    for mark in one.marks:
        theirs = mapping(mark.view.object_id)
        assert theirs[mark.view.time] == "date"
        assert [name for name in (mark.text, *mark.more) if name not in theirs] == []
    for metric in one.metrics:
        if metric.calculation in ("sum", "average"):
            assert fields[metric.field] in NUMBERS
        else:
            assert metric.field == RECORDS or fields[metric.field] in ("keyword", "date", *NUMBERS)


@pytest.mark.parametrize("board", [MARKETING, OPERATIONS], ids=lambda board: board.object_id)
def test_a_control_offers_the_values_of_a_keyword(board: Any) -> None:
    for control in board.controls:
        assert mapping(control.view.object_id)[control.field] == "keyword"


def test_tokens_are_hidden_from_the_data_view_of_mentions() -> None:
    (view,) = (one for one in objects() if one["id"] == MENTIONS.object_id)
    hidden = [one["value"] for one in json.loads(view["attributes"]["sourceFilters"])]
    assert hidden[0] == "tokens"
    assert [name for name in hidden if name not in mapping(MENTIONS.object_id)] == []
    assert view["attributes"]["timeFieldName"] == "published_at"


def test_marketing_and_it_look_at_indices_of_their_own() -> None:
    assert {view.index for view in MARKETING.views()} == {"soundings-mentions", "soundings-alerts"}
    assert {view.index for view in OPERATIONS.views()} == {"soundings-events", "soundings-dead", "soundings-alerts"}


def test_brands_are_marketings_alerts_and_the_pipeline_is_its() -> None:
    asked = {
        board.object_id: {
            one.where for one in (*board.panels(), *board.searches()) if one.view.object_id == ALERTS.object_id
        }
        for board in (MARKETING, OPERATIONS)
    }
    assert asked == {MARKETING.object_id: {"brand_id : *"}, OPERATIONS.object_id: {"not brand_id : *"}}


def test_marks_are_drawn_over_a_line_of_time_and_never_over_something_else() -> None:
    marked = [one for one in shown() if isinstance(one, Panel) and one.marks]
    assert marked
    for panel in marked:
        assert panel.shape in ("line", "bar_stacked")
        assert any(isinstance(bucket, Over) for bucket in panel.buckets)
        (saved,) = (one for one in objects() if one["id"] == panel.object_id)
        layers = saved["attributes"]["state"]["visualization"]["layers"]
        assert [layer["layerType"] for layer in layers] == ["data", *("annotations" for _ in panel.marks)]


def test_no_text_of_a_dead_letter_is_in_its_index() -> None:
    fields = mapping(DEAD.object_id)
    assert not {"payload", "detail", "text", "title"} & set(fields)
    assert "text" not in fields.values()


def test_every_object_has_an_id_and_title_of_its_own_and_says_what_it_is() -> None:
    ids = [one["id"] for one in objects()]
    assert len(set(ids)) == len(ids)
    for one in shown():
        assert one.title
        assert one.description.endswith(".")


def test_every_object_is_marked_as_ours_and_read_only() -> None:
    assert [one["id"] for one in objects() if one["managed"] is not True] == []
    untagged = [one["id"] for one in objects() if "soundings-tag" not in {ref["id"] for ref in one["references"]}]
    assert set(untagged) == {"soundings-tag", *TEMPLATE_OF}
