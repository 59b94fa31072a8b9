"""Brands on the page and in the API, over a pipeline that runs: changed, refused with reasons, previewed."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

import pytest
from fakes.brand_world import BrandWorld, open_brand_world

PATIENCE_SECONDS = 60.0


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandWorld]:
    with open_brand_world(tmp_path_factory.mktemp("brands")) as world:
        yield world


def words(markup: str) -> str:
    """Give the text of a page as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def test_a_brand_is_made_changed_paused_and_removed_through_the_api(world: BrandWorld) -> None:
    made = world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert made.status_code == 201
    assert made.json()["brand"] | {"rematch": None} == {
        "brand_id": "mug-works",
        "name": "Mug Works",
        "query": "mug",
        "query_revision": 1,
        "handles": [],
        "competitors": [],
        "mentions": 0,
        "paused": False,
        "file": "",
        "rematch": None,
    }
    changed = world.send("PATCH", "/api/brands/mug-works", json={"query": "mug or lid", "handles": ["@mugs"]}).json()
    assert changed["brand"]["query_revision"] == 2
    assert changed["brand"]["handles"] == ["mugs"]
    # The linter's word comes with a success: a small `or` is a word like any other.
    assert [warning["position"] for warning in changed["warnings"]] == [4]
    assert world.send("PATCH", "/api/brands/acme", json={"paused": True}).json()["brand"]["paused"]
    assert world.brands()["acme"]["paused"]
    assert [brand.brand_id for brand in world.running.pipeline.book.active] == ["globex", "mug-works"]
    assert world.send("DELETE", "/api/brands/mug-works").json() == {"removed": "mug-works"}
    assert sorted(world.brands()) == ["acme", "globex"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/brands", {"name": "New", "query": "mug ("}, 400, "bad_query"),
        ("POST", "/api/brands", {"name": "New", "query": "NOT mug"}, 400, "bad_brand"),
        ("POST", "/api/brands", {"name": "New"}, 422, "bad_parameter"),
        ("POST", "/api/brands", {"name": "New", "query": "mug", "colour": "red"}, 422, "bad_parameter"),
        ("POST", "/api/brands", {"name": "New", "query": "x" * 5_000}, 400, "query_too_long"),
        ("PATCH", "/api/brands/acme", {"query": "other"}, 409, "brand_of_file"),
        ("PATCH", "/api/brands/nobody", {"query": "other"}, 404, "no_such_brand"),
        ("PATCH", "/api/brands/nobody", {"paused": True}, 404, "no_such_brand"),
        ("DELETE", "/api/brands/acme", None, 409, "brand_of_file"),
        ("POST", "/api/brands/nobody/rematch", None, 404, "no_such_brand"),
    ],
)
def test_what_cannot_be_done_says_why(
    world: BrandWorld, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = world.send(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["found"]
    assert sorted(world.brands()) == ["acme", "globex"]


def test_a_query_that_cannot_be_read_says_where_and_a_brand_of_the_file_names_the_file(world: BrandWorld) -> None:
    error = world.send("POST", "/api/brands", json={"name": "New", "query": "mug (lid"}).json()["error"]
    checked = world.send("GET", "/api/query/check?q=mug+(lid").json()["error"]
    assert (error["position"], error["expected"]) == (checked["position"], checked["expected"])
    error = world.send("DELETE", "/api/brands/acme").json()["error"]
    assert "soundings.toml" in error["try"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/brands"),
        ("PATCH", "/api/brands/acme"),
        ("DELETE", "/api/brands/acme"),
        ("POST", "/api/brands/acme/rematch"),
        ("POST", "/brands"),
    ],
)
def test_another_site_changes_nothing(world: BrandWorld, method: str, path: str, headers: dict[str, str]) -> None:
    before = world.brands()
    body = {"act": "pause", "brand_id": "acme", "paused": True, "name": "New", "query": "mug"}
    answer = world.send(method, path, json=body, headers=headers or {"Accept": "*/*"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"
    assert world.brands() == before


def test_a_rematch_is_asked_for_and_its_end_is_told(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert world.send("POST", "/api/brands/mug-works/rematch").status_code == 202
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (brand := world.brands()["mug-works"])["mentions"] < 40:
        assert time.monotonic() < deadline, brand
        time.sleep(0.05)
    assert (brand["rematch"]["added"], brand["rematch"]["withdrawn"], brand["rematch"]["done"]) == (40, 0, True)
    assert "kept posts searched: 40 added, 0 withdrawn" in words(world.send("GET", "/brands").text)


def test_a_preview_counts_posts_shows_twenty_and_those_least_like_the_rest(world: BrandWorld) -> None:
    found = world.send("GET", "/api/preview?q=mug+OR+teapot").json()
    assert found["posts"] == 41
    assert [(one["source"], one["posts"], one["cost_a_day"]) for one in found["sources"]] == [("file", 41, None)]
    assert len(found["newest"]) == 20
    assert "teapot" in found["unlike"][0]["mention"]["text"]
    assert found["unlike"][0]["distance"] > found["unlike"][-1]["distance"]
    assert (found["a_day"], found["lately"], found["days"], found["usable"]) == (41.0, 41, 1.0, True)
    assert not world.send("GET", "/api/preview?q=NOT+mug").json()["usable"]
    empty = world.send("GET", "/api/preview?q=+")
    assert (empty.status_code, empty.json()["error"]["found"]) == (400, "an empty query")
    assert world.send("GET", "/api/preview?q=nowhere").json()["posts"] == 0
    assert world.send("GET", "/api/preview?q=(").json()["error"]["position"] == 1


def test_the_form_works_without_a_script(world: BrandWorld) -> None:
    draft = {"name": "Mug Works", "query": "mug", "handles": "@mugs, @cups", "competitors": ""}
    shown = world.send("GET", "/brands?name=Mug+Works&query=mug&edit=&act=add")
    assert shown.status_code == 200
    assert "40 kept posts match" in words(shown.text)
    assert '<textarea id="query"' in shown.text
    saved = world.send("POST", "/brands", form={"act": "add", "brand_id": "", **draft})
    assert saved.status_code == 303
    assert saved.headers["location"] == "/brands?done=add&edit=mug-works#brands"
    assert world.brands()["mug-works"]["handles"] == ["mugs", "cups"]
    shown = world.send("GET", "/brands?done=add&edit=mug-works")
    assert "Listening for it from now on" in words(shown.text)
    assert 'value="mugs, cups"' in shown.text
    for act, paused in (("pause", True), ("resume", False)):
        assert world.send("POST", "/brands", form={"act": act, "brand_id": "mug-works"}).status_code == 303
        assert world.brands()["mug-works"]["paused"] is paused
    assert world.send("POST", "/brands", form={"act": "edit", "brand_id": "mug-works", **draft, "query": "lid"})
    assert world.brands()["mug-works"]["query"] == "lid"
    assert world.send("POST", "/brands", form={"act": "remove", "brand_id": "mug-works"}).status_code == 303
    assert "mug-works" not in world.brands()


def test_a_form_that_is_refused_keeps_what_was_typed(world: BrandWorld) -> None:
    sent = {
        "act": "add",
        "brand_id": "",
        "name": "My <b>mug</b>",
        "query": "mug (lid",
        "handles": "",
        "competitors": "",
    }
    shown = world.send("POST", "/brands", form=sent)
    assert shown.status_code == 400
    assert "My &lt;b&gt;mug&lt;/b&gt;" in shown.text
    assert ">mug (lid</textarea>" in shown.text
    assert "This query cannot be read" in words(shown.text)
    shown = world.send("POST", "/brands", form=sent | {"query": "NOT mug"})
    assert (shown.status_code, "positive anchor" in words(shown.text)) == (400, True)
    shown = world.send("POST", "/brands", form={"act": "remove", "brand_id": "acme"})
    assert (shown.status_code, "soundings.toml" in words(shown.text)) == (409, True)
    assert world.send("POST", "/brands", form={"act": "dance"}).status_code == 404


def test_a_brand_made_here_is_a_filter_of_the_mentions(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert "Mug Works" in words(world.send("GET", "/").text)
