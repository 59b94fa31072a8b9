"""Signed links do what they say, until they say, for whoever has them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.links import PAGE, BadLink, Links, Opened, check_public_url, shared_key
from domain.errors import ConfigError
from search.sqlite_documents import SqliteDocuments

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINKS = Links("https://soundings.acme.example/", b"k" * 32)


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[SqliteDocuments]:
    with closing(SqliteDocuments.open(tmp_path / "alerts.db")) as made:
        yield made


def token_of(link: str) -> str:
    return link.partition(PAGE)[2]


def test_a_link_says_what_it_was_made_for() -> None:
    link = LINKS.signed("acknowledge", "0001-ab", NOW, "who")
    assert link.startswith("https://soundings.acme.example/told/")
    assert LINKS.open(token_of(link), NOW) == Opened("acknowledge", "0001-ab", "who")


@pytest.mark.parametrize(("purpose", "days"), [("acknowledge", 7), ("mark", 30), ("confirm", 3), ("unsubscribe", 365)])
def test_a_link_is_good_for_its_time(purpose: str, days: int) -> None:
    token = token_of(LINKS.signed(purpose, "x", NOW))  # type: ignore[arg-type]
    end = NOW + timedelta(days=days)
    assert LINKS.open(token, end - timedelta(seconds=1)).purpose == purpose
    with pytest.raises(BadLink, match="was good until"):
        LINKS.open(token, end)


@given(st.data())
def test_no_changed_link_opens(data: st.DataObject) -> None:
    token = token_of(LINKS.signed("confirm", "ann", NOW))
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABab01-_.=%\u00e9").filter(lambda c: c != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    # Of the last character of a part only some bits count; what means the same bytes is the same link.
    try:
        assert LINKS.open(changed, NOW) == Opened("confirm", "ann")
        assert place in (token.index(".") - 1, len(token) - 1)
    except BadLink:
        pass


@given(st.text(max_size=60))
def test_what_is_no_link_of_ours_is_told_so(text: str) -> None:
    with pytest.raises(BadLink):
        LINKS.open(text, NOW)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(BadLink):
        Links("https://soundings.acme.example", b"j" * 32).open(token_of(LINKS.signed("mark", "x", NOW)), NOW)


def test_all_processes_share_one_key(documents: SqliteDocuments, tmp_path: Path) -> None:
    with closing(SqliteDocuments.open(tmp_path / "alerts.db")) as others:
        keys = {shared_key(documents), shared_key(others), shared_key(documents)}
    assert len(keys) == 1
    assert len(keys.pop()) == 32


def test_the_page_of_mentions_is_asked_as_the_dashboard_is() -> None:
    link = LINKS.mentions("acme", NOW - timedelta(hours=1), NOW, query='"the lid" & more', sentiments=("negative",))
    parts = urlsplit(link)
    assert parts.path == "/"
    assert parse_qs(parts.query) == {
        "q": ['"the lid" & more'],
        "brand": ["acme"],
        "sentiment": ["negative"],
        "from": ["2026-03-01T11:00:00Z"],
        "to": ["2026-03-01T12:00:00Z"],
    }


def test_without_a_public_address_there_are_no_links() -> None:
    links = Links("", b"k" * 32)
    assert [links.alert("x"), links.page("/alerts"), links.signed("mark", "x", NOW), links.mentions("a", NOW, NOW)] == [
        ""
    ] * 4


@pytest.mark.parametrize("url", ["", "acme.example", "ftp://acme.example", "https://", "https://a.example/?x=1"])
def test_what_is_no_public_address_is_told_so(url: str) -> None:
    with pytest.raises(ConfigError, match="public_url"):
        check_public_url(url)
