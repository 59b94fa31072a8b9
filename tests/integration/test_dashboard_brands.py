"""Brands on the page and in the API, over a pipeline that runs: changed, refused with reasons, previewed."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

import pytest
from fakes.brand_world import BrandWorld, open_brand_world

from domain.errors import ConfigError

PATIENCE_SECONDS = 60.0


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandWorld]:
    with open_brand_world(tmp_path_factory.mktemp("brands")) as world:
        yield world


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrandWorld]:
    """One for all tests that change nothing of it."""
    with open_brand_world(tmp_path_factory.mktemp("untouched")) as world:
        yield world
        assert sorted(world.brands()) == ["acme", "globex"]


def words(markup: str) -> str:
    """Give the text of a page as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def test_a_brand_is_made_changed_paused_and_removed_through_the_api(world: BrandWorld) -> None:
    made = world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert made.status_code == 201
    assert made.json()["brand"] | {"rematch": None, "version": ""} == {
        "version": "",
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
    untouched: BrandWorld, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = untouched.send(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["found"]
    assert sorted(untouched.brands()) == ["acme", "globex"]


def test_a_query_that_cannot_be_read_says_where_and_a_brand_of_the_file_names_the_file(untouched: BrandWorld) -> None:
    error = untouched.send("POST", "/api/brands", json={"name": "New", "query": "mug (lid"}).json()["error"]
    checked = untouched.send("GET", "/api/query/check?q=mug+(lid").json()["error"]
    assert (error["position"], error["expected"]) == (checked["position"], checked["expected"])
    error = untouched.send("DELETE", "/api/brands/acme").json()["error"]
    assert "soundings.toml" in error["try"]


def test_one_brand_is_told_by_its_id(untouched: BrandWorld) -> None:
    answer = untouched.send("GET", "/api/brands/acme")
    assert (answer.status_code, answer.json()["brand"]) == (200, untouched.brands()["acme"])
    assert untouched.send("GET", "/api/brands/nobody").json()["error"]["code"] == "no_such_brand"


def test_a_method_that_an_address_lacks_names_those_that_it_has(untouched: BrandWorld) -> None:
    answer = untouched.send("GET", "/api/brands/acme/rematch")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    error = answer.json()["error"]
    assert (error["code"], error["found"], error["expected"]) == (
        "wrong_method",
        "GET /api/brands/acme/rematch",
        "POST",
    )
    assert "GET /api/brands/acme;" in error["try"]
    answer = untouched.send("PUT", "/api/brands/acme", json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PATCH")
    assert answer.json()["error"]["expected"] == "DELETE or GET or PATCH"


@pytest.mark.parametrize(
    ("body", "parameter", "found", "expected"),
    [
        ({"name": "New"}, "query", "nothing", "a value"),
        ({"name": "New", "query": "mug", "colour": "red"}, "colour", "'red'", "no field of that name"),
        ({"name": "New", "query": 7}, "query", "7", "a text"),
        ({"name": "New", "query": "mug", "handles": "mugs"}, "handles", "'mugs'", "a list"),
        ({"name": "New", "query": "mug", "handles": [7]}, "handles.0", "7", "a text"),
        (["mug"], "body", "['mug']", "one JSON object"),
        (None, "body", "nothing", "a value"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_in_plain_words(
    untouched: BrandWorld, body: object, parameter: str, found: str, expected: str
) -> None:
    answer = untouched.send("POST", "/api/brands", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 422
    assert (error["parameter"], error["found"], error["expected"]) == (parameter, found, expected)


@pytest.mark.parametrize(
    ("values", "parameter", "found", "expected"),
    [
        ({"name": "Mug\u200bWorks"}, "name", "'Mug\\u200bWorks'", "cannot be seen, such as U+200B"),
        ({"name": "Mug\x00"}, "name", "'Mug\\x00'", "cannot be seen, such as U+0000"),
        ({"name": "..."}, "name", "'...'", "a letter or digit in it"),
        ({"handles": ["mug works"]}, "handles", "'mug works'", "no post can name another"),
        ({"handles": ["https://x.com/mug"]}, "handles", "'https://x.com/mug'", "no post can name another"),
        ({"query": "mug\x00"}, "q", "the character U+0000, which cannot be seen", "characters that can be seen"),
    ],
)
def test_a_brand_that_cannot_be_is_told_once_with_what_is_wrong(
    untouched: BrandWorld, values: dict[str, object], parameter: str, found: str, expected: str
) -> None:
    answer = untouched.send("POST", "/api/brands", json={"name": "New", "query": "mug"} | values)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["parameter"], error["found"]) == (parameter, found)
    assert expected in error["expected"]


def test_a_zero_width_space_in_a_query_is_told(world: BrandWorld) -> None:
    made = world.send("POST", "/api/brands", json={"name": "New", "query": "mug\u200bworks"}).json()
    assert [(one["position"], one["message"].split(" and ")[0]) for one in made["warnings"]] == [
        (3, "the character U+200B cannot be seen")
    ]


def test_handles_of_every_network_are_taken(world: BrandWorld) -> None:
    handles = ["@acme_1", "acme.bsky.social", "acme@mastodon.example", "u-acme", "Ünal"]
    made = world.send("POST", "/api/brands", json={"name": "New", "query": "mug", "handles": handles})
    assert made.json()["brand"]["handles"] == [handle.removeprefix("@") for handle in handles]


def test_a_change_of_what_somebody_else_changed_is_refused_by_its_version(world: BrandWorld) -> None:
    made = world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"}).json()["brand"]
    ours = {"query": "mug -tea", "version": made["version"]}
    theirs = world.send("PATCH", "/api/brands/mug-works", json={"query": "mug OR lid", "version": made["version"]})
    assert theirs.json()["brand"]["version"] != made["version"]
    answer = world.send("PATCH", "/api/brands/mug-works", json=ours)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "brand_changed")
    assert "query is now “mug OR lid”" in answer.json()["error"]["found"]
    assert "name" not in answer.json()["error"]["found"]
    assert world.brands()["mug-works"]["query"] == "mug OR lid"
    again = ours | {"version": world.send("GET", "/api/brands/mug-works").json()["brand"]["version"]}
    assert world.send("PATCH", "/api/brands/mug-works", json=again).json()["brand"]["query"] == "mug -tea"


def test_the_pipeline_itself_refuses_a_version_that_is_not_the_one_of_now(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    request = {"act": "edit", "brand_id": "mug-works", "values": {"query": "lid", "version": "a-b-c-d"}}
    with pytest.raises(ConfigError, match="was changed meanwhile"):
        world.running.pipeline.change_brands(request)


def test_a_stale_form_keeps_what_was_typed_and_says_what_changed(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    version = field_of(world.send("GET", "/brands?edit=mug-works").text, "version")
    assert version
    world.send("PATCH", "/api/brands/mug-works", json={"name": "The Mug Works", "handles": ["mugs"]})
    typed = {"name": "Mug Works", "query": "mug -tea", "handles": "", "competitors": "", "version": version}
    sent = {"act": "edit", "brand_id": "mug-works", **typed}
    shown = world.send("POST", "/brands", form=sent)
    assert shown.status_code == 409
    assert "name is now “The Mug Works”; handles is now “mugs”" in words(shown.text)
    assert ">mug -tea</textarea>" in shown.text
    assert world.brands()["mug-works"]["query"] == "mug"
    sent["version"] = field_of(shown.text, "version")
    assert world.send("POST", "/brands", form=sent).status_code == 303
    assert world.brands()["mug-works"]["query"] == "mug -tea"


def test_a_form_of_a_brand_that_was_removed_meanwhile_becomes_a_new_one(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    world.send("DELETE", "/api/brands/mug-works")
    sent = {"act": "edit", "brand_id": "mug-works", "name": "Mug Works", "query": "mug -tea", "version": "a"}
    shown = world.send("POST", "/brands", form=sent)
    assert (shown.status_code, field_of(shown.text, "brand_id"), field_of(shown.text, "act")) == (404, "", "add")
    assert "removed meanwhile" in words(shown.text)
    assert ">mug -tea</textarea>" in shown.text


def test_what_cannot_be_edited_says_what_it_is(world: BrandWorld) -> None:
    shown = world.send("GET", "/brands?edit=nobody")
    assert (shown.status_code, "no brand 'nobody'" in words(shown.text)) == (404, True)
    shown = world.send("GET", "/brands?edit=acme")
    assert shown.status_code == 200
    assert "soundings.toml , expected one that was made here" in words(shown.text)
    assert (field_of(shown.text, "act"), field_of(shown.text, "name")) == ("add", "Acme (copy)")
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "acme"})
    world.send("POST", "/api/brands/mug-works/rematch")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while world.brands()["mug-works"]["mentions"] < 51:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    world.send("DELETE", "/api/brands/mug-works")
    shown = world.send("GET", "/brands?edit=mug-works")
    assert (shown.status_code, "its 51 mentions stay" in words(shown.text)) == (404, True)


def field_of(markup: str, name: str) -> str:
    """Give what the first field of that name holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', markup)
    assert found is not None
    return html.unescape(found[1])


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
def test_another_site_changes_nothing(untouched: BrandWorld, method: str, path: str, headers: dict[str, str]) -> None:
    before = untouched.brands()
    body = {"act": "pause", "brand_id": "acme", "paused": True, "name": "New", "query": "mug"}
    answer = untouched.send(method, path, json=body, headers=headers or {"Accept": "*/*"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"
    assert untouched.brands() == before


def test_a_rematch_is_asked_for_and_its_end_is_told(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert world.send("POST", "/api/brands/mug-works/rematch").status_code == 202
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (brand := world.brands()["mug-works"])["mentions"] < 40:
        assert time.monotonic() < deadline, brand
        time.sleep(0.05)
    assert (brand["rematch"]["added"], brand["rematch"]["withdrawn"], brand["rematch"]["done"]) == (40, 0, True)
    assert "kept posts searched: 40 added, 0 withdrawn" in words(world.send("GET", "/brands").text)


def test_a_preview_counts_posts_shows_twenty_and_those_least_like_the_rest(untouched: BrandWorld) -> None:
    found = untouched.send("GET", "/api/preview?q=mug+OR+teapot").json()
    assert found["posts"] == 41
    assert [(one["source"], one["posts"], one["cost_a_day"]) for one in found["sources"]] == [("file", 41, None)]
    assert len(found["newest"]) == 20
    assert "teapot" in found["unlike"][0]["mention"]["text"]
    assert found["unlike"][0]["distance"] > found["unlike"][-1]["distance"]
    assert (found["a_day"], found["lately"], found["days"], found["usable"]) == (41.0, 41, 1.0, True)
    assert not untouched.send("GET", "/api/preview?q=NOT+mug").json()["usable"]
    empty = untouched.send("GET", "/api/preview?q=+")
    assert (empty.status_code, empty.json()["error"]["found"]) == (400, "an empty query")
    assert untouched.send("GET", "/api/preview?q=nowhere").json()["posts"] == 0
    assert untouched.send("GET", "/api/preview?q=(").json()["error"]["position"] == 1


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


def test_a_form_that_is_refused_keeps_what_was_typed(untouched: BrandWorld) -> None:
    sent = {
        "act": "add",
        "brand_id": "",
        "name": "My <b>mug</b>",
        "query": "mug (lid",
        "handles": "",
        "competitors": "",
    }
    shown = untouched.send("POST", "/brands", form=sent)
    assert shown.status_code == 400
    assert "My &lt;b&gt;mug&lt;/b&gt;" in shown.text
    assert ">mug (lid</textarea>" in shown.text
    assert "This query cannot be read" in words(shown.text)
    shown = untouched.send("POST", "/brands", form=sent | {"query": "NOT mug"})
    assert (shown.status_code, "positive anchor" in words(shown.text)) == (400, True)
    shown = untouched.send("POST", "/brands", form={"act": "remove", "brand_id": "acme"})
    assert (shown.status_code, "soundings.toml" in words(shown.text)) == (409, True)
    assert untouched.send("POST", "/brands", form={"act": "dance"}).status_code == 404


def test_a_brand_made_here_is_a_filter_of_the_mentions(world: BrandWorld) -> None:
    world.send("POST", "/api/brands", json={"name": "Mug Works", "query": "mug"})
    assert "Mug Works" in words(world.send("GET", "/").text)
