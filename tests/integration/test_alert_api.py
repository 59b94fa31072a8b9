"""The JSON API of alerts over a crisis that the evaluator found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fakes.alert_pages_world import AlertPagesWorld, open_alert_pages
from fakes.alert_world import CRISIS

from alerts.recipients import Recipients
from alerts.records import Telling


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertPagesWorld]:
    """A crisis that nobody touches."""
    with open_alert_pages(tmp_path_factory.mktemp("api")) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlertPagesWorld]:
    with open_alert_pages(tmp_path) as world:
        yield world


def get(world: AlertPagesWorld, path: str, status: int = 200) -> Any:
    answer = world.send("GET", path)
    assert answer.status_code == status, answer.text
    return answer.json()


def sent(world: AlertPagesWorld, method: str, path: str, json: object = None, status: int = 200) -> Any:
    answer = world.send(method, path, json=json)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_alerts_are_told_with_what_is_unusual(still: AlertPagesWorld) -> None:
    answer = get(still, "/api/alerts?rule=negative-spike")
    (alert,) = answer["alerts"]
    assert alert["brand_id"] == "acme"
    assert alert["words"].startswith("100 negative mentions in an hour")
    assert (alert["resolved_at"], alert["mark"], alert["severity"]) == (None, "", "critical")
    assert alert["reading"]["observed"] > alert["reading"]["high"] > alert["reading"]["expected"]
    assert answer["next_after"] is None


@pytest.mark.parametrize(
    ("asked", "number"),
    [("", 2), ("brand=acme", 2), ("brand=globex", 0), ("firing=true", 2), ("firing=false", 0), ("rule=loud", 1)],
)
def test_alerts_are_chosen_by_brand_rule_and_whether_they_fire(still: AlertPagesWorld, asked: str, number: int) -> None:
    assert len(get(still, f"/api/alerts?{asked}")["alerts"]) == number


def test_pages_of_alerts_lead_through_all_of_them_once(still: AlertPagesWorld) -> None:
    first = get(still, "/api/alerts?limit=1")
    second = get(still, f"/api/alerts?limit=1&after={first['next_after']}")
    ids = [one["alert_id"] for page in (first, second) for one in page["alerts"]]
    assert ids == [one.alert_id for one in still.book.newest(10)]


def test_one_alert_comes_with_its_windows_and_what_drives_it(still: AlertPagesWorld) -> None:
    alert = still.alert()
    whole = get(still, f"/api/alerts/{alert.alert_id}")
    ends = [datetime.fromisoformat(one["end"]) for one in whole["readings"]]
    assert ends == sorted(ends)
    assert ends[0] >= alert.started_at - timedelta(hours=24)
    assert max(one["observed"] for one in whole["readings"]) == alert.reading.observed
    # What it saw then is what is drawn now.
    peak = next(one for one in whole["readings"] if datetime.fromisoformat(one["end"]) == alert.peak_at)
    assert peak["surprise"] == pytest.approx(alert.reading.surprise)
    assert {one["word"] for one in whole["words"]} >= {"leaks", "lid"}
    assert len(whole["samples"]) == 5
    assert all(get(still, f"/api/mentions/{one}")["brand_id"] == "acme" for one in whole["samples"])


def test_what_every_rule_sees_is_told(still: AlertPagesWorld) -> None:
    answer = get(still, "/api/watches")
    assert answer["evaluator"]["mood"] == "good"
    assert answer["states"] == {"Firing": 2, "As usual": 2}
    assert {(one["brand_id"], one["state"]) for one in answer["watches"]} == {("acme", "firing"), ("globex", "quiet")}
    assert [one["rule_id"] for one in answer["rules"]] == ["negative-spike", "loud"]


def test_an_alert_is_acknowledged_marked_and_silenced(world: AlertPagesWorld) -> None:
    path = f"/api/alerts/{world.alert().alert_id}"
    seen = sent(world, "POST", f"{path}/acknowledge")
    assert seen["acknowledged_by"] == "somebody on the page"
    assert sent(world, "POST", f"{path}/mark", {"mark": "noise"})["mark"] == "noise"
    (rule, _) = get(world, "/api/watches")["rules"]
    assert rule["usefulness"] == {"alerts": 1, "useful": 0, "noise": 1, "share": 0.0}
    made = sent(world, "POST", f"{path}/silence", {"hours": 2}, 201)
    assert (made["brands"], made["rules"]) == (["acme"], ["negative-spike"])
    assert get(world, "/api/silences")["silences"] == [made]
    assert sent(world, "DELETE", f"/api/silences/{made['silence_id']}") == {"ended": made["silence_id"]}
    assert get(world, "/api/silences")["silences"] == []


def test_a_subscription_is_made_tested_and_removed(world: AlertPagesWorld) -> None:
    body = {"channel": "mail", "recipient": "ann@acme.example", "brands": ["acme"], "digest": "weekly"}
    made = sent(world, "POST", "/api/subscriptions", body, 201)
    assert (made["confirmed"], made["configured"], made["digest"]) == (False, False, "weekly")
    twice = sent(world, "POST", "/api/subscriptions", body | {"recipient": "Ann@ACME.example"}, 409)
    assert twice["error"]["code"] == "subscription_there"
    path = f"/api/subscriptions/{made['subscription_id']}"
    assert sent(world, "POST", f"{path}/test", status=409)["error"]["code"] == "not_confirmed"
    Recipients(world.world.documents).confirm("ann@acme.example", CRISIS)
    assert sent(world, "POST", f"{path}/test", status=202) == {"subscription_id": made["subscription_id"]}
    assert Telling.TEST in {one.telling for one in world.due("mail")}
    listed = get(world, "/api/subscriptions")
    assert [one["subscription_id"] for one in listed["subscriptions"]] == [
        "on-call",
        "brand-team",
        made["subscription_id"],
    ]
    assert listed["subscriptions"][-1]["confirmed"]
    assert sent(world, "DELETE", path) == {"removed": made["subscription_id"]}
    assert sent(world, "DELETE", path, status=404)["error"]["code"] == "no_such_subscription"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/alerts/nobody", None, 404, "no_such_alert"),
        ("GET", "/api/alerts?limit=0", None, 422, "bad_parameter"),
        ("GET", "/api/alerts?after=%00", None, 422, "bad_parameter"),
        ("POST", "/api/alerts/nobody/acknowledge", None, 404, "no_such_alert"),
        ("POST", "/api/alerts/nobody/mark", {"mark": "noise"}, 404, "no_such_alert"),
        ("POST", "/api/alerts/{}/mark", {"mark": "nonsense"}, 422, "bad_parameter"),
        ("POST", "/api/alerts/{}/silence", {"hours": 0}, 400, "bad_silence"),
        ("POST", "/api/alerts/{}/silence", {"hours": 1, "for": "ever"}, 422, "bad_parameter"),
        ("POST", "/api/silences", {"hours": 1}, 400, "bad_silence"),
        ("POST", "/api/silences", {"hours": 1, "brands": ["nobody"]}, 400, "bad_silence"),
        ("DELETE", "/api/silences/nobody", None, 404, "no_such_silence"),
        ("POST", "/api/subscriptions", {"channel": "pigeon"}, 400, "bad_subscription"),
        ("POST", "/api/subscriptions", {"channel": "mail", "recipient": "x"}, 400, "bad_subscription"),
        ("POST", "/api/subscriptions", {"channel": "hook", "timezone": "../etc"}, 400, "bad_subscription"),
        ("DELETE", "/api/subscriptions/brand-team", None, 409, "subscription_of_file"),
        ("POST", "/api/subscriptions/brand-team/test", None, 409, "not_confirmed"),
    ],
)
def test_what_cannot_be_done_says_why(
    still: AlertPagesWorld, method: str, path: str, body: object, status: int, code: str
) -> None:
    error = sent(still, method, path.format(still.alert().alert_id), body, status)["error"]
    assert error["code"] == code
    assert error["found"]
    assert error["expected"]
    assert still.alert().mark == ""
    assert still.book.silences() == []
    assert still.book.subscriptions() == []


def test_the_description_and_its_page_name_every_route_of_alerts(still: AlertPagesWorld) -> None:
    described = get(still, "/api/openapi.json")["paths"]
    shown = still.send("GET", "/api/docs").text
    own = [path for path in described if path.split("/")[2] in ("alerts", "watches", "silences", "subscriptions")]
    assert len(own) == 11
    assert all(path in shown for path in own)


PIECES = ("", "a", "-", "0" * 14, "\x00", "\r\n", "é", "\u202e", "%", "..", "/", "?", "<script>", "'", '"', "9" * 120)
PATHS = ("/alerts/{}", "/alerts?after={}", "/alerts?done={}", "/told/{}", "/api/alerts/{}", "/api/alerts?brand={}")
SENT = ("/alerts/{}", "/told/{}", "/api/alerts/{}/acknowledge")


def test_no_question_however_odd_is_a_mistake_of_ours(still: AlertPagesWorld) -> None:
    draw = random.Random(7)
    for number in range(150):
        odd = quote("".join(draw.choices(PIECES, k=draw.randrange(1, 5))), safe="")
        path = draw.choice(PATHS if number % 3 else SENT).format(odd)
        answer = still.send("GET" if number % 3 else "POST", path)
        # A slash makes another address, which may be one that is only read.
        assert answer.status_code in (200, 400, 404, 405, 422), path
        assert "html" not in answer.headers["content-type"] or "<script>" not in answer.text
    assert still.alert().acknowledged_at is None


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"act=%ff&act=useful", b"a=b&" * 5_000, b"act=" + b"x" * 70_000])
@pytest.mark.parametrize("path", ["/alerts/{}", "/alerts/silences", "/alerts/subscriptions"])
def test_a_form_that_is_none_of_ours_changes_nothing(still: AlertPagesWorld, path: str, body: bytes) -> None:
    answer = still.send("POST", path.format(still.alert().alert_id), content=body)
    assert answer.status_code in (400, 404)
    assert still.alert().mark == ""


@pytest.mark.parametrize("origin", ["", "https://evil.example"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/alerts/{}/acknowledge"),
        ("POST", "/api/silences"),
        ("POST", "/api/subscriptions"),
        ("POST", "/api/subscriptions/on-call/test"),
        ("DELETE", "/api/subscriptions/on-call"),
    ],
)
def test_a_stranger_changes_nothing(still: AlertPagesWorld, method: str, path: str, origin: str) -> None:
    headers = {"Origin": origin} if origin else {}
    answer = still.send(method, path.format(still.alert().alert_id), json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert still.due("hook") == []
