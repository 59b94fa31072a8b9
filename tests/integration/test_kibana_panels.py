"""Every panel of Kibana's dashboards, asked of a real Elasticsearch, shows what the page's store says."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.elastic_stores import open_elastic, settings_for, wipe
from kibana import plain
from kibana.kql import kql
from kibana.lens import rows_of, search_of
from servers.elastic import ElasticServer

from alerts.projection import projection
from alerts.records import Alert, Level, Reading
from alerts.rule import Metric, Severity
from dashboard.counting import count
from deploy.kibana.__main__ import OBJECTS
from deploy.kibana.describe import Panel, Search, View
from deploy.kibana.marketing import ALL_MENTIONS, MARKETING, NOT_JUDGED
from deploy.kibana.operations import OPERATIONS
from domain.aggregation import Buckets, Distinct, DistinctResult, Terms
from domain.clock import to_ms
from domain.listening import SourceReport, SourceState
from domain.query import parse
from domain.query.ast import Everything, Flag
from domain.records import Event, Mention
from search.elastic_listening import document_of
from search.embedded import EmbeddedStore
from search.store import SearchRequest, Sort, Written
from service.data_folder import DataFolder
from service.pipeline import Pipeline
from service.settings import load
from stream.codec import to_json

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PANELS = {panel.object_id: panel for board in (MARKETING, OPERATIONS) for panel in board.panels()}
SEARCHES = (*MARKETING.searches(), *OPERATIONS.searches(), ALL_MENTIONS, NOT_JUDGED)
OBJECT = {one["id"]: one for one in map(json.loads, OBJECTS.read_text().splitlines())}

Document = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """A real Elasticsearch that holds `documents` by index, and the page's store with the same mentions."""

    url: str
    prefix: str
    documents: dict[str, list[Document]]
    store: EmbeddedStore

    def ask(self, index: str, body: Document) -> Document:
        return request("POST", f"{self.url}/{self.prefix}{index}/_search", json.dumps(body).encode())

    def of(self, view: View) -> list[Document]:
        return self.documents[view.index]


def request(method: str, url: str, body: bytes = b"", kind: str = "application/json") -> Document:
    asked = urllib.request.Request(url, data=body or None, method=method, headers={"Content-Type": kind})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: Document = json.load(answer)
    return found


def replayed(folder: Path) -> EmbeddedStore:
    """Replay the sample through every stage and open what became of it."""
    environ = {"SOUNDINGS_DATA_DIR": str(folder), "SOUNDINGS_ENGINE_KIND": "tiny"}
    settings = load(ROOT / "examples" / "sample.toml", environ=environ)
    with Pipeline(settings) as pipeline:
        pipeline.start()
        pipeline.replay(ROOT / "service" / "samples" / "sample.jsonl", lambda *_: None)
    return EmbeddedStore.open(DataFolder(folder).store)


def all_mentions(store: EmbeddedStore) -> Iterator[Mention]:
    cursor = None
    while True:
        # Which post begins a story is decided by what was written before.
        page = store.search(SearchRequest(sort=Sort.OLDEST, cursor=cursor, limit=500))
        yield from page.mentions
        cursor = page.next_cursor
        if cursor is None:
            return


def health_documents() -> list[Document]:
    """Three hours of three stages and two workers of one of them, a document a minute each."""
    made = []
    for minute in range(180):
        at = (NOW - timedelta(minutes=minute)).isoformat()
        for stage, worker, share in (("ingest", "a", 4), ("enrich", "b", 2), ("enrich", "c", 1), ("index", "d", 3)):
            took = minute % 7 * share
            made.append(
                {
                    "at": at,
                    "kind": "health",
                    "stage": stage,
                    "worker": worker,
                    "ready": not (stage == "index" and minute % 60 == 5),
                    "in": took + 3,
                    "ok": took - minute % 7,
                    "duplicate": minute % 7,
                    "filtered": 2,
                    "parked": 1,
                    "retried": minute % 2,
                    "lag": minute * share,
                }
            )
    return made


def source_documents() -> list[Document]:
    """Three hours of three sources, as the store writes them: heartbeats, and gaps of one."""
    events = []
    for minute in range(180):
        at = NOW - timedelta(minutes=minute)
        for place, source in enumerate(("bluesky", "x", "rss")):
            report = SourceReport(
                source=source,
                at=at,
                state=SourceState.WAITING if source == "x" and minute % 50 == 7 else SourceState.LISTENING,
                since=NOW - timedelta(hours=4),
                silent=minute % 60 > 30 + 10 * place,
                event_at=at - timedelta(seconds=3 + minute % 5 + place),
                per_minute=float(7 * (minute % 9 + place)),
                errors=2 * place + 1,
                spent_today=0.25 * (place + 1),
            )
            events.append(report.event())
        if minute % 45 == 3:
            moments = {"start_ms": to_ms(at) - 90_000, "end_ms": to_ms(at), "reason": "cut off"}
            events.append(Event(kind="gap", source="x", at=at, detail=moments))
    documents: list[Document] = [json.loads(to_json(document_of(event))) for event in events]
    return documents


