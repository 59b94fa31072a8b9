"""Many feeds as one source: none harms another, none leads where it may not, and what fails is said."""

from __future__ import annotations

import gzip
import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.feed_site import PUBLIC_ADDRESS, FeedSite, Page, Reading, entry, make_public, open_site, rss

from domain.brand import Brand
from domain.clock import Clock, SystemClock
from domain.errors import ConfigError
from domain.records import Outcome
from ingest.feed_entry import article
from ingest.feed_reader import FeedPlan, FeedReader
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.rss import RssSettings, rss_source
from ingest.runner import cursor_write
from ingest.stage import IngestStage
from ingest.web import MAX_BODY_BYTES, shown
from stream.embedded import EmbeddedLog
from stream.protocol import LIVE_RUN

Start = Callable[..., Reading]
MODIFIED = "Wed, 04 Nov 2026 10:00:00 GMT"


@pytest.fixture
def site() -> Iterator[FeedSite]:
    with open_site() as opened:
        yield opened


@pytest.fixture
def start(site: FeedSite) -> Iterator[Start]:
    """Read feeds of the site by their paths, or others by their addresses."""
    running: list[FeedReader] = []

    def start_it(
        *places: str,
        clock: Clock | None = None,
        cursor: str | None = None,
        allow_private: bool = True,
        poll_seconds: float = 0.02,
        host_seconds: float = 0.0,
    ) -> Reading:
        plan = FeedPlan(
            name="rss",
            setting="source.rss.feeds",
            page="docs/sources/rss.md",
            urls=tuple(site.address + place if place.startswith("/") else place for place in places),
            poll_seconds=poll_seconds,
            host_seconds=host_seconds,
            shape=article,
            allow_private=allow_private,
        )
        running.append(FeedReader(plan, clock or SystemClock(), cursor))
        return Reading(running[-1])

    yield start_it
    for reader in running:
        reader.close()


def note(reading: Reading) -> str:
    return reading.reader.vitals().note


def test_a_feed_is_asked_for_what_is_new_only(site: FeedSite, start: Start) -> None:
    headers = {"ETag": '"one"', "Last-Modified": MODIFIED}

    def page(asked: Mapping[str, str]) -> Page:
        if asked.get("if-none-match") == '"one"':
            return 304, headers, b""
        return 200, headers, rss(entry("urn:1"))[2]

    site.pages["/feed"] = page
    reading = start("/feed")
    reading.until(lambda: len(site.asked) >= 3, "asked again")
    assert [asked.get("if-none-match") for _, asked in site.asked[:3]] == [None, '"one"', '"one"']
    assert [asked.get("if-modified-since") for _, asked in site.asked[:3]] == [None, MODIFIED, MODIFIED]
    assert len(reading.items) == 1


def test_it_says_who_asks(site: FeedSite, start: Start) -> None:
    site.pages["/feed"] = rss(entry("urn:1"))
    reading = start("/feed")
    reading.until(lambda: bool(reading.items), "the entry")
    assert site.asked[0][1]["user-agent"].startswith("Soundings")


def test_an_edit_is_given_and_a_repeat_is_not(site: FeedSite, start: Start) -> None:
    site.pages["/feed"] = rss(entry("urn:1", "first"))
    reading = start("/feed")
    reading.until(lambda: reading.texts() == ["first"], "the entry")
    site.pages["/feed"] = rss(entry("urn:2", "other"), entry("urn:1", "second"))
    reading.until(lambda: len(reading.items) == 3, "the edit and the new one")
    assert reading.texts() == ["first", "second", "other"]
    assert "edited_at" in reading.posts()[1].fields


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((200, {"Content-Type": "text/html"}, b"<!doctype html><p>hello"), "web page"),
        ((200, {}, b"\x00\x01\x02"), "could be read"),
        ((404, {}, b""), "answers 404"),
        ((403, {}, b""), "answers 403"),
        ((503, {}, b""), "answers 503"),
        ((410, {}, b""), "gone for good"),
        ((302, {"Location": "/bad"}, b""), "redirects"),
        ((302, {"Location": "http://[half"}, b""), "address that is none"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "file:///etc/passwd: only http and https"),
        ((200, {"Content-Encoding": "br"}, b"xx"), "which was not asked for"),
        ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8bxx"), "damaged gzip"),
        ((200, {}, gzip.compress(b"x" * (MAX_BODY_BYTES + 1))), "bytes when unpacked"),
        ((200, {}, b"x" * (MAX_BODY_BYTES + 1)), "sends more than 10,485,760 bytes"),
    ],
)
def test_one_that_fails_is_named_and_the_others_go_on(site: FeedSite, start: Start, bad: Page, said: str) -> None:
    site.pages |= {"/bad": bad, "/good": rss(entry("urn:1"))}
    reading = start("/bad", "/good")
    reading.until(lambda: bool(reading.items) and bool(note(reading)), "the good one, and word of the bad one")
    site.pages["/good"] = rss(entry("urn:1"), entry("urn:2"))
    reading.until(lambda: len(reading.items) == 2, "what came later")
    assert note(reading).startswith(f"1 of 2 feeds fail, first {shown(site.address)}/bad: ")
    assert said in note(reading)
    assert reading.reader.vitals().connected
    assert reading.reader.vitals().errors > 0


