"""The pages of alerts over a crisis that the evaluator found: what they show, what they change, what they refuse."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fakes.alert_pages_world import HOSTILE_RULE, OWN, AlertPagesWorld, hush, note_pulse, open_alert_pages
from fakes.alert_world import CRISIS, crisis

from alerts.book import AlertBook
from alerts.evaluator import EVALUATOR
from alerts.health import HealthCondition
from alerts.health_book import alert_of_condition
from alerts.lease import Lease
from alerts.recipients import Recipients
from alerts.records import Telling
from alerts.rule import Severity
from alerts.stored import ALERT, alert_body
from domain.clock import to_ms
from domain.documents import Change

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertPagesWorld]:
    """A crisis that nobody touches."""
    with open_alert_pages(tmp_path_factory.mktemp("alerts")) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlertPagesWorld]:
    with open_alert_pages(tmp_path) as world:
        yield world


def words(markup: str) -> str:
    """Give the text of a page as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def shown(world: AlertPagesWorld, path: str, status: int = 200) -> str:
    answer = world.send("GET", path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def part(markup: str, name: str) -> str:
    """Give the words of the section with a heading of this id."""
    (section,) = re.findall(rf'<section[^>]*aria-labelledby="{name}".*?</section>', markup, re.DOTALL)
    return words(section)


def test_the_page_says_what_fires_what_rules_see_and_that_somebody_looks(still: AlertPagesWorld) -> None:
    page = shown(still, "/alerts")
    assert "Looked just now at 4 pairs of rule and brand" in words(page)
    firing = part(page, "firing")
    assert "Critical Acme : Spike of negative mentions" in firing
    assert f"{still.alert().reading.observed:.0f} negative mentions in an hour" in firing
    assert "Nobody has seen it yet." in firing
    assert "Not told: a more urgent alert of the same brand fires." in firing
    assert "2 firing, 2 as usual" in part(page, "watches")
    # The calm ones come last.
    seen = part(page, "watches")
    assert seen.index("Firing") < seen.index("Globex") < seen.index("As usual")


def test_a_look_that_is_overdue_is_said(world: AlertPagesWorld) -> None:
    world.world.clock.advance(12 * 60)
    page = words(shown(world, "/alerts"))
    assert "Nothing was looked at since" in page
    assert "(12 min): nobody is told of anything" in page
    # Somebody is at it, and does not come to its end.
    assert Lease(world.world.documents, EVALUATOR, "box/7").take(world.world.clock.now())
    assert "though box/7 is at it" in words(shown(world, "/alerts"))


def test_a_look_that_lags_and_one_that_never_was_are_said(tmp_path: Path) -> None:
    with open_alert_pages(tmp_path, fires=False) as world:
        assert "Nothing was ever looked at here" in words(shown(world, "/alerts"))
        assert "There never was one." in part(shown(world, "/alerts"), "history")
        note_pulse(world.world, 4, CRISIS - HOUR, late=True)
        assert "so alerts come 1 h late" in words(shown(world, "/alerts"))


def test_a_spike_that_nobody_is_told_of_says_why(tmp_path: Path) -> None:
    with open_alert_pages(tmp_path, fires=False) as world:
        world.world.history()
        world.world.look(CRISIS)
        world.world.write(crisis(author_id="bot", author_handle="bot"))
        world.world.look(CRISIS + HOUR)
        assert "a spike by its numbers, but too few authors, or one of them wrote most of it" in part(
            shown(world, "/alerts"), "watches"
        )


def test_one_alert_says_how_unusual_who_drives_it_and_shows_posts(still: AlertPagesWorld) -> None:
    page = shown(still, f"/alerts/{still.alert().alert_id}")
    assert "less often than once in 1,000,000 such windows of an hour" in part(page, "what")
    assert "leaks 100" in part(page, "drivers")
    assert page.count('<p class="text"') == 5
    assert part(page, "chart").count("2026-03-15") > 10
    assert 'class="observed" d="M' in page
    # The source was deaf for an hour of the day that is drawn.
    assert "x did not listen for 1 h" in page


def test_the_chart_ends_with_the_last_bucket_that_was_judged(world: AlertPagesWorld) -> None:
    alert_id = world.alert().alert_id
    world.world.clock.set(CRISIS + 58 * MINUTE)

    def last() -> str:
        return str(world.send("GET", f"/api/alerts/{alert_id}").json()["readings"][-1]["end"])

    note_pulse(world.world, 4, CRISIS + 57 * MINUTE)
    assert datetime.fromisoformat(last()) == CRISIS + 55 * MINUTE
    note_pulse(world.world, 4, CRISIS + 41 * MINUTE, late=True)
    assert datetime.fromisoformat(last()) == CRISIS + 40 * MINUTE


def test_an_alert_leads_to_the_mentions_that_it_counted(still: AlertPagesWorld) -> None:
    alert = still.alert()
    (address,) = re.findall(r'class="button-link" href="([^"]*)"', shown(still, f"/alerts/{alert.alert_id}"))
    found = still.send("GET", html.unescape(address).replace("/?", "/api/mentions?", 1)).json()
    assert found["total"] == alert.reading.observed
    assert {one["sentiment"] for one in found["mentions"]} == {"negative"}


def test_hostile_names_and_posts_are_shown_as_text(still: AlertPagesWorld) -> None:
    for path in ("/", "/alerts", f"/alerts/{still.alert('loud').alert_id}", "/alerts/subscriptions"):
        page = shown(still, path)
        assert HOSTILE_RULE in html.unescape(page), path
        assert "<script>" not in page
        assert "<b>&" not in page
        assert not re.search(r"<[^<>]*\s(style|on\w+)=", page)
        assert not re.search(r'href="(?!/|https?://|#)', page)


@pytest.mark.parametrize("path", ["/alerts", "/alerts/subscriptions", "/alerts/nobody", "/told/x.y"])
def test_every_page_carries_the_policy(still: AlertPagesWorld, path: str) -> None:
    answer = still.send("GET", path)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "<style" not in answer.text


@pytest.mark.parametrize("path", ["/alerts/nobody", "/alerts/00000000000000-0", "/alerts/%20x", "/alerts/é"])
def test_an_alert_that_is_not_there_is_said(still: AlertPagesWorld, path: str) -> None:
    assert "expected the id of an alert" in words(shown(still, path, 404))


def test_the_first_page_says_what_fires_and_marks_it_on_the_timeline(still: AlertPagesWorld) -> None:
    alert = still.alert()
    page = shown(still, "/")
    assert page.index("negative mentions in an hour") < page.index('id="counts"')
    assert page.count(f'class="alert-mark" href="/alerts/{alert.alert_id}"') == 1
    # Of another brand nothing fires.
    other = shown(still, "/?brand=globex")
    assert "note alarm" not in other
    assert "alert-mark" not in other
    assert "note alarm" in shown(still, "/?brand=acme")


def test_every_bar_of_the_timeline_leads_to_the_mentions_that_it_counts(still: AlertPagesWorld) -> None:
    page = shown(still, "/?brand=acme&q=leaks+OR+kind")
    bars = re.findall(r'<a class="bin" href="([^"]*)"[^>]*><title>[^<]*: ([\d,]+) mentions?', page)
    assert len(bars) > 10
    total = 0
    for address, number in bars:
        asked = html.unescape(address).replace("/?", "/api/mentions?limit=1&", 1)
        assert still.send("GET", asked).json()["total"] == int(number.replace(",", ""))
        total += int(number.replace(",", ""))
    assert total == still.send("GET", "/api/mentions?brand=acme&q=leaks+OR+kind").json()["total"]


def test_an_alert_is_acknowledged_marked_and_the_rule_is_judged_by_it(world: AlertPagesWorld) -> None:
    alert_id = world.alert().alert_id
    for act, told in (("acknowledge", "it has been seen"), ("useful", "Noted as useful")):
        answer = world.send("POST", f"/alerts/{alert_id}", form={"act": act})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/alerts/{alert_id}?done={act}")
        assert told in words(shown(world, answer.headers["location"]))
    alert = world.alert()
    assert (alert.acknowledged_by, alert.mark, alert.marked_by) == ("somebody on the page", "useful", alert.marked_by)
    page = shown(world, "/alerts")
    assert "Seen by somebody on the page" in part(page, "firing")
    assert "1 1 0 100 %" in part(page, "rules")
    taken = world.send("POST", f"/alerts/{alert_id}", form={"act": "unmark", "back": "list"})
    assert taken.headers["location"] == "/alerts?done=unmark"
    assert world.alert().mark == ""


def test_what_is_said_on_the_page_is_published_by_whoever_may(world: AlertPagesWorld) -> None:
    alert_id, published = world.alert().alert_id, []
    world.send("POST", f"/alerts/{alert_id}", form={"act": "acknowledge"})
    world.send("POST", f"/alerts/{alert_id}", form={"act": "noise"})
    evaluator = AlertBook(world.world.documents, published.extend)
    assert evaluator.publish_noted() == 1
    assert [(one.alert_id, one.mark, one.acknowledged_by) for one in published] == [
        (alert_id, "noise", "somebody on the page")
    ]
    assert evaluator.publish_noted() == 0


def test_an_alert_is_silenced_and_the_silence_is_ended(world: AlertPagesWorld) -> None:
    alert_id = world.alert().alert_id
    answer = world.send("POST", f"/alerts/{alert_id}", form={"act": "silence", "hours": "2"})
    assert answer.status_code == 303
    (made,) = world.book.silences()
    assert (made.brands, made.rules, made.end - made.start) == (("acme",), ("negative-spike",), 2 * HOUR)
    assert "Silenced." in part(shown(world, "/alerts"), "firing")
    ended = world.send("POST", "/alerts/silences", form={"act": "end", "silence_id": made.silence_id})
    assert ended.headers["location"] == "/alerts?done=end"
    assert world.book.silences() == []
    assert "Silenced." not in part(shown(world, "/alerts"), "firing")


def test_silences_are_made_of_what_is_chosen_and_say_who_and_why(world: AlertPagesWorld) -> None:
    hush(world)
    form = {"act": "silence", "brand": "", "rule": "loud", "severity": "warning", "hours": "0.5", "why": "launch"}
    assert world.send("POST", "/alerts/silences", form=form).status_code == 303
    page = part(shown(world, "/alerts"), "silences")
    assert "All brands rule loud warning" in page
    assert "somebody on the page launch" in page
    assert "Globex" in page
    # One that is over is of no interest any more.
    world.world.clock.advance(4 * 3600)
    assert "Globex" not in part(shown(world, "/alerts"), "silences").partition("Silence something")[0]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"act": "silence", "hours": "4"}, "it would hide every alert"),
        ({"act": "silence", "brand": "nobody", "hours": "4"}, "some of acme, globex"),
        ({"act": "silence", "brand": "acme", "hours": "0"}, "more than 0, and 8,760 at most"),
        ({"act": "silence", "brand": "acme", "hours": "nan"}, "more than 0"),
        ({"act": "silence", "brand": "acme", "hours": "1e9"}, "8,760 at most"),
        ({"act": "end", "silence_id": "nobody"}, "the id of a silence"),
        ({"act": "burn"}, "one of silence, end"),
        ({}, "one of silence, end"),
    ],
)
def test_what_cannot_be_silenced_says_why(still: AlertPagesWorld, form: dict[str, str], expected: str) -> None:
    answer = still.send("POST", "/alerts/silences", form=form)
    assert answer.status_code in (400, 404)
    assert expected in words(answer.text)
    assert still.book.silences() == []


