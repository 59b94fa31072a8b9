"""Which feeds are listened to, from the settings; what is wrong with them is told by name, and no key is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock

from domain.brand import Brand
from domain.errors import ConfigError
from ingest.normalise import NormaliserSettings
from service.sources.kind import SourceContext, SourceKind
from service.sources.reddit import REDDIT
from service.sources.rss import RSS

BRANDS = (Brand(brand_id="acme", name='Acme "Tools"', query="acme"), Brand(brand_id="b", name="B & Co", query="bco"))


def build(kind: SourceKind, values: Mapping[str, Any], brands: tuple[Brand, ...] = BRANDS) -> Any:
    defaults = {setting.key.rsplit(".", 1)[1]: setting.default for setting in kind.settings}
    context = SourceContext(
        values={**defaults, **values}, normalise=NormaliserSettings(), brands=brands, clock=FakeClock()
    )
    return kind.build(context)


def problems(kind: SourceKind, values: Mapping[str, Any], brands: tuple[Brand, ...] = BRANDS) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        build(kind, values, brands)
    return refused.value.problems


def feeds_of(source: Any) -> tuple[str, ...]:
    urls: tuple[str, ...] = source._plan.urls
    return urls


def test_feeds_come_from_the_list_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "feeds.opml"
    file.write_text('<opml><outline xmlUrl="https://b.example/"/><outline xmlUrl="https://a.example/"/></opml>')
    source = build(RSS, {"feeds": ("https://a.example/",), "opml": str(file)})
    assert feeds_of(source) == ("https://a.example/", "https://b.example/")
    assert source.normalise.html == "always"


def test_no_feed_at_all_names_the_setting_and_the_page() -> None:
    (problem,) = problems(RSS, {})
    assert problem.startswith("source.rss.feeds: no feed is named")
    assert "docs/sources/rss.md" in problem


def test_addresses_that_are_none_are_told_by_number_and_never_shown() -> None:
    bad = ("https://a.example/", "ftp://x/?key=s3cret", "s3cret", "https://ann:s3cret@a.example/", "http://[s3cret")
    found = problems(RSS, {"feeds": bad})
    assert [problem.split(" is ")[0].split(" has ")[0] for problem in found] == [
        f"source.rss.feeds: number {number}" for number in (2, 3, 4, 5)
    ]
    assert "s3cret" not in str(found)


def test_reddit_is_asked_for_subreddits_and_for_the_names_of_the_brands() -> None:
    assert feeds_of(build(REDDIT, {"subreddits": ("r/gadgets", "/r/tea+coffee/")})) == (
        "https://www.reddit.com/r/gadgets/new/.rss?limit=100",
        "https://www.reddit.com/r/tea+coffee/new/.rss?limit=100",
        "https://www.reddit.com/search.rss?q=%22Acme++Tools+%22&sort=new&limit=100",
        "https://www.reddit.com/search.rss?q=%22B+%26+Co%22&sort=new&limit=100",
    )
    assert len(feeds_of(build(REDDIT, {"subreddits": ("gadgets",), "search_brands": False}))) == 1


@pytest.mark.parametrize("name", ["", "a b", "../user", "x?y", "ü-boot"])
def test_a_name_that_is_no_subreddit_is_refused(name: str) -> None:
    (problem,) = problems(REDDIT, {"subreddits": (name,)})
    assert problem.startswith("source.reddit.subreddits: found ")


def test_reddit_needs_something_to_read() -> None:
    for values, brands in (({"search_brands": False}, BRANDS), ({}, ())):
        (problem,) = problems(REDDIT, values, brands)
        assert "docs/sources/reddit.md" in problem


def test_a_personal_feed_needs_both_its_parts() -> None:
    for values in ({"user": "ann"}, {"feed_token": "s3cret"}):
        (problem,) = problems(REDDIT, values)
        assert "source.reddit.feed_token" in problem
        assert "s3cret" not in problem
    urls = feeds_of(build(REDDIT, {"user": "ann", "feed_token": "s3cret"}))
    assert all(url.endswith("&feed=s3cret&user=ann") for url in urls)


def test_who_asks_is_plain_text() -> None:
    (problem,) = problems(REDDIT, {"contact": "u/ann\r\nX-Evil: 1"})
    assert problem.startswith("source.reddit.contact")
