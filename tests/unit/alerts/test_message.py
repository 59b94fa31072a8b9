"""What a message says, in every shape, and that nothing people wrote does anything in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes.alert_texts import PEAK, alert, reading
from fakes.mentions import mention
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.channel import CHART_CID, Message
from alerts.drivers import Drivers
from alerts.evidence import Evidence, Reader
from alerts.links import Links
from alerts.message import alert_message
from alerts.notices import confirm_message, delayed_message, trial_message
from alerts.recipients import recipient_id
from alerts.records import Notification, Telling
from alerts.rule import Metric, Severity
from domain.measures import StandingOut

READER = Reader(Links("https://soundings.acme.example", b"k" * 32), ZoneInfo("Europe/Berlin"), PEAK)
ANN = "ann@acme.example"
VOID = {"meta", "img", "br"}


def told(telling: Telling = Telling.FIRING, **changed: Any) -> Notification:
    fields: dict[str, Any] = {
        "notification_id": "k1",
        "telling": telling,
        "channel": "mail",
        "recipient": ANN,
        "created_at": PEAK,
        "alert_ids": ("00001-ab",),
        "subscription": "press-office",
    }
    return Notification(**fields | changed)


def write(*found: Evidence, telling: Telling = Telling.FIRING) -> Message:
    return alert_message(told(telling), found, READER)


class Page(HTMLParser):
    """The elements, attributes and texts of a page; fails where an element is not closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_message_says_what_how_much_when_and_how_it_stands() -> None:
    message = write(Evidence(alert()))
    assert message.subject == "Acme: 84 negative mentions in an hour, about 6 are usual (14 times as many)"
    for sentence in (
        "20:30 to 21:30 on 1 Mar 2026 (Europe/Berlin): 84 negative mentions of Acme.",
        "At this time of day and week 6 are usual; up to 14 would not be strange.",
        "By chance this happens about once in 10,000 such windows of an hour.",
        "The mentions come from 61 authors and tell 57 different stories.",
        "It goes on since 1 Mar 2026, 21:00 (Europe/Berlin).",
    ):
        assert sentence in message.text
        assert sentence in " ".join(Page(message.html).texts)
        assert sentence in [line.text for line in message.lines]
    assert "little history" not in message.text


def test_a_brand_with_little_history_says_so_below_its_subject() -> None:
    message = write(Evidence(alert(reading=reading(little_history=True))))
    assert "little history" not in message.subject
    assert "There is little history of this brand yet" in message.text


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        (Metric.VOLUME, {}, "84 mentions of Acme."),
        (Metric.NEGATIVE_SHARE, {"observed": 0.62, "expected": 0.31, "high": 0.4}, "62 % of 84 mentions of Acme"),
        (Metric.NET_SENTIMENT, {"observed": -0.42, "expected": -0.05, "low": -0.2}, "down to −20 would not be strange"),
        (Metric.NEGATIVE, {"observed": 12.0, "expected": 0.2, "high": 1.5}, "0.2 are usual; up to 1.5"),
    ],
)
def test_every_metric_is_told_in_its_own_unit(metric: Metric, values: dict[str, float], said: str) -> None:
    message = write(Evidence(alert(metric=metric, reading=reading(metric, ratio=None, **values))))
    assert said in message.text