def dead_documents() -> list[Document]:
    """Forty dead letters, a third of them resolved."""
    reasons = ("not_json", "missing_text", "engine_failed")
    made = []
    for number in range(1, 41):
        letter = {
            "number": number,
            "parked_at": (NOW - timedelta(minutes=11 * number)).isoformat(),
            "stage": "enrich" if number % 3 == 2 else "ingest",
            "reason": reasons[number % 3],
            "source": "x" if number % 5 else "bluesky",
            "position": f"posts-0 {number}",
            "payload_bytes": 100 + number,
        }
        if number % 3 == 0:
            letter |= {"resolved_at": NOW.isoformat(), "resolution": "retried"}
        made.append(letter)
    return made


def alert_documents() -> list[Document]:
    """Thirty alerts of three brands and of the pipeline, at every stage of a life, as they are published."""
    made = []
    for number in range(30):
        began = NOW - timedelta(hours=5 * number)
        reading = Reading(
            end=began,
            metric=Metric.NEGATIVE,
            level=Level.SPIKE,
            observed=30.0 + number,
            expected=6.5,
            low=2.0,
            high=12.0,
            ratio=(30.0 + number) / 6.5,
            surprise=8.0,
            mentions=30 + number,
        )
        brand = ("cuppelo", "brewmont", "", "grindworth")[number % 4]
        alert = Alert(
            alert_id=f"{number:014d}-a",
            rule_id=f"rule-{number % 3}",
            rule=("Spike of negative mentions", "Volume", "Silent source")[number % 3],
            brand_id=brand,
            brand=brand.title(),
            metric=Metric.NEGATIVE,
            severity=Severity.CRITICAL,
            window_minutes=60,
            started_at=began,
            fired_at=began + timedelta(seconds=20 + number),
            reading=reading,
            peak_at=began,
            resolved_at=began + timedelta(minutes=40 + number) if number % 5 else None,
            mark=("", "useful", "noise", "useful")[number // 3 % 4],
            reason="" if brand else "the source x is silent",
        )
        made.append(json.loads(to_json(projection(alert))))
    return made


@pytest.fixture(scope="module")
def loaded(elastic_server: ElasticServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    prefix = "panels-soundings-"
    settings = settings_for(elastic_server.url, prefix)
    page = replayed(tmp_path_factory.mktemp("kibana"))
    elastic = open_elastic(elastic_server.url, prefix)
    try:
        outcomes = elastic.write(list(all_mentions(page)))
        assert set(outcomes) == {Written.STORED}
        elastic.refresh()
        made = {"soundings-events": [*health_documents(), *source_documents()], "soundings-dead": dead_documents()}
        made["soundings-alerts"] = alert_documents()
        for index, documents in made.items():
            fill(f"{elastic_server.url}/panels-{index}", documents)
        loaded = Loaded(elastic_server.url, "panels-", made, page)
        hits = loaded.ask("soundings-mentions", {"size": 1_000})["hits"]["hits"]
        made["soundings-mentions"] = [hit["_source"] for hit in hits]
        yield loaded
    finally:
        elastic.close()
        page.close()
        wipe(settings)


def fill(index_url: str, documents: Sequence[Document]) -> None:
    """Put documents into an index that `soundings setup` made."""
    lines = "".join(f'{{"create":{{}}}}\n{json.dumps(document)}\n' for document in documents)
    answer = request("POST", f"{index_url}/_bulk?refresh=true", lines.encode(), "application/x-ndjson")
    assert answer["errors"] is False, answer["items"][0]


def table(panel: Panel, loaded: Loaded) -> list[Document]:
    """Give the rows that a shipped panel shows."""
    saved = OBJECT[panel.object_id]
    return rows_of(saved, loaded.ask(panel.view.index, search_of(saved)))


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_shows_what_its_documents_say(panel: Panel, loaded: Loaded) -> None:
    shown = table(panel, loaded)
    assert shown
    assert shown == approximately(plain.rows(panel, loaded.of(panel.view)))
    for metric in panel.metrics:
        assert any(row[metric.key] not in (None, 0) for row in shown), f"{metric.label} is empty everywhere"


def approximately(rows: Sequence[Document]) -> list[Document]:
    """Floats may differ in their last digits: sums are taken in another order."""
    return [
        {key: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.object_id)
def test_a_saved_search_finds_what_its_documents_say(search: Search, loaded: Loaded) -> None:
    saved = OBJECT[search.object_id]
    source = json.loads(saved["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    answer = loaded.ask(search.view.index, {"query": kql(source["query"]["query"]), "track_total_hits": True})
    expected = [one for one in loaded.of(search.view) if plain.holds(search.where, one)]
    assert 0 < answer["hits"]["total"]["value"] == len(expected)
    columns = set(saved["attributes"]["columns"])
    assert columns & {name for one in expected for name in one}


@pytest.mark.parametrize("panel", [one for one in PANELS.values() if one.marks], ids=lambda one: one.object_id)
def test_the_marks_of_a_panel_are_its_alerts_with_their_text(panel: Panel, loaded: Loaded) -> None:
    _, *layers = OBJECT[panel.object_id]["attributes"]["state"]["visualization"]["layers"]
    for layer, mark in zip(layers, panel.marks, strict=True):
        (drawn,) = layer["annotations"]
        # As Kibana asks: documents of the filter, by their time, with the fields that are shown.
        fields = [drawn["timeField"], drawn["textField"], *drawn["extraFields"]]
        body = {"query": kql(drawn["filter"]["query"]), "sort": [drawn["timeField"]], "fields": fields, "size": 100}
        hits = loaded.ask(mark.view.index, body)["hits"]["hits"]
        expected = [one for one in loaded.of(mark.view) if plain.holds(mark.where, one)]
        assert len(hits) == len(expected) > 0
        assert [hit for hit in hits if set(hit["fields"]) != set(fields)] == []


# --- the same numbers as the page


def test_brands_side_by_side_have_the_measures_of_the_page(loaded: Loaded) -> None:
    shown = {row["brand"]: row for row in table(PANELS["soundings-brands"], loaded)}
    page = count(loaded.store, Everything(), by="brand_id")
    assert list(shown) == [group.key for group in page.groups]
    for group in page.groups:
        row, measures = shown[group.key], group.measures
        net = measures.net()
        assert net is not None
        assert (row["count"], row["negatives"]) == (measures.mentions, measures.negative)
        assert row["net"] == pytest.approx(net.value)


def test_the_timeline_by_sentiment_has_the_counts_of_the_page(loaded: Loaded) -> None:
    shown = {(row["feeling"], row["time"]): row["count"] for row in table(PANELS["soundings-volume"], loaded)}
    page = count(loaded.store, Everything(), interval="hour")
    assert page.moments is not None
    expected = {}
    for moment, measures in page.moments:
        labels = {name: getattr(measures, name) for name in ("negative", "neutral", "positive")}
        for label, number in {**labels, "not judged": measures.unreliable}.items():
            if number:
                expected[label, int(moment.timestamp() * 1000)] = number
    assert shown == expected


def test_totals_are_those_of_the_page(loaded: Loaded) -> None:
    page = loaded.store.aggregate(Everything(), {"posts": Distinct("post_id"), "stories": Distinct("story_id")})
    judged = count(loaded.store, Flag("sentiment_reliable", True)).measures.net()
    assert isinstance(page["posts"], DistinctResult)
    assert isinstance(page["stories"], DistinctResult)
    assert judged is not None
    values = [
        next(iter(table(PANELS[f"soundings-{name}"], loaded)[0].values()))
        for name in ("total", "total-posts", "total-stories", "net-sentiment")
    ]
    assert values[:3] == [loaded.store.count(), page["posts"].count, page["stories"].count]
    assert values[3] == pytest.approx(judged.value)


@pytest.mark.parametrize(
    ("name", "field", "key", "size"),
    [
        ("share-of-voice", "brand_id", "brand", 10),
        ("authors", "author_handle", "author", 20),
        ("hashtags", "hashtags", "hashtag", 15),
        ("words", "words", "word", 50),
        ("stories", "story_id", "story", 20),
        ("sources", "source", "source", 10),
    ],
)
def test_the_most_frequent_values_are_those_of_the_page(
    name: str, field: str, key: str, size: int, loaded: Loaded
) -> None:
    page = loaded.store.aggregate(Everything(), {"top": Terms(field, size)})["top"]
    assert isinstance(page, Buckets)
    shown = table(PANELS[f"soundings-{name}"], loaded)
    assert [(row[key], row["count"]) for row in shown] == [(row.key, row.count) for row in page.buckets]


# --- the same question in Kibana


def questions() -> list[tuple[str, str]]:
    """Give each line of docs/kibana.md that asks the same on the page and in Kibana."""
    page = (ROOT / "docs" / "kibana.md").read_text()
    section = page.split("## Searching", 1)[1].split("## Measures", 1)[0]
    return re.findall(r"^\| [^|]+ \| `([^`]+)` \| `([^`]+)` \|$", section, re.MULTILINE)


def test_the_page_of_questions_has_some() -> None:
    assert len(questions()) >= 15


@pytest.mark.parametrize(("ours", "kibanas"), questions())
def test_a_question_finds_the_same_mentions_in_kibana(ours: str, kibanas: str, loaded: Loaded) -> None:
    on_page = loaded.store.search(SearchRequest(node=parse(ours), limit=500)).mentions
    answer = loaded.ask("soundings-mentions", {"query": kql(kibanas), "size": 500, "_source": ["mention_id"]})
    in_kibana = {hit["_source"]["mention_id"] for hit in answer["hits"]["hits"]}
    assert in_kibana == {mention.mention_id for mention in on_page}
    assert in_kibana
    assert len(in_kibana) < loaded.store.count()