@pytest.mark.parametrize("form", [{"act": "burn"}, {}, {"act": "silence", "hours": "-1"}])
def test_what_cannot_be_said_to_an_alert_says_why(still: AlertPagesWorld, form: dict[str, str]) -> None:
    answer = still.send("POST", f"/alerts/{still.alert().alert_id}", form=form)
    assert answer.status_code in (400, 404)
    assert 'role="alert"' in answer.text
    assert still.alert().acknowledged_at is None


@pytest.mark.parametrize("origin", ["", "https://evil.example", "null", "http://127.0.0.1:9"])
@pytest.mark.parametrize("path", ["/alerts/{}", "/alerts/silences", "/alerts/subscriptions", "/told/x"])
def test_a_form_of_a_stranger_changes_nothing(still: AlertPagesWorld, path: str, origin: str) -> None:
    form = {"act": "acknowledge"}
    answer = still.send(
        "POST", path.format(still.alert().alert_id), form=form, headers={"Origin": origin} if origin else {}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert still.alert().acknowledged_at is None


def test_what_is_over_moves_from_the_front_to_the_history(world: AlertPagesWorld) -> None:
    world.world.minutes(CRISIS + timedelta(minutes=41), CRISIS + 3 * HOUR)
    page = shown(world, "/alerts")
    assert "Nothing." in part(page, "firing")
    assert "lasted" in part(page, "history")
    assert "It is over: it lasted" in part(shown(world, f"/alerts/{world.alert().alert_id}"), "what")
    assert "note alarm" not in shown(world, "/")


def test_a_trouble_of_the_pipeline_stands_beside_the_brands_and_is_silenced_by_its_kind(
    world: AlertPagesWorld,
) -> None:
    sentence = "Bluesky <b>is silent</b> for 9 minutes; it usually speaks every 2 seconds"
    condition = HealthCondition(
        condition_id="deaf:bluesky", severity=Severity.CRITICAL, sentence=sentence, since=CRISIS
    )
    alert = alert_of_condition(condition, world.world.clock.now())
    world.world.documents.apply([Change(ALERT, alert.alert_id, alert_body(alert))])
    assert f"Pipeline : {alert.rule} {sentence}" in part(shown(world, "/alerts"), "firing")
    page = shown(world, f"/alerts/{alert.alert_id}")
    assert sentence in part(page, "what")
    assert 'id="chart"' not in page
    assert 'href="/pipeline">See the pipeline' in page
    # The first page is about brands.
    assert sentence not in html.unescape(shown(world, "/"))
    assert world.send("POST", f"/alerts/{alert.alert_id}", form={"act": "silence", "hours": "1"}).status_code == 303
    (made,) = world.book.silences()
    assert (made.brands, made.rules) == ((), (alert.rule_id,))
    by_form = {"act": "silence", "rule": alert.rule_id, "hours": "1"}
    assert world.send("POST", "/alerts/silences", form=by_form).status_code == 303
    told = {"act": "add", "channel": "hook", "audience": "it", "rules": [alert.rule_id], "timezone": "UTC"}
    assert world.send("POST", "/alerts/subscriptions", form=told).status_code == 303
    told = {**told, "audience": "marketing"}
    assert world.send("POST", "/alerts/subscriptions", form=told).status_code == 400


def test_history_is_read_page_by_page(world: AlertPagesWorld) -> None:
    alert = world.alert()
    bodies = [
        Change(ALERT, f"{to_ms(CRISIS - number * HOUR):014d}-{number:016x}", alert_body(alert)) for number in range(60)
    ]
    world.world.documents.apply(bodies)
    seen: list[str] = []
    path = "/alerts"
    while path:
        page = shown(world, path)
        (section,) = re.findall(r'aria-labelledby="history".*?</section>', page, re.DOTALL)
        seen += re.findall(r'<th scope="row"><a href="/alerts/([^"]*)"', section)
        found = re.search(r'rel="next" href="([^"]*)"', section)
        path = html.unescape(found[1]).partition("#")[0] if found else ""
    assert len(seen) == len(set(seen)) == 62
    assert seen == sorted(seen, reverse=True)


def test_who_is_told_is_listed_and_an_address_that_did_not_agree_says_so(still: AlertPagesWorld) -> None:
    page = part(shown(still, "/alerts/subscriptions"), "subscriptions")
    assert "hook webhook the pipeline's own health at once the configuration Send a test" in page
    assert "team@acme.example by mail Acme <b>& Sons</b> at once Not yet: the address has not agreed, or left" in page


FORM: dict[str, str | list[str]] = {
    "act": "add",
    "channel": "mail",
    "recipient": "Ann@acme.example",
    "brands": ["acme", "globex"],
    "severity": "warning",
    "audience": "marketing",
    "quiet_from": "22:00",
    "quiet_to": "07:00",
    "timezone": "Europe/Berlin",
    "digest": "daily",
}


def test_a_subscription_is_made_asked_confirmed_tested_and_removed(world: AlertPagesWorld) -> None:
    made = world.send("POST", "/alerts/subscriptions", form=FORM)
    assert (made.status_code, made.headers["location"]) == (303, "/alerts/subscriptions?done=add")
    (kept,) = world.book.subscriptions()
    assert kept.brands == ("acme", "globex")
    assert (kept.quiet_hours, kept.timezone, kept.digest, kept.resolved) == (
        "22:00-07:00",
        "Europe/Berlin",
        "daily",
        False,
    )
    asked = world.due("mail")
    assert [(one.telling, one.recipient) for one in asked] == [(Telling.CONFIRM, "Ann@acme.example")]
    page = part(shown(world, made.headers["location"]), "subscriptions")
    assert "Ann@acme.example by mail Acme <b>& Sons</b>, Globex, warning and above not of their end" in page
    assert "not 22:00-07:00 (Europe/Berlin), daily summary Not yet: the address has not agreed, or left" in page
    # Nobody who did not agree gets even a test.
    test = {"act": "test", "subscription_id": kept.subscription_id}
    refused = world.send("POST", "/alerts/subscriptions", form=test)
    assert refused.status_code == 409
    assert len(world.due("mail")) == 1
    Recipients(world.world.documents).confirm("ann@acme.example", world.world.clock.now())
    assert world.send("POST", "/alerts/subscriptions", form=test).status_code == 303
    assert {one.telling for one in world.due("mail")} == {Telling.CONFIRM, Telling.TEST}
    removed = world.send("POST", "/alerts/subscriptions", form={**test, "act": "remove"})
    assert removed.headers["location"] == "/alerts/subscriptions?done=remove"
    assert world.book.subscriptions() == []


def test_each_press_of_the_button_is_a_test_of_its_own(world: AlertPagesWorld) -> None:
    form = {"act": "test", "subscription_id": "on-call"}
    for _ in range(2):
        assert world.send("POST", "/alerts/subscriptions", form=form).status_code == 303
    found = world.due("hook")
    assert [one.telling for one in found] == [Telling.TEST, Telling.TEST]
    assert len({one.notification_id for one in found}) == 2


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"channel": "pigeon"}, "expected one of mail, hook"),
        ({"recipient": "nobody"}, "expected an address such as"),
        ({"recipient": "a@b.example, c@d.example"}, "expected an address such as"),
        ({"recipient": "a@b.example\r\nBcc: c@d.example"}, "expected an address such as"),
        ({"brands": ["nobody"]}, "expected some of acme, globex"),
        ({"rules": ["nobody"]}, "expected some of loud, negative-spike"),
        ({"severity": "deadly"}, "expected one of info, warning, critical"),
        ({"audience": "everybody"}, "expected one of marketing, it"),
        ({"quiet_to": ""}, "expected two different times of day such as 22:00-07:00"),
        ({"timezone": "Middle/Earth"}, "expected a zone such as Europe/Berlin"),
        ({"digest": "hourly"}, "expected one of none, daily, weekly"),
    ],
)
def test_a_subscription_that_cannot_be_says_why_and_keeps_what_was_typed(
    still: AlertPagesWorld, changed: dict[str, str | list[str]], expected: str
) -> None:
    answer = still.send("POST", "/alerts/subscriptions", form=FORM | changed)
    assert answer.status_code == 400
    assert expected in words(answer.text)
    if "timezone" not in changed:
        assert 'value="Europe/Berlin"' in answer.text
    assert still.book.subscriptions() == []
    assert still.due("mail") == []


@pytest.mark.parametrize(
    ("act", "subscription_id", "status"), [("remove", "brand-team", 409), ("remove", "x", 404), ("burn", "x", 404)]
)
def test_a_subscription_of_the_configuration_stays(
    still: AlertPagesWorld, act: str, subscription_id: str, status: int
) -> None:
    form = {"act": act, "subscription_id": subscription_id}
    assert still.send("POST", "/alerts/subscriptions", form=form).status_code == status
    assert "team@acme.example" in shown(still, "/alerts/subscriptions")


def test_without_the_address_of_the_page_no_e_mail_is_promised(world: AlertPagesWorld) -> None:
    world.desk.public = False
    assert "needs web.public_url" in shown(world, "/alerts/subscriptions")
    answer = world.send("POST", "/alerts/subscriptions", form=FORM)
    assert answer.status_code == 400
    assert "web.public_url" in words(answer.text)
    assert world.book.subscriptions() == []
    # A webhook holds no link that anybody must follow.
    form = {"act": "add", "channel": "hook", "timezone": "UTC", "resolved": "yes"}
    assert world.send("POST", "/alerts/subscriptions", form=form, headers=OWN).status_code == 303
