"""The page over a real store and log: what it shows, and that its numbers are those of the store."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.dashboard_world import (
    HOSTILE,
    World,
    ask,
    open_world,
    settlement_of_a_run,
    settlement_of_tagging,
)

from domain.records import Outcome
from stream.protocol import Count, Settlement


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("page")) as world:
        yield world


def page(world: World, path: str, status: int = 200) -> str:
    answer = ask(world.app, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def words(markup: str) -> str:
    """Give the text of a page as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", markup)).split())


def total(markup: str) -> int:
    found = re.search(r'id="counts">([\d,]+) mention', markup)
    return int(found[1].replace(",", "")) if found else 0


def test_the_first_page_shows_all_mentions_newest_first(world: World) -> None:
    shown = page(world, "/")
    assert total(shown) == 100
    assert shown.count("<article") == 25
    assert shown.index("1 min ago") < shown.index("2 min ago") < shown.index("1 h ago")


def test_a_search_marks_the_words_it_matched_in_title_and_text(world: World) -> None:
    shown = page(world, "/?q=grinders+OR+updat*")
    assert "<mark>grinders</mark>" in shown
    assert "<mark>update</mark>" in shown
    assert total(shown) == int(ask(world.app, "/api/mentions?q=grinders+OR+updat*").json()["total"]) > 0


def test_older_pages_lead_through_every_mention_once(world: World) -> None:
    seen: list[str] = []
    path = "/?q=NOT+source:nowhere"
    while True:
        shown = page(world, path)
        seen += re.findall(r'<p class="text" dir="auto">(.*?)</p>', shown, re.DOTALL)
        older = re.search(r'rel="next" href="([^"]+)"', shown)
        if older is None:
            break
        path = html.unescape(older[1])
    assert len(seen) == len(set(seen)) == 100


def test_facets_toggle_filters_and_keep_the_rest_of_the_question(world: World) -> None:
    links = re.findall(r'<a class="choice" href="([^"]+)"', page(world, "/?q=mug&brand=cuppelo"))
    addresses = [html.unescape(link) for link in links]
    assert addresses[0] == "/?q=mug"
    assert addresses[1] == "/?q=mug&brand=cuppelo&brand=brewmont"
    assert "/?q=mug&brand=cuppelo&sentiment=negative" in addresses


def test_a_facet_counts_as_if_its_own_filter_were_not_set(world: World) -> None:
    shown = words(page(world, "/?brand=brewmont&sentiment=negative"))
    assert "Cuppelo 30 Brewmont , chosen 11 Ember & Oak 0" in shown
    assert "Negative , chosen 11 Neutral 11 Positive 11 Not judged 3" in shown


def test_every_figure_of_the_table_leads_to_as_many_mentions(world: World) -> None:
    table = re.search(r'<table class="cards counts">.*?</table>', page(world, "/"), re.DOTALL)
    assert table
    figures = re.findall(r'<a href="([^"]+)">([\d,]+)</a>', table[0])
    assert len(figures) > 12
    for address, figure in figures:
        assert total(page(world, html.unescape(address))) == int(figure.replace(",", ""))


def test_net_sentiment_comes_with_its_interval_and_small_samples_say_so(world: World) -> None:
    shown = words(page(world, "/"))
    assert re.search(r"Cuppelo 58 .* −34 −55 to −11", shown)
    assert "6 judged: too few to compare" in shown
    assert "needs all sentiments" in words(page(world, "/?sentiment=negative"))


def test_dates_bound_what_is_found(world: World) -> None:
    first, second = (total(page(world, f"/?from={day}&to={day}")) for day in ("2026-10-08", "2026-10-09"))
    assert first > 0
    assert second > 0
    assert first + second == total(page(world, "/?from=2026-10-08&to=2026-10-09"))
    assert total(page(world, "/?from=2026-10-08T00:00:00%2B02:00&to=2026-10-08T12:00")) < first + second


@pytest.mark.parametrize("path", ["/?q=%28lid+AND", "/?q=%22lid", "/?q=lid+AND+OR+mug"])
def test_a_query_that_cannot_be_read_is_shown_at_its_place_with_what_was_expected(world: World, path: str) -> None:
    shown = page(world, path, 400)
    assert "This query cannot be read" in shown
    assert 'class="here"' in shown
    assert "expected" in shown
    assert 'id="books"' in shown


def test_a_doubtful_query_is_answered_with_a_warning(world: World) -> None:
    shown = page(world, "/?q=lid+or+mug")
    assert "Is this meant?" in shown
    assert "write OR" in words(shown)


@pytest.mark.parametrize("path", ["/?cursor=x", "/?from=yesterday", "/?sentiment=angry", "/?q=" + "a" * 4_001])
def test_a_parameter_that_cannot_be_used_says_what_was_expected(world: World, path: str) -> None:
    assert "expected" in page(world, path, 400)


def test_an_unknown_address_is_a_page_that_leads_back(world: World) -> None:
    assert 'href="/"' in page(world, "/nowhere", 404)


def test_hostile_text_stays_text(world: World) -> None:
    shown = page(world, "/?q=hostile&brand=cuppelo")
    for text in HOSTILE[:4]:
        assert "".join(text.split()) in "".join(words(shown).split())
    assert "<script>" not in shown
    assert "onerror=" not in re.sub(r">[^<]*<", "><", shown)
    assert re.findall(r'class="original end" href="([^"]*)"', shown) == ["https://ok.example/post/1?a=1&amp;b=2"]


def test_a_hostile_question_stays_text(world: World) -> None:
    shown = page(world, "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&brand=%22%3E%3Ci%3E", 400)
    assert "<script>" not in shown
    assert "<i>" not in shown


def test_a_search_without_results_teaches_what_to_try(world: World) -> None:
    shown = words(page(world, "/?q=lid+grinder+norway&brand=brewmont"))
    assert "No mentions match." in shown
    assert "lid OR grinder OR norway" in shown
    assert "Search without them" in shown


def test_an_empty_store_says_how_to_fill_it(tmp_path: Path) -> None:
    with open_world(tmp_path, filled=False) as world:
        shown = words(page(world, "/"))
    assert "No mentions yet." in shown
    assert "soundings replay" in shown


def test_the_books_are_those_of_the_log(world: World) -> None:
    shown = words(page(world, "/"))
    assert "ingest reads, cleans, matches brands 120 110 4 3 3 0 0 yes" in shown
    assert "enrich language and sentiment 110 110 0 0 0 0 1 yes" in shown
    assert "ingest: bad date 2" in shown
    assert "secret" not in shown


def test_a_pipeline_at_work_is_said_to_be_at_work_until_it_is_done(tmp_path: Path) -> None:
    with open_world(tmp_path) as world:
        world.log.settle(settlement_of_a_run(50))
        shown = words(page(world, "/"))
        assert "Still reading. 40 records wait." in shown
        world.log.settle(settlement_of_tagging(110, 150))
        shown = words(page(world, "/"))
    assert "Still reading." not in shown
    assert "Books add up" in shown


def test_a_record_that_is_not_accounted_for_is_shown(tmp_path: Path) -> None:
    with open_world(tmp_path) as world:
        world.log.settle(settlement_of_a_run(50))
        world.log.settle(
            Settlement("enrich", counts=[Count("enrich", "posts", Outcome.OK, 39)], offsets={("posts", 0): 150})
        )
        shown = words(page(world, "/"))
    assert "Books do not add up" in shown
    assert "1 missing" in shown