def test_a_feed_that_was_mended_is_no_longer_named(site: FeedSite, start: Start) -> None:
    site.pages |= {"/bad": (500, {}, b""), "/good": rss(entry("urn:1"))}
    reading = start("/bad", "/good")
    reading.until(lambda: bool(note(reading)), "word of the bad one")
    site.pages["/bad"] = rss(entry("urn:2"))
    reading.until(lambda: not note(reading), "silence about it")
    assert len(reading.items) == 2


def test_what_is_sent_as_gzip_though_not_asked_for_is_read(site: FeedSite, start: Start) -> None:
    site.pages["/feed"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(rss(entry("urn:1", "packed"))[2]))
    reading = start("/feed")
    reading.until(lambda: reading.texts() == ["packed"], "the entry")


def test_when_all_fail_the_source_waits_and_says_so(site: FeedSite, start: Start) -> None:
    site.pages |= {"/one": (500, {}, b""), "/two": (200, {}, b"<html>")}
    reading = start("/one", "/two")
    reading.until(lambda: bool(reading.waits), "the wait")
    assert str(reading.waits[0]).startswith(f"all 2 feeds fail, first {shown(site.address)}/one: answers 500")
    assert not reading.reader.vitals().connected


def test_when_all_refuse_the_setting_and_the_page_are_named(site: FeedSite, start: Start) -> None:
    site.pages |= {"/one": (401, {}, b""), "/two": (404, {}, b"")}
    reading = start("/one", "/two")
    reading.until(lambda: bool(reading.refusals), "the refusal")
    (problem,) = reading.refusals[0].problems
    assert problem.startswith("source.rss.feeds: all 2 feeds fail")
    assert problem.endswith("see docs/sources/rss.md")


