"""Signed links: a look changes nothing, the button does what the link is for, and what is no link of ours says so."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from fakes.alert_pages_world import ADDRESS, PUBLIC, AlertPagesWorld, open_alert_pages

from alerts.links import Links, Purpose
from alerts.recipients import Recipients, recipient_id
from dashboard.access import AccessSettings

TOKEN = AccessSettings(auth="token", token="t" * 32)
ANN = "ann@acme.example"


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertPagesWorld]:
    """A crisis that nobody touches."""
    with open_alert_pages(tmp_path_factory.mktemp("links")) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlertPagesWorld]:
    with open_alert_pages(tmp_path) as world:
        yield world


def words(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def asked(world: AlertPagesWorld) -> str:
    """Ask Ann whether she wants to be told; gives her name in links."""
    assert Recipients(world.world.documents).ask(ANN, "mail", world.world.clock.now()) is not None
    return recipient_id(ANN)


def test_a_look_at_a_link_changes_nothing_and_the_button_acknowledges(world: AlertPagesWorld) -> None:
    alert, name = world.alert(), asked(world)
    path = world.link("acknowledge", alert.alert_id, name)
    for method in ("GET", "HEAD", "GET"):
        assert world.send(method, path, headers={}).status_code == 200
    assert world.alert().acknowledged_at is None
    assert "100 negative mentions in an hour" in words(world.send("GET", path).text)
    assert f"Seen by {ANN}" in words(world.send("POST", path).text)
    assert world.alert().acknowledged_by == ANN
    # Once more, and by another: the first one counts.
    assert world.send("POST", world.link("acknowledge", alert.alert_id)).status_code == 200
    assert world.alert().acknowledged_by == ANN


def test_a_link_marks_an_alert_by_one_of_two_buttons(world: AlertPagesWorld) -> None:
    path = world.link("mark", world.alert().alert_id)
    shown = world.send("GET", path).text
    assert re.findall(r'name="mark" value="(\w+)"', shown) == ["useful", "noise"]
    for mark in ("useful", "noise"):
        told = words(world.send("POST", path, form={"mark": mark}).text)
        assert f"Marked as {mark} by somebody with the link" in told
        assert world.alert().mark == mark


def test_an_address_agrees_and_leaves_by_its_links_alone(world: AlertPagesWorld) -> None:
    name = asked(world)
    recipients = Recipients(world.world.documents)
    confirm, leave = world.link("confirm", name, name), world.link("unsubscribe", name, name)
    assert f"Somebody wants {ANN} to be told" in words(world.send("GET", confirm).text)
    assert not recipients.agreed(ANN)
    assert f"{ANN} is told of alerts from now on" in words(world.send("POST", confirm).text)
    assert recipients.agreed(ANN)
    assert f"{ANN} is then told nothing more" in words(world.send("GET", leave).text)
    assert recipients.agreed(ANN)
    assert f"{ANN} is told nothing more." in words(world.send("POST", leave).text)
    assert not recipients.agreed(ANN)


def test_a_link_that_is_too_old_is_said_and_does_nothing(world: AlertPagesWorld) -> None:
    path = world.link("acknowledge", world.alert().alert_id)
    world.world.clock.advance(timedelta(days=8).total_seconds())
    for method in ("GET", "POST"):
        answer = world.send(method, path)
        assert answer.status_code == 400
        assert "this link was good until" in words(answer.text)
    assert world.alert().acknowledged_at is None


def forged(world: AlertPagesWorld) -> str:
    links = Links(PUBLIC, b"another key")
    return links.signed("acknowledge", world.alert().alert_id, world.world.clock.now()).removeprefix(PUBLIC)


@pytest.mark.parametrize("change", ["forged", "cut", "longer", "purpose", "empty", "odd", "bytes"])
def test_a_link_that_nobody_here_signed_does_nothing(still: AlertPagesWorld, change: str) -> None:
    path = still.link("acknowledge", still.alert().alert_id)
    confirm = still.link("confirm", still.alert().alert_id)
    claims, _, seal = path.partition(".")
    broken = {
        "forged": forged(still),
        "cut": path[:-4],
        "longer": path + "A" * 3_000,
        "purpose": f"{claims}.{confirm.partition('.')[2]}",
        "empty": "/told/a.",
        "odd": f"{claims}.{seal[:-1]}é",
        "bytes": "/told/%00%ff<script>",
    }[change]
    for method in ("GET", "POST"):
        answer = still.send(method, broken)
        assert answer.status_code == 400
        assert "Nothing was changed: this link is not" in words(answer.text)
        assert "<script>" not in answer.text
    assert still.alert().acknowledged_at is None


@pytest.mark.parametrize("purpose", ["acknowledge", "confirm", "unsubscribe"])
def test_a_link_to_what_is_gone_says_so(still: AlertPagesWorld, purpose: Purpose) -> None:
    answer = still.send("POST", still.link(purpose, "gone"))
    assert answer.status_code == 400
    assert "Nothing was changed: " in words(answer.text)


@pytest.mark.parametrize("path", ["/alerts", "/alerts/subscriptions", "/api/alerts", "/told/../alerts", "/told"])
def test_only_links_are_open_to_who_did_not_sign_in(still: AlertPagesWorld, path: str) -> None:
    app = still.application(TOKEN)
    assert still.send("GET", path, app=app).status_code == 401
    answer = still.send("GET", still.link("acknowledge", still.alert().alert_id), app=app)
    assert answer.status_code == 200
    assert "Sign out" not in answer.text


def test_the_address_of_a_link_is_kept_by_nobody_and_told_to_nobody(still: AlertPagesWorld) -> None:
    answer = still.send("GET", still.link("acknowledge", still.alert().alert_id))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert not re.search(r'href="https?:', answer.text)


def test_a_trusted_proxy_says_who_acknowledges_and_lets_links_through(world: AlertPagesWorld) -> None:
    access = AccessSettings(auth="proxy", proxies=(ip_network("127.0.0.1"),), proxy_header="X-User")
    app = world.application(access)
    path = f"/alerts/{world.alert().alert_id}"
    assert world.send("GET", path, app=app).status_code == 401
    assert world.send("GET", world.link("acknowledge", world.alert().alert_id), app=app).status_code == 200
    named = {b"Origin": ADDRESS.encode(), b"X-User": "Zoë B.\x07".encode()}
    assert world.send("POST", path, form={"act": "acknowledge"}, headers=named, app=app).status_code == 303
    assert world.alert().acknowledged_by == "Zoë B."