def test_it_shows_what_drives_it_and_links_to_where_to_look() -> None:
    found = Evidence(
        alert(),
        Drivers(words=(StandingOut("leaks", 9.0, 40, 41),), authors=(StandingOut("ann", 3.0, 7, 7),)),
        (mention("1", text="the lid leaks", author_handle="bob", url="https://x.example/1"),),
        b"png",
        "Chart of negative mentions",
    )
    message = write(found)
    page = Page(message.html)
    assert "leaks (40)" in message.text
    assert "ann (7)" in message.text
    assert "“the lid leaks”" in message.text
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert "https://x.example/1" in links
    assert "https://soundings.acme.example/alerts/00001-ab" in links
    (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert (image["src"], image["alt"]) == (f"cid:{CHART_CID}", "Chart of negative mentions")
    opened = {READER.links.open(str(link).rpartition("/")[2], PEAK).purpose for link in links if "/told/" in str(link)}
    assert opened == {"acknowledge", "mark", "unsubscribe"}
    assert READER.links.open(message.unsubscribe.rpartition("/")[2], PEAK).subject == recipient_id(ANN)


def test_what_was_seen_or_is_over_asks_nobody_to_see_it() -> None:
    seen = write(Evidence(alert(acknowledged_at=PEAK, acknowledged_by="Ann")))
    over = write(Evidence(alert(resolved_at=PEAK + timedelta(hours=2))), telling=Telling.RESOLVED)
    assert "Ann has seen it" in seen.text
    assert "after 2 hours 30 minutes" in over.text
    assert over.subject.startswith("Over: Acme")
    for message in (seen, over):
        assert "I have seen it" not in message.text + message.html
        assert message.payload["alerts"][0]["links"]["acknowledge"] is None


def test_of_several_alerts_the_most_urgent_that_goes_on_comes_first() -> None:
    over = Evidence(alert(alert_id="1", brand="Old", resolved_at=PEAK))
    warning = Evidence(alert(alert_id="2", brand="Warm", severity=Severity.WARNING))
    critical = Evidence(alert(alert_id="3", brand="Hot"))
    message = write(over, warning, critical, telling=Telling.REPEAT)
    assert message.subject.startswith("Still: Hot: 84 negative mentions")
    assert message.subject.endswith("(and 2 other alerts)")
    assert [each["alert_id"] for each in message.payload["alerts"]] == ["3", "2", "1"]
    assert message.text.index("Warning: ") < message.text.index("It is over")


def test_what_is_new_in_a_message_comes_first() -> None:
    old = alert(alert_id="1", brand_id="", brand="", reason="The source rss cannot be heard.")
    disk = alert(alert_id="2", brand_id="", reason="The disk is nearly full.", severity=Severity.WARNING)
    channel = alert(alert_id="3", brand_id="", reason="Messages wait.", severity=Severity.INFO)
    later = PEAK + timedelta(minutes=20)
    group = [Evidence(old), *(Evidence(replace(each, fired_at=later)) for each in (channel, disk))]
    firing = told(alert_ids=("2", "3", "1"))
    message = alert_message(firing, group, READER)
    assert message.subject == "The disk is nearly full. (and 2 other alerts)"
    assert [each["alert_id"] for each in message.payload["alerts"]] == ["2", "3", "1"]
    repeated = alert_message(replace(firing, telling=Telling.REPEAT), group, READER)
    assert repeated.subject.startswith("Still: The source rss")


def test_when_one_of_several_is_over_its_subject_says_which() -> None:
    over = alert(alert_id="1", brand="Old", severity=Severity.INFO, resolved_at=PEAK)
    group = [Evidence(over), Evidence(alert(alert_id="2", brand="Hot"))]
    message = alert_message(told(Telling.RESOLVED, alert_ids=("2", "1")), group, READER)
    assert message.subject.startswith("Over: Old: 84 negative mentions")


def test_an_alert_of_the_pipeline_is_its_sentence() -> None:
    message = write(Evidence(alert(brand_id="", brand="", reason="Bluesky has been silent for 20 minutes")))
    assert message.subject == "Bluesky has been silent for 20 minutes"
    assert message.payload["alerts"][0]["metric"] is None
    assert "negative" not in message.text


@given(st.text(st.characters(codec=None), max_size=80))
@example('"><script>alert(1)</script>')
@example("<img src=x onerror=alert(1)>")
@example("</td></tr></table><h1>You have won</h1>")
@example("a\r\nBcc: eve@evil.example")
@example("\u202egnp.elif")
@example("x" * 5000)
def test_nothing_that_people_wrote_is_markup_or_a_header(hostile: str) -> None:
    post = mention(
        "1", text=hostile or "x", author_handle=hostile, author_name=hostile, source=hostile or "x", url=hostile
    )
    drivers = Drivers(words=(StandingOut(hostile, 1.0, 2, 2),), authors=(StandingOut(hostile, 1.0, 2, 2),))
    bare = write(Evidence(alert(), Drivers(words=(StandingOut("w", 1.0, 2, 2),), authors=drivers.authors)))
    message = alert_message(
        told(subscription=hostile),
        [Evidence(alert(brand=hostile, acknowledged_by=hostile, query=hostile), drivers, (post,))],
        READER,
    )
    page = Page(message.html)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(bare.html).elements}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "srcdoc" for name in attributes)
        assert tag != "a" or str(attributes["href"]).startswith(("https://", "http://"))
    assert len(message.subject.splitlines()) <= 1
    assert len(message.subject) <= 180
    message.text.encode()
    json.dumps(message.payload)


def test_an_address_that_would_do_something_is_no_link() -> None:
    for url in ("javascript:alert(1)", "data:text/html,x", "https://x.example/\u202egpj"):
        message = write(Evidence(alert(), samples=(mention("1", url=url),)))
        assert "original" not in message.html
        assert url not in message.text


def test_the_payload_gives_values_to_programs() -> None:
    found = Evidence(alert(), Drivers(words=(StandingOut("leaks", 9.0, 40, 41),)), (mention("1", text="<b>raw</b>"),))
    payload = write(found).payload
    assert (payload["schema_version"], payload["id"], payload["telling"]) == (1, "k1", "firing")
    (one,) = payload["alerts"]
    assert (one["observed"], one["expected"], one["usual"]) == (84.0, 6.2, [1.0, 14.0])
    assert (one["state"], one["started_at"]) == ("firing", "2026-03-01T20:00:00.000Z")
    assert one["words"] == [{"value": "leaks", "mentions": 40, "mentions_in_28_days": 41}]
    # Whoever shows it escapes it, as docs/messages.md says.
    assert one["samples"][0]["text"] == "<b>raw</b>"


def test_without_a_public_address_there_are_no_links() -> None:
    reader = replace(READER, links=Links("", b""))
    message = alert_message(told(recipient=""), [Evidence(alert())], reader)
    assert "http" not in message.text + message.html
    assert message.unsubscribe == ""


def notices() -> Sequence[Message]:
    detail = {"behind_minutes": 12, "sources": ["bluesky", "<b>"]}
    return [
        confirm_message(told(Telling.CONFIRM), READER),
        trial_message(told(Telling.TEST), READER),
        delayed_message(told(Telling.DELAYED, detail=detail), READER),
    ]


def test_notices_are_whole_in_every_shape() -> None:
    confirm, trial, delayed = notices()
    for message in (confirm, trial, delayed):
        Page(message.html)
        assert message.text
        assert message.lines
        assert message.payload["sentences"]
    token = confirm.text.rpartition("/told/")[2].split()[0]
    assert READER.links.open(token, PEAK).purpose == "confirm"
    assert confirm.unsubscribe == ""
    assert "12 minutes old. It waits for bluesky, <b>." in delayed.text
    assert "<b>" not in delayed.html
