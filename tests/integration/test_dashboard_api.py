"""The JSON API over a real store and log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fakes.dashboard_world import BRANDS, NOW, World, ask, open_world
from fakes.mentions import mention

from dashboard.counting import FACETS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("api")) as world:
        yield world


def get(world: World, path: str, status: int = 200) -> Any:
    answer = ask(world.app, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def test_mentions_come_with_the_spans_that_matched(world: World) -> None:
    answer = get(world, "/api/mentions?q=norway&limit=1")
    assert answer["total"] == 3
    (mention,) = answer["mentions"]
    (span,) = mention["matched"]
    assert mention["text"][span["start"] : span["end"]] == "Norway"
    named = mention["named"][0]
    assert mention["text"][named["start"] : named["end"]] == "Ember & Oak"


def test_the_cursor_leads_through_every_mention_once(world: World) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        answer = get(world, f"/api/mentions?limit=7&cursor={cursor}")
        seen += [mention["mention_id"] for mention in answer["mentions"]]
        if answer["next_cursor"] is None:
            break
        cursor = answer["next_cursor"]
    assert len(seen) == len(set(seen)) == answer["total"] == 100


def test_only_web_addresses_are_given_as_links(world: World) -> None:
    mentions = get(world, "/api/mentions?limit=500")["mentions"]
    assert all(mention["url"] is None or mention["url"].startswith("https://") for mention in mentions)


def test_a_period_may_be_open_at_either_end(world: World) -> None:
    total = get(world, "/api/mentions")["total"]
    day = (NOW - timedelta(days=1)).date().isoformat()
    before = (NOW - timedelta(days=2)).date().isoformat()
    since = get(world, f"/api/mentions?from={day}")["total"]
    until = get(world, f"/api/mentions?to={before}")["total"]
    dated = get(world, "/api/mentions?from=1990-01-01&to=9998-12-31")["total"]
    assert 0 < dated <= total
    assert since + until == dated


def test_one_mention_is_found_by_its_id(world: World) -> None:
    mention = get(world, "/api/mentions?limit=1")["mentions"][0]
    assert get(world, f"/api/mentions/{mention['mention_id']}") == mention
    assert get(world, "/api/mentions/none", 404)["error"]["code"] == "no_such_mention"


@pytest.mark.parametrize("by", ["", *FACETS, "brand", "hashtag"])
def test_counts_by_every_facet_add_up_and_agree_with_a_search(world: World, by: str) -> None:
    answer = get(world, f"/api/counts?q=lid+OR+mug&by={by}&size=100")
    assert answer["measures"]["mentions"] == get(world, "/api/mentions?q=lid+OR+mug")["total"]
    if by == "brand":
        assert sum(group["measures"]["mentions"] for group in answer["groups"]) == answer["measures"]["mentions"]


@pytest.mark.parametrize("interval", ["hour", "day"])
def test_a_timeline_adds_up(world: World, interval: str) -> None:
    answer = get(world, f"/api/counts?by=source&interval={interval}")
    assert sum(moment["measures"]["mentions"] for moment in answer["timeline"]) == 100
    starts = [moment["start"] for moment in answer["timeline"]]
    assert starts == sorted(starts)
    for group in answer["groups"]:
        assert sum(moment["measures"]["mentions"] for moment in group["timeline"]) == group["measures"]["mentions"]


def test_a_timeline_too_long_to_draw_is_refused_and_a_shorter_one_answered(tmp_path: Path) -> None:
    with open_world(tmp_path, filled=False) as world:
        world.store.write([mention(f"{day}", published_at=NOW - timedelta(days=day)) for day in range(100)])
        world.store.refresh()
        refused = get(world, "/api/counts?interval=day&by=source&size=100", 400)["error"]
        assert refused["parameter"] == "interval"
        assert len(get(world, "/api/counts?interval=day&by=source")["timeline"]) == 100


def test_net_sentiment_is_of_the_reliable_mentions(world: World) -> None:
    measures = get(world, "/api/counts")["measures"]
    assert measures["mentions"] == measures["negative"] + measures["neutral"] + measures["positive"] + 8
    assert measures["net"] == pytest.approx((measures["positive"] - measures["negative"]) / 92)
    assert measures["net_low"] < measures["net"] < measures["net_high"]
    assert not measures["too_few"]


def test_a_count_of_nothing_has_no_net_sentiment(world: World) -> None:
    measures = get(world, "/api/counts?q=nosuchword&interval=hour")["measures"]
    assert (measures["mentions"], measures["net"], measures["too_few"]) == (0, None, True)


def test_brands_are_those_of_the_configuration(world: World) -> None:
    brands = get(world, "/api/brands")["brands"]
    assert [brand["brand_id"] for brand in brands] == [brand.brand_id for brand in BRANDS]
    assert sum(brand["mentions"] for brand in brands) == 100


def test_books_give_outcomes_and_reasons_and_never_a_dead_letter(world: World) -> None:
    answer = ask(world.app, "/api/books")
    ingest, enrich = answer.json()["stages"]
    assert (ingest["entered"], ingest["balanced"]) == (120, True)
    assert ingest["dead_letters"] == {"bad_date": 2, "not_json": 1}
    assert (enrich["entered"], enrich["ok"], enrich["retried"], enrich["waiting"]) == (110, 110, 1, 0)
    assert "secret" not in answer.text


def test_a_query_is_checked_without_being_run(world: World) -> None:
    assert get(world, "/api/query/check?q=lid+mug") == {"ok": True, "error": None, "warnings": []}
    wrong = get(world, "/api/query/check?q=%28lid")
    assert not wrong["ok"]
    assert wrong["error"]["position"] == 4
    assert wrong["error"]["expected"]
    assert get(world, "/api/query/check?q=lid+or+mug")["warnings"][0]["position"] == 4


@pytest.mark.parametrize(
    ("path", "status", "parameter"),
    [
        ("/api/mentions?q=%28", 400, "q"),
        ("/api/mentions?cursor=x", 400, "cursor"),
        ("/api/mentions?limit=0", 422, "limit"),
        ("/api/mentions?limit=ten", 422, "limit"),
        ("/api/mentions?sentiment=angry", 400, "sentiment"),
        ("/api/mentions?from=2026-13-01", 400, "from"),
        ("/api/mentions?to=0001-01-01T00:00:00%2B14:00", 400, "to"),
        ("/api/counts?by=text", 400, "by"),
        ("/api/counts?interval=week", 422, "interval"),
        ("/api/counts?size=1000", 422, "size"),
        ("/api/nothing", 404, None),
        ("/api/nothing/at/all", 404, None),
        ("/api/mentions/", 404, None),
        ("/api/", 404, None),
        ("/api", 404, None),
    ],
)
def test_errors_say_what_was_found_and_expected(world: World, path: str, status: int, parameter: str | None) -> None:
    error = get(world, path, status)["error"]
    assert error["parameter"] == parameter
    assert error["found"]
    assert error["expected"]


@pytest.mark.parametrize("path", ["/", "/api/brands", "/api/docs", "/api/openapi.json", "/api/nothing", "/?q=%28"])
def test_head_answers_as_get_does_without_the_body(world: World, path: str) -> None:
    full, head = ask(world.app, path), ask(world.app, path, method="HEAD")
    assert head.status_code == full.status_code != 405
    assert head.headers["content-type"] == full.headers["content-type"]
    assert head.content == b""


def test_the_description_and_its_page_name_every_route(world: World) -> None:
    described = get(world, "/api/openapi.json")
    shown = ask(world.app, "/api/docs").text
    assert len(described["paths"]) == 12
    for path in described["paths"]:
        assert path in shown
    assert "//" not in shown.replace("http://www.w3.org", "")


_PIECES = (
    *"()\"\\'[]{}~*?:+-!&|^/<>=.,;#@ ",
    *("AND", "OR", "NOT", " TO ", "brand:", "likes:", "published:", "sentiment:", "reliable:", "nosuch:", "text:"),
    *("lid", "le*k", "l?d", "東京", "😀", "e\u0301", "\u202e", "\x00", "\r\n", "\t", "%", "\ufeff", "\U000e0001"),
    *("9" * 30, "-1", "1e999", "2026-10-06", "0001-01-01", "9999-12-31", "true", "[1 TO *]", "[* TO *]", '"a b"~9'),
)


def _odd(draw: random.Random) -> str:
    return draw.choice(("", " ")).join(draw.choices(_PIECES, k=draw.randrange(1, 9)))


def test_no_question_however_odd_is_a_mistake_of_ours(world: World) -> None:
    draw = random.Random(11)
    names = ("q", "brand", "sentiment", "from", "to", "cursor", "limit", "by", "interval", "size", "nosuch")
    paths = ("/", "/api/mentions", "/api/counts", "/api/query/check", "/api/mentions/{}", "/static/{}")
    seen = set()
    for _ in range(400):
        path = draw.choice(paths).format(quote(_odd(draw), safe=""))
        # Most odd questions ask by a query alone, so that not all stop at the first odd filter.
        asked = ["q", *(draw.choices(names, k=2) if draw.random() < 0.3 else ())]
        question = "&".join(f"{name}={quote(_odd(draw), safe='')}" for name in asked)
        answer = ask(world.app, f"{path}?{question}")
        assert answer.status_code in (200, 400, 404, 422), (path, question, answer.text)
        seen.add(answer.status_code)
    assert seen == {200, 400, 404, 422}


@pytest.mark.parametrize("raw", ["%ED%A0%80", "%FF%FE", "%", "%zz", "a%00b", "+", "&&==", "%F0%9F"])
def test_broken_encodings_are_answered(world: World, raw: str) -> None:
    for path in (f"/?q={raw}", f"/api/mentions?q={raw}&brand={raw}", f"/api/mentions/{raw}", f"/{raw}"):
        assert ask(world.app, path).status_code in (200, 400, 404)


def test_deep_and_long_queries_are_answered(world: World) -> None:
    for query in ("(" * 3_900, "(" * 1_900 + "a" + ")" * 1_900, "NOT " * 900 + "a", "a OR " * 790 + "a", "a*" * 1_900):
        for path in ("/", "/api/mentions", "/api/counts", "/api/query/check"):
            assert ask(world.app, f"{path}?q={quote(query)}").status_code in (200, 400)


def test_an_empty_store_answers_everything(tmp_path: Path) -> None:
    with open_world(tmp_path, filled=False) as world:
        assert get(world, "/api/mentions")["mentions"] == []
        assert get(world, "/api/counts?by=brand&interval=day")["groups"] == []
        assert [stage["entered"] for stage in get(world, "/api/books")["stages"]] == [0, 0]
