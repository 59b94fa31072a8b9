"""A mention becomes a document and comes back bit for bit, whatever folding made of its values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.mentions import many_mentions, mention
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BackendDown, BadReason, BadRecord
from search.elastic_document import body_of, mention_of, with_story
from stream.codec import from_json

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
MOMENTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999).map(lambda micros: EPOCH + micros * MICROSECOND)


@given(
    author=st.none() | TEXTS,
    location=st.none() | TEXTS,
    tags=st.lists(TEXTS, max_size=4).map(tuple),
    published=st.none() | MOMENTS,
    collected=MOMENTS,
    attrs=st.dictionaries(TEXTS, TEXTS, max_size=3),
)
def test_it_comes_back_as_it_was(
    author: Any, location: Any, tags: Any, published: Any, collected: Any, attrs: Any
) -> None:
    one = mention(
        author_handle=author,
        location=location,
        hashtags=tags,
        published_at=published,
        collected_at=collected,
        attrs=attrs,
        story_id="Given",
    )
    assert mention_of(from_json(body_of(one))) == one


def test_made_up_mentions_come_back() -> None:
    for one in many_mentions(200):
        assert mention_of(from_json(body_of(one))) == one


def test_keywords_stand_folded_and_what_was_written_beside_them() -> None:
    document = from_json(body_of(mention(author_handle="Émile", hashtags=("Straße", "STRASSE", "one"), location="")))
    assert document["author_handle"] == "emile"
    assert document["hashtags"] == ["strasse", "one"]
    assert "location" not in document
    assert document["as_written"] == {
        "author_handle": "Émile",
        "hashtags": ["Straße", "STRASSE", "one"],
        "location": "",
    }
    assert "as_written" not in from_json(body_of(mention(author_handle="emile")))


def test_the_time_of_a_document_is_that_of_the_event() -> None:
    one = mention(published_at=datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC))
    document = from_json(body_of(one))
    assert (document["event_at"], document["published_micros"]) == ("2026-03-01T12:00:00.123457Z", 457)
    assert "collected_micros" not in document
    assert from_json(body_of(replace(one, published_at=None)))["event_at"] == "2026-03-01T00:00:00Z"


def test_the_store_gives_the_story_of_a_mention_that_has_a_signature() -> None:
    one = mention(signature="", story_id="stale")
    for story_id in ("abc234", 'quo"ted'):
        assert mention_of(from_json(with_story(body_of(one), story_id))) == replace(one, story_id=story_id)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(BadRecord) as caught:
        body_of(mention(text="\ud800", tokens=""))
    assert caught.value.reason is BadReason.BAD_ENCODING


def test_a_document_that_is_no_mention_stops() -> None:
    with pytest.raises(BackendDown, match="no mention"):
        mention_of({"mention_id": "x"})
