"""Which dead letters are about a post or an author."""

from __future__ import annotations

import json

import pytest
from fakes.clock import START

from domain.errors import BadReason, BadRecord
from stream.dead_letters import make_dead_letter
from stream.letter_names import LetterNames, Subject

POST = Subject("post", "bluesky", "bluesky:at://did:plc:ann/app.bsky.feed.post/3k")
SHORT = Subject("post", "hackernews", "hackernews:42")
AUTHOR = Subject("author", "bluesky", "bluesky:did:plc:ann")


def named(payload: object, *subjects: Subject, source: str | None = "bluesky", post_id: str | None = None) -> bool:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    error = BadRecord(BadReason.MISSING_TEXT, "text: is absent")
    letter = make_dead_letter(raw, error, stage="ingest", position="here", at=START, source=source, post_id=post_id)
    return LetterNames(subjects).names(letter)


def test_a_letter_that_knows_its_post_is_about_it_whatever_it_holds() -> None:
    assert named(b"\xff", POST, post_id=POST.key)
    assert not named(b"\xff", POST, post_id=POST.key + "x")
    assert not named(b"\xff", AUTHOR, post_id=AUTHOR.key)


@pytest.mark.parametrize(
    "payload",
    [
        {"uri": "at://did:plc:ann/app.bsky.feed.post/3k"},
        {"commit": {"record": [{"deep": ["at://did:plc:ann/app.bsky.feed.post/3k"]}]}},
        b"text,id\nhello,at://did:plc:ann/app.bsky.feed.post/3k\n",
        b'{"uri": "at://did:plc:ann/app.bsky.feed.post/3k", "cut',
    ],
)
def test_an_id_that_stands_as_a_whole_value_is_found(payload: object) -> None:
    assert named(payload, POST)
    assert named(payload, POST, source=None)
    assert not named(payload, POST, source="mastodon")
    assert not named(payload, AUTHOR)


def test_a_short_id_counts_only_where_an_id_is_expected() -> None:
    assert named({"objectID": "42"}, SHORT, source="hackernews")
    assert named({"id": 42}, SHORT, source="hackernews")
    assert not named({"points": 42, "title": "42"}, SHORT, source="hackernews")
    assert not named(b"points,42\n", SHORT, source="hackernews")


def test_the_letters_of_an_author_are_found_by_what_they_hold() -> None:
    assert named({"did": "did:plc:ann", "text": ""}, AUTHOR)
    assert named({"type": "matched_post", "post": {"author_id": "did:plc:ann"}}, AUTHOR, post_id="bluesky:at://x")
    assert not named({"did": "did:plc:annie"}, AUTHOR)


def test_nothing_is_about_nobody() -> None:
    assert not named({"id": "1"})
    assert not named({"id": "1"}, source=None)
