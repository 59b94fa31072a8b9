"""Troubles of the pipeline as the process of alerts finds them, from a real log, store and disk, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.running_pipeline import post, running_pipeline, write_rows

from alerts.book import AlertBook
from alerts.evaluator import Minute
from alerts.outbox import Outbox
from alerts.records import Telling
from alerts.subscription import Subscription
from domain.clock import to_ms
from domain.listening import SourceReport, SourceState
from domain.records import Event, Outcome
from search.embedded import EmbeddedStore
from search.sqlite_documents import SqliteDocuments
from service.alert_health import HealthLook
from service.alerting import Alerting, delays
from service.readings import alert_readings
from service.settings import Settings, load
from stream.embedded import EmbeddedLog
from stream.protocol import Count, OutRecord, Settlement

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONFIG = """
[sources]
enabled = ["bluesky", "hackernews"]

[data]
dir = "{folder}"
disk_floor_mb = 1

[[brands]]
id = "acme"
name = "Acme"
query = "acme"

[[channels]]
id = "hook"
type = "webhook"
url = "https://hooks.example/soundings"

[[subscriptions]]
id = "operators"
channel = "hook"
audience = "it"
rules = ["deaf", "parked"]

[[subscriptions]]
id = "marketers"
channel = "hook"
"""


@dataclass
class World:
    """A data folder with its log, store and documents, and a clock that tests move."""

    settings: Settings
    log: EmbeddedLog
    store: EmbeddedStore
    documents: SqliteDocuments
    clock: FakeClock

    def beat(self, **states: SourceState) -> None:
        """Let every source say how it fares now."""
        now = self.clock.now()
        known = {"bluesky": SourceState.LISTENING, "hackernews": SourceState.LISTENING, **states}
        self.store.note(
            [
                SourceReport(source=name, at=now, state=state, since=now - 20 * MINUTE, reason="401").event()
                for name, state in known.items()
            ]
        )

    def alerting(self) -> Alerting:
        return Alerting(self.settings, self.log, self.store, self.documents, lambda: self.settings.brands, self.clock)

    def look(self) -> HealthLook:
        return HealthLook(self.settings, self.log, self.store, self.documents, self.clock)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    file = tmp_path / "soundings.toml"
    folder = tmp_path / "data"
    folder.mkdir()
    file.write_text(CONFIG.format(folder=folder))
    settings = load(file, environ={"SOUNDINGS_CHANNEL_HOOK_SECRET": "a secret of this channel, long enough"})
    clock = FakeClock(NOON)
    with ExitStack() as opened:
        yield World(
            settings,
            opened.enter_context(closing(EmbeddedLog.open(folder / "log.sqlite", clock=clock))),
            opened.enter_context(closing(EmbeddedStore.open(folder / "store", clock=clock))),
            opened.enter_context(closing(SqliteDocuments.open(folder / "alerts.db"))),
            clock,
        )


def test_a_source_that_refuses_us_is_told_to_those_of_it_alone(world: World) -> None:
    alerting = world.alerting()
    world.beat(bluesky=SourceState.REFUSED)
    alerting.minute(NOON)
    world.clock.set(NOON + MINUTE)
    world.beat(bluesky=SourceState.REFUSED)
    alerting.minute(NOON + MINUTE)
    (alert,) = AlertBook(world.documents).newest(10)
    assert (alert.brand_id, alert.rule_id) == ("", "deaf")
    assert "The source bluesky refuses us" in alert.reason
    assert [each.notification.subscription for each in Outbox(world.documents).entries()] == ["operators"]


def test_it_is_over_when_the_source_listens_again(world: World) -> None:
    alerting = world.alerting()
    for minute in range(30):
        world.clock.set(NOON + minute * MINUTE)
        world.beat(bluesky=SourceState.REFUSED if minute < 10 else SourceState.LISTENING)
        alerting.minute(world.clock.now())
    (alert,) = AlertBook(world.documents).newest(10)
    assert alert.resolved_at == NOON + 15 * MINUTE
    told = [each.notification.telling.value for each in Outbox(world.documents).entries()]
    assert sorted(told) == ["firing", "resolved"]


def test_a_pipeline_that_is_started_in_the_morning_is_no_trouble(world: World) -> None:
    world.beat()
    world.clock.set(NOON + 15 * 60 * MINUTE)
    alerting = world.alerting()
    for minute in range(3):
        at = NOON + (15 * 60 + minute) * MINUTE
        world.clock.set(at)
        if minute:
            world.beat()
        alerting.minute(at)
    assert AlertBook(world.documents).newest(10) == []


def test_what_is_known_of_sources_is_their_last_heartbeat(world: World) -> None:
    look = world.look()
    facts = look.facts()
    assert facts.sources is not None
    assert {one.source: one.at for one in facts.sources} == {"bluesky": None, "hackernews": None}
    assert facts.looking_since == NOON
    world.beat(hackernews=SourceState.WAITING)
    sources = {one.source: one for one in look.facts().sources or ()}
    assert (sources["hackernews"].state, sources["hackernews"].reason) == ("waiting", "401")
    # What is not listened to any more is nobody's trouble.
    world.store.note(
        [Event(kind="heartbeat", source="x", at=NOON, detail={"state": "waiting", "since_ms": to_ms(NOON)})]
    )
    assert len(look.facts().sources or ()) == 2


def test_what_stages_did_is_read_from_the_books_over_a_quarter_of_an_hour(world: World) -> None:
    look = world.look()
    records = [OutRecord("posts", f"p{n}", b"{}") for n in range(7)]
    world.log.settle(Settlement(outputs=records, counts=[Count("ingest", "r", Outcome.OK, 100)]))
    stages = {one.stage: one for one in look.facts().stages or ()}
    assert (stages["enrich"].waiting, stages["enrich"].settled) == (7, None)
    world.clock.set(NOON + 10 * MINUTE)
    world.log.settle(
        Settlement(counts=[Count("ingest", "r", Outcome.OK, 40), Count("ingest", "r", Outcome.PARKED, 30, "not_json")])
    )
    stages = {one.stage: one for one in look.facts().stages or ()}
    assert (stages["ingest"].settled, stages["ingest"].parked, stages["ingest"].minutes) == (70, 30, 10)
    assert stages["enrich"].settled == 0
    world.clock.set(NOON + 26 * MINUTE)
    stages = {one.stage: one for one in look.facts().stages or ()}
    # So long ago that nothing is known of the last minutes.
    assert (stages["ingest"].settled, stages["ingest"].waiting) == (None, 0)


def test_a_budget_is_that_of_the_settings(world: World) -> None:
    sources = replace(world.settings.sources, enabled=("x",), values={"x": {"daily_budget": 10.0}})
    report = SourceReport(source="x", at=NOON, state=SourceState.LISTENING, spent_today=9.5, currency="USD")
    world.store.note([report.event()])
    look = replace(world, settings=replace(world.settings, sources=sources)).look()
    (x,) = look.facts().sources or ()
    assert (x.spent, x.budget, x.currency) == (9.5, 10.0, "USD")


def test_a_disk_is_that_of_the_data_folder(world: World) -> None:
    (disk,) = world.look().facts().disks or ()
    assert disk.floor == 1_000_000
    assert disk.free > disk.floor


def test_a_channel_that_takes_nothing_is_known_by_its_outbox(world: World) -> None:
    outbox = Outbox(world.documents)
    alerting = world.alerting()
    world.beat(bluesky=SourceState.REFUSED)
    alerting.minute(NOON)
    world.clock.set(NOON + MINUTE)
    world.beat(bluesky=SourceState.REFUSED)
    alerting.minute(NOON + MINUTE)
    (entry,) = outbox.due("hook", NOON + MINUTE)
    claimed = outbox.claim(entry, NOON + MINUTE, 60.0)
    assert claimed is not None
    outbox.postpone(claimed, NOON + 2 * MINUTE, "503 Service Unavailable")
    (channel,) = world.look().facts().channels or ()
    assert (channel.channel, channel.waiting, channel.lost) == ("hook", 1, 0)
    assert "503" in channel.why


def test_what_cannot_be_read_is_left_out_and_the_rest_is_known(world: World) -> None:
    look = world.look()
    world.store.close()
    facts = look.facts()
    assert facts.sources is None
    assert facts.disks


def test_metrics_tell_what_fires_what_rules_see_and_how_messages_fare(world: World) -> None:
    alerting = world.alerting()
    empty = {reading.metric.name for reading in alert_readings(world.documents, world.clock, ["hook"])}
    assert empty == {"soundings_alerts_firing", "soundings_alerts_messages"}
    for minute in range(2):
        world.clock.set(NOON + minute * MINUTE)
        world.beat(bluesky=SourceState.REFUSED)
        alerting.minute(world.clock.now())
    readings = alert_readings(world.documents, world.clock, ["hook"])
    told = {
        (reading.metric.name.removeprefix("soundings_alerts_"), *reading.labels): reading.value for reading in readings
    }
    assert {severity: told["firing", severity] for severity in ("info", "warning", "critical")} == {
        "info": 0,
        "warning": 0,
        "critical": 1,
    }
    assert (told["messages", "hook", "waiting"], told["messages", "hook", "sent"]) == (1, 0)
    assert told["evaluated_timestamp_seconds",] == (NOON + MINUTE).timestamp()
    assert told["watches", "no_data"] == 1
    assert 0 <= told["lag_seconds",] < 60


def test_who_is_of_marketing_is_told_once_that_alerts_are_late_and_not_in_quiet_hours() -> None:
    ann = Subscription(subscription_id="ann", channel="ops")
    quiet = replace(ann, subscription_id="bob", quiet_hours="11:00-13:00")
    found = Minute(NOON - timedelta(minutes=9))
    told = delays(NOON, NOON, found, [ann, quiet, replace(ann, subscription_id="it", audience="it")])
    assert [(one.subscription, one.telling, one.detail["behind_minutes"]) for one in told] == [
        ("ann", Telling.DELAYED, 9)
    ]
    # Later in the same trouble it is the same message, which the outbox has already.
    later = delays(NOON + timedelta(minutes=30), NOON, found, [ann])
    assert [one.notification_id for one in later] == [one.notification_id for one in told]
    assert delays(NOON, None, found, [ann]) == []


def test_a_damaged_file_of_alerts_stops_alerts_and_not_the_listening(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "alerts.db").write_bytes(b"not a database at all" * 1000)
    with running_pipeline(tmp_path) as running:
        file = write_rows(tmp_path / "rows.jsonl", [post(1)])
        books = running.replay(file)
        assert books["stages"]["index"]["ok"] == 1  # type: ignore[index]
    assert "alerts do not run" in caplog.text