def test_a_feed_that_is_gone_is_never_asked_again(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    site.pages |= {"/gone": (410, {}, b""), "/good": rss(entry("urn:1"))}
    reading = start("/gone", "/good", clock=clock)
    for looks in range(1, 20):
        reading.until(lambda looks=looks: site.paths().count("/good") >= looks, "another look")  # type: ignore[misc]
        clock.advance(86_400.0)
    assert site.paths().count("/gone") == 1
    assert "gone for good (410)" in note(reading)


def test_when_all_are_gone_that_is_said_again_and_again(site: FeedSite, start: Start) -> None:
    site.pages["/gone"] = (410, {}, b"")
    reading = start("/gone")
    reading.until(lambda: len(reading.refusals) >= 2, "two refusals")
    assert site.paths() == ["/gone"]


def test_where_it_has_moved_for_good_it_is_read_and_that_is_told_once(
    site: FeedSite, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    site.pages |= {"/old": (301, {"Location": "/new?key=secret"}, b""), "/new?key=secret": rss(entry("urn:1"))}
    with caplog.at_level(logging.INFO):
        reading = start("/old")
        reading.until(lambda: len(site.asked) >= 5, "some looks")
    assert site.paths()[:5] == ["/old", *["/new?key=secret"] * 4]
    (line,) = [record.getMessage() for record in caplog.records if "moved" in record.getMessage()]
    assert f"to {shown(site.address)}/new " in line
    assert "secret" not in line


def test_where_it_is_for_now_it_is_not_kept(site: FeedSite, start: Start) -> None:
    site.pages |= {"/old": (302, {"Location": "/new"}, b""), "/new": rss(entry("urn:1"))}
    reading = start("/old")
    reading.until(lambda: site.paths().count("/old") >= 2, "a second look")
    assert len(reading.items) == 1


def test_a_move_to_what_is_no_feed_is_not_followed(site: FeedSite, start: Start) -> None:
    site.pages |= {"/old": (301, {"Location": "/parked"}, b""), "/parked": (200, {}, b"<html>this name is for sale")}
    reading = start("/old")
    reading.until(lambda: site.paths().count("/old") >= 2, "a second look")
    assert site.paths()[:4] == ["/old", "/parked"] * 2


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/feed",
        "http://127.1/feed",
        "http://2130706433/feed",
        "http://0x7f000001/feed",
        "http://0177.0.0.1/feed",
        "http://[::1]/feed",
        "http://[::ffff:127.0.0.1]/feed",
        "http://[64:ff9b::a00:1]/feed",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/feed",
        "http://0.0.0.0/feed",
        "http://localhost/feed",
        "http://inside.example/feed",
    ],
)
def test_no_feed_leads_to_a_private_address(
    site: FeedSite, start: Start, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    connected = make_public(monkeypatch, site, ["public.example", "other.example"])
    site.pages |= {"/hop": (301, {"Location": target}, b""), "/good": rss(entry("urn:1"))}
    reading = start(target, "http://public.example/hop", "http://other.example/good", allow_private=False)
    reading.until(lambda: note(reading).startswith("2 of 3 feeds fail") and bool(reading.items), "two refusals")
    assert "is a private address; sources.allow_private = true would allow it" in note(reading)
    assert set(connected) == {PUBLIC_ADDRESS}
    assert "/hop" in site.paths()


def test_a_slow_host_holds_up_nobody_else(site: FeedSite, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    make_public(monkeypatch, site, ["slow.example", "fast.example"])
    released = threading.Event()

    def page(asked: Mapping[str, str]) -> Page:
        if asked["host"] == "slow.example":
            released.wait(30)
        return rss(entry(f"urn:{asked['host']}"))

    site.pages["/feed"] = page
    reading = start("http://slow.example/feed", "http://fast.example/feed")
    try:
        hosts = lambda: [asked["host"] for _, asked in site.asked]  # noqa: E731
        reading.until(lambda: hosts().count("fast.example") >= 5, "five looks at the fast one")
        assert [post.fields["id"] for post in reading.posts()] == ["urn:fast.example"]
    finally:
        released.set()
    reading.until(lambda: len(reading.items) == 2, "the slow one too")


def test_a_host_is_asked_at_its_pace(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    site.pages |= {"/one": rss(entry("urn:1")), "/two": rss(entry("urn:2")), "/three": rss(entry("urn:3"))}
    reading = start("/one", "/two", "/three", clock=clock, poll_seconds=3_600, host_seconds=10)
    for number in (1, 2, 3):
        reading.until(lambda number=number: len(reading.items) == number, f"feed {number}")  # type: ignore[misc]
        reading.once()
        assert len(site.asked) == number
        clock.advance(10)
    reading.once()
    assert len(site.asked) == 3


def test_a_host_that_asks_for_patience_gets_it_for_all_its_feeds(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    site.pages |= {"/one": (429, {"Retry-After": "900"}, b""), "/two": rss(entry("urn:2"))}
    reading = start("/one", "/two", clock=clock, poll_seconds=60)
    reading.until(lambda: reading.reader.vitals().errors == 1, "the refusal")
    clock.advance(899)
    reading.once()
    assert site.paths() == ["/one"]
    clock.advance(1)
    reading.until(lambda: bool(reading.items), "the other feed")


def test_a_host_whose_count_is_used_up_is_left_alone_before_it_refuses(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    count = {"X-Ratelimit-Remaining": "0.0", "X-Ratelimit-Reset": "300"}
    site.pages |= {"/one": (200, count, rss(entry("urn:1"))[2]), "/two": rss(entry("urn:2"))}
    reading = start("/one", "/two", clock=clock, poll_seconds=60)
    reading.until(lambda: len(reading.items) == 1, "the first feed")
    clock.advance(299)
    reading.once()
    assert site.paths() == ["/one"]
    clock.advance(1)
    reading.until(lambda: len(reading.items) == 2, "the second feed")


def test_refusals_in_a_row_are_further_and_further_apart(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    site.pages["/feed"] = (429, {}, b"")
    reading = start("/feed", clock=clock, poll_seconds=60)
    asked_at: list[float] = []
    for number in range(1, 9):
        while len(reading.waits) < number:
            reading.once()
        asked_at.append(clock.monotonic())
    waits = [after - before for before, after in itertools.pairwise(asked_at)]
    assert min(waits) >= 60
    assert max(waits) > 600


def test_feeds_that_share_an_entry_give_it_once(site: FeedSite, start: Start) -> None:
    site.pages |= {"/all": rss(entry("urn:1"), entry("urn:2")), "/some": rss(entry("urn:2"), entry("urn:3"))}
    reading = start("/all", "/some")
    reading.until(lambda: len(site.asked) >= 4, "two looks at each")
    assert sorted(str(post.fields["id"]) for post in reading.posts()) == ["urn:1", "urn:2", "urn:3"]


def test_a_fuller_text_of_a_shared_entry_is_given_too(site: FeedSite, start: Start) -> None:
    site.pages |= {"/short": rss(entry("urn:1", "a teaser")), "/long": rss(entry("urn:1", "a teaser, and acme"))}
    reading = start("/short", "/long")
    reading.until(lambda: len(site.asked) >= 6, "three looks at each")
    assert sorted(reading.texts()) == ["a teaser", "a teaser, and acme"]


def test_a_gap_is_given_before_what_comes_after_it_and_keeps_the_cursor(site: FeedSite, start: Start) -> None:
    site.pages["/feed"] = rss(entry("urn:1"))
    reading = start("/feed")
    reading.until(lambda: len(reading.items) == 1, "the first one")
    site.pages["/feed"] = rss(entry("urn:8"), entry("urn:9"))
    reading.until(lambda: len(reading.items) == 4, "the gap and two more")
    (gap,) = reading.gaps()
    assert "holds nothing any more" in gap.reason
    assert reading.items[1].content is gap
    cursors = [item.cursor for item in reading.items]
    # Only with its last entry a look is settled.
    assert cursors[1] == cursors[2] == cursors[0] != cursors[3]


def test_a_gap_begins_when_the_feed_was_last_read_though_it_held_nothing_new(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    site.pages["/feed"] = rss(entry("urn:1"))
    reading = start("/feed", clock=clock)
    reading.until(lambda: len(reading.items) == 1, "the first one")
    assert reading.reader.place() is None
    clock.advance(3_600.0)
    looked, asked = clock.now(), len(site.asked)
    reading.until(lambda: len(site.asked) > asked + 1, "another look")
    place = reading.reader.place()
    assert place not in (None, reading.items[0].cursor)
    clock.advance(3_600.0)
    site.pages["/feed"] = rss(entry("urn:8"))
    again = start("/feed", clock=clock, cursor=place)
    again.until(lambda: bool(again.gaps()), "the gap")
    assert again.gaps()[0].start >= looked


def test_an_entry_of_the_future_does_not_hide_how_far_behind_it_is(site: FeedSite, start: Start) -> None:
    clock = FakeClock()
    ahead = format_datetime(clock.now() + timedelta(hours=20))
    site.pages["/feed"] = rss(entry("urn:1", published=ahead))
    reading = start("/feed", clock=clock)
    reading.until(lambda: len(reading.items) == 1, "the entry")
    event_at = reading.reader.vitals().event_at
    assert event_at is not None
    assert event_at <= clock.now()
    site.pages["/feed"] = rss(entry("urn:1", published=ahead), entry("urn:2"))
    reading.until(lambda: len(reading.items) == 2, "another one")
    assert reading.gaps() == []


def test_killed_between_two_entries_it_loses_none(site: FeedSite, start: Start) -> None:
    site.pages["/feed"] = rss(*(entry(f"urn:{number}") for number in range(5)))
    reading = start("/feed")
    reading.until(lambda: len(reading.items) == 5, "all")
    for killed_after in range(5):
        again = start("/feed", cursor=reading.items[killed_after].cursor)
        again.until(lambda: again.reader.vitals().connected, "a look")  # noqa: B023
        expected = 0 if killed_after == 4 else 5
        again.until(lambda: len(again.items) >= expected, "the rest")  # noqa: B023
        assert len(again.items) == expected


def test_a_restart_counts_nothing_twice(site: FeedSite, start: Start, tmp_path: Path) -> None:
    clock = SystemClock()
    acme = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)
    site.pages["/feed"] = rss(*(entry(f"urn:{n}", f"about {('acme', 'nobody')[n % 2]} {n}") for n in range(20)))
    source = rss_source(RssSettings(feeds=(f"{site.address}/feed",), allow_private=True), clock)
    normaliser = Normaliser(source.name, source.normalise)
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", clock=clock)) as log:
        stage = IngestStage(log, BrandMatcher((acme,)), clock)
        cursor = None
        outcomes: list[Outcome] = []
        for fresh in (20, 0, 2):
            if fresh == 2:
                site.pages["/feed"] = rss(entry("urn:98"), *(entry(f"urn:{n}") for n in range(19)), entry("urn:99"))
            reading = start("/feed", cursor=cursor)
            reading.until(lambda: reading.reader.vitals().connected, "a look")  # noqa: B023
            reading.until(lambda: len(reading.items) >= fresh, "what is new")  # noqa: B023
            if reading.items:
                cursor = reading.items[-1].cursor
                state = [cursor_write(source.key, cursor)]
                handled = stage.handle(reading.items, normaliser, source=source.name, run=LIVE_RUN, state=state)
                outcomes += handled.outcomes
    assert outcomes[:20].count(Outcome.FILTERED) == outcomes[:20].count(Outcome.OK) == 10


def test_an_entry_kept_in_a_dead_letter_is_read_again() -> None:
    source = rss_source(RssSettings(feeds=("https://news.example/feed",)), SystemClock())
    with open_site() as site:
        site.pages["/feed"] = rss(entry("", "without an id, \ud83d acme".encode("utf-8", "replace").decode()))
        settings = RssSettings(feeds=(f"{site.address}/feed",), allow_private=True)
        with closing(rss_source(settings, SystemClock()).open(None)) as reader:
            reading = Reading(reader)
            reading.until(lambda: bool(reading.items), "the entry")
    (item,) = reading.items
    again = source.reread(item.raw, "dead:1")
    assert again.content == item.content
    assert again.position == "dead:1"
    owed = source.reread(item.raw, "dead:1", id_owed=True).content
    assert getattr(owed, "row", "") is None


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"entry": 1}', b'{"entry": {"tags": []}}', b"[" * 100_000])
def test_a_dead_letter_that_holds_no_entry_is_refused(payload: bytes) -> None:
    source = rss_source(RssSettings(feeds=("https://news.example/feed",)), SystemClock())
    with pytest.raises(ConfigError, match="no entry of a feed"):
        source.reread(payload, "dead:1")


def test_closing_does_not_wait_for_a_slow_host(site: FeedSite, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.feed_reader._JOIN_SECONDS", 0.05)
    released, asked = threading.Event(), threading.Event()

    def slow(_: Mapping[str, str]) -> Page:
        asked.set()
        released.wait(30)
        return rss()

    site.pages["/feed"] = slow
    reading = start("/feed")
    reading.until(asked.is_set, "the question")
    reading.reader.close()
    assert not released.is_set()
    released.set()


def test_a_hostile_entry_is_parked_by_itself(site: FeedSite, start: Start, tmp_path: Path) -> None:
    hostile: Sequence[str] = (
        entry("urn:1", "fine acme"),
        entry("x" * 5_000, "a long id acme"),
        entry("urn:2", "x" * 1_000_001),
        entry("urn:3", "<script>nothing to see</script>"),
        entry("urn:4", "fine too, acme"),
    )
    site.pages["/feed"] = rss(*hostile)
    reading = start("/feed")
    reading.until(lambda: len(reading.items) == 5, "all entries")
    clock = SystemClock()
    acme = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)
    source = rss_source(RssSettings(feeds=()), clock)
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", clock=clock)) as log:
        stage = IngestStage(log, BrandMatcher((acme,)), clock)
        normaliser = Normaliser(source.name, source.normalise)
        handled = stage.handle(reading.items, normaliser, source=source.name, run=LIVE_RUN)
    assert handled.outcomes.count(Outcome.OK) == 2
    assert handled.outcomes.count(Outcome.PARKED) == 3
