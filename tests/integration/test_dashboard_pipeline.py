"""The page /pipeline and its API: how sources fare, when they were deaf; hostile words of theirs stay words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.dashboard_world import BRANDS, NOW, World, ask, open_world

from dashboard.app import build_app
from domain.clock import to_ms
from domain.listening import SourceReport, SourceState
from domain.records import Event


def heartbeat(source: str, state: SourceState, *, ago: float = 5.0, **told: object) -> Event:
    at, since = NOW - timedelta(seconds=ago), NOW - timedelta(hours=1)
    return SourceReport(source=source, at=at, state=state, since=since, **told).event()  # type: ignore[arg-type]


def gap(source: str, hours_ago: float, minutes: float, **told: object) -> Event:
    start = NOW - timedelta(hours=hours_ago)
    end = start + timedelta(minutes=minutes)
    detail = {"start_ms": to_ms(start), "end_ms": to_ms(end), "reason": "the server was restarted", **told}
    return Event(kind="gap", source=source, at=end, detail=detail)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as opened:
        yield opened


def note(world: World) -> None:
    world.store.note(
        [
            heartbeat("bluesky", SourceState.LISTENING, per_minute=1234.4, item_at=NOW - timedelta(seconds=7)),
            heartbeat("rss", SourceState.LISTENING, silent=True),
            heartbeat("x", SourceState.REFUSED, reason="source.x.token: <b>refused</b>; see docs/sources/x.md"),
            heartbeat("mastodon", SourceState.LISTENING, ago=300.0),
            gap("bluesky", 3, 95, recovered=1200, method="cursor"),
            gap("rss", 100, 0.05),
            gap("x", 24 * 9, 10),
        ]
    )


def test_each_source_has_a_state_in_words_and_a_reason(world: World) -> None:
    note(world)
    page = ask(world.app, "/pipeline").text.partition('id="gaps"')[0]
    rows = {row.partition("</bdi>")[0]: row for row in page.split('<th scope="row"><bdi>')}
    assert "listening" in rows["bluesky"]
    assert "1,234" in rows["bluesky"]
    assert "silent for longer than is usual" in rows["rss"]
    assert "source.x.token: &lt;b&gt;refused&lt;/b&gt;; see docs/sources/x.md" in rows["x"]
    assert "not heard of" in rows["mastodon"]


def test_gaps_of_the_week_are_listed_and_drawn(world: World) -> None:
    note(world)
    page = ask(world.app, "/pipeline").text
    assert "1 h 35 min" in page
    assert "1,200 by cursor" in page
    assert "nothing was tried" in page
    assert page.count('class="deaf"') == 2
    assert "10 min" not in page


def test_of_many_gaps_the_newest_ten_stand_open_and_the_others_unfold(world: World) -> None:
    world.store.note([gap("bluesky", hours, 3, reason=f"reason {hours}") for hours in range(1, 131)])
    page = ask(world.app, "/pipeline").text
    before, _, folded = page.partition('<details class="older"><summary>90 older</summary>')
    assert [number for number in range(1, 131) if f"reason {number}<" in before] == list(range(1, 11))
    assert [number for number in range(1, 131) if f"reason {number}<" in folded] == list(range(11, 101))
    assert '30 more, further back: <a href="/api/gaps">' in folded


def test_what_many_sources_missed_does_not_push_the_figures_away(world: World) -> None:
    note(world)
    page = ask(world.app, "/").text
    folded = page.partition('<details class="note warning">')[2].partition("</details>")[0]
    assert "2 sources are not heard</strong> right now: <bdi>mastodon</bdi>, <bdi>x</bdi></summary>" in folded
    assert folded.count("is not heard</strong>") == 2
    world.store.note([gap("rss", 2, 30), gap("rss", 5, 20)])
    page = ask(world.app, "/").text
    assert "<strong>There are gaps</strong>, so figures may be too low: <bdi>bluesky</bdi>, <bdi>rss</bdi>" in page


def test_the_page_of_mentions_says_when_somebody_was_deaf(world: World) -> None:
    note(world)
    assert "<bdi>bluesky</bdi> did not listen" in ask(world.app, "/").text
    assert "did not listen" not in ask(world.app, "/?from=2026-10-01&to=2026-10-02").text
    assert "<bdi>rss</bdi> did not listen" in ask(world.app, "/?from=2026-10-05&to=2026-10-06").text


def test_the_api_tells_the_same(world: World) -> None:
    note(world)
    sources = {one["source"]: one for one in ask(world.app, "/api/sources").json()["sources"]}
    assert {name: one["stale"] for name, one in sources.items()} == {
        "bluesky": False,
        "rss": False,
        "x": False,
        "mastodon": True,
    }
    assert sources["x"]["state"] == "refused"
    gaps = ask(world.app, "/api/gaps").json()["gaps"]
    assert [one["source"] for one in gaps] == ["rss", "bluesky"]
    assert [one["source"] for one in ask(world.app, "/api/gaps?from=2026-09-01").json()["gaps"]] == [
        "x",
        "rss",
        "bluesky",
    ]
    assert ask(world.app, "/api/gaps?from=never").status_code == 400


def test_without_sources_it_says_how_to_have_some(world: World) -> None:
    page = ask(world.app, "/pipeline")
    assert page.status_code == 200
    assert "soundings up --brand" in page.text


def test_the_page_of_mentions_says_who_is_not_heard_right_now(world: World) -> None:
    assert "not heard" not in ask(world.app, "/").text
    note(world)
    page = ask(world.app, "/").text
    assert "<bdi>x</bdi> is not heard</strong> since" in page
    assert "<bdi>mastodon</bdi> is not heard</strong>" in page
    assert "<bdi>bluesky</bdi> is not heard" not in page
    assert "2 sources not heard" in page


def test_a_source_that_was_switched_off_is_no_crash(world: World) -> None:
    note(world)
    app = build_app(world.store, world.log, BRANDS, clock=FakeClock(NOW), enabled_sources=("bluesky", "x", "rss"))
    page = ask(app, "/pipeline").text
    assert "switched off" in page
    assert "has ended or hangs" not in page
    assert "mastodon" not in ask(app, "/").text.partition("</header>")[2].partition('class="columns"')[0]


def test_without_mentions_it_says_what_is_listened_to(tmp_path: Path) -> None:
    with open_world(tmp_path, filled=False) as empty:
        empty.store.note([heartbeat("bluesky", SourceState.LISTENING)])
        page = ask(empty.app, "/").text
    assert "The sources are listened to" in page
    assert "soundings replay" not in page
