"""Raw fields become a post, or a reason why not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.errors import BadReason, BadRecord, ConfigError
from domain.records import MatchedPost, Post
from ingest.normalise import MAX_ID_CHARS, MAX_TEXT_CHARS, Normaliser, NormaliserSettings
from ingest.source import RawPost
from stream.codec import decode, encode

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def normalise(row: str | None = None, attrs: dict[str, object] | None = None, **fields: object) -> Post:
    fields.setdefault("text", "hello")
    if row is None:
        fields.setdefault("id", "1")
    raw = RawPost(fields=fields, row=row, attrs=attrs or {})
    return Normaliser("file", NormaliserSettings()).normalise(raw, NOW)


def test_a_full_row_becomes_a_full_post() -> None:
    post = normalise(
        id=17,
        source="X",
        text="Hi @Delta, @DELTA! #Late \U0001f620 https://www.a.example/x?utm_campaign=Winter&b=1",
        url="https://x.example/17?fbclid=1",
        lang="pt-BR",
        author_handle="@eve",
        author_followers="12.0",
        published_at="2025-12-31T23:59:59Z",
        likes=3,
        location=" Hamburg\n",
        attrs={"mood": "cross", "flag": True, "none": None},
    )
    assert post.post_id == "x:17"
    assert post.native_id == "17"
    assert post.revision_ms == 1767225599000
    assert post.routing_month == "2025.12"
    assert post.collected_at == NOW
    assert (post.handles, post.hashtags) == (("delta",), ("late",))
    assert post.links == ("https://www.a.example/x?b=1",)
    assert post.domains == ("a.example", "x.example")
    assert post.campaigns == ("winter",)
    assert post.url == "https://x.example/17"
    assert (post.declared_lang, post.author_handle, post.author_followers) == ("pt", "eve", 12)
    assert (post.likes, post.reposts, post.location) == (3, None, "Hamburg")
    assert post.attrs == {"mood": "cross", "flag": "true"}


def test_a_post_without_dates_has_revision_0_and_is_routed_by_its_collection() -> None:
    post = normalise()
    assert (post.revision_ms, post.published_at, post.routing_month) == (0, None, "2026.01")


def test_an_edit_is_a_later_revision() -> None:
    post = normalise(published_at="2026-01-01T00:00:00Z", edited_at="2026-01-02T00:00:00Z")
    assert post.revision_ms == 1767312000000


def test_an_old_date_is_kept_and_routed_by_its_collection() -> None:
    post = normalise(published_at="2015-02-17T07:36:05Z")
    assert post.published_at == datetime(2015, 2, 17, 7, 36, 5, tzinfo=UTC)
    assert post.routing_month == "2026.01"


def test_a_row_of_a_source_without_ids_is_known_by_its_content() -> None:
    assert normalise(row="a,b").post_id == normalise(row="a,b").post_id != normalise(row="a,c").post_id


@pytest.mark.parametrize(
    ("fields", "reason", "found"),
    [
        ({"id": ""}, BadReason.MISSING_ID, "id"),
        ({"id": " \u200b"}, BadReason.MISSING_ID, "id"),
        ({"id": ["1"]}, BadReason.WRONG_TYPE, "a list"),
        ({"id": True}, BadReason.WRONG_TYPE, "a boolean"),
        ({"id": 1.5}, BadReason.WRONG_TYPE, "1.5"),
        ({"id": 5.675882788752130e17}, BadReason.WRONG_TYPE, "number"),
        ({"id": "5.67588E+17"}, BadReason.WRONG_TYPE, "spreadsheet"),
        ({"id": "17\x00"}, BadReason.WRONG_TYPE, r"'17\x00'"),
        ({"id": "17\ud800"}, BadReason.WRONG_TYPE, r"'17\ud800'"),
        ({"id": "1\u200b7"}, BadReason.WRONG_TYPE, r"'1\u200b7'"),
        ({"id": "x" * (MAX_ID_CHARS + 1)}, BadReason.WRONG_TYPE, "4,097 characters"),
        ({"text": ""}, BadReason.MISSING_TEXT, "empty"),
        ({"text": None}, BadReason.MISSING_TEXT, "no text"),
        ({"text": "<p>\u200b</p>"}, BadReason.MISSING_TEXT, "visible"),
        ({"text": 7}, BadReason.WRONG_TYPE, "a number"),
        ({"text": {"a": 1}}, BadReason.WRONG_TYPE, "an object"),
        ({"text": "x" * (MAX_TEXT_CHARS + 1)}, BadReason.TOO_LARGE, "1,000,001"),
        ({"title": 7}, BadReason.WRONG_TYPE, "title"),
        ({"published_at": "soon"}, BadReason.BAD_DATE, "published_at: found 'soon'"),
        ({"published_at": "1823-02-17"}, BadReason.BAD_DATE, "1823"),
        ({"published_at": "2999-01-01"}, BadReason.BAD_DATE, "2999"),
        ({"edited_at": "1e400"}, BadReason.BAD_DATE, "edited_at"),
        ({"published_at": ["2026"]}, BadReason.BAD_DATE, "list"),
        ({"likes": "many"}, BadReason.WRONG_TYPE, "'many'"),
        ({"likes": -1}, BadReason.WRONG_TYPE, "-1"),
        ({"likes": True}, BadReason.WRONG_TYPE, "True"),
        ({"likes": float("inf")}, BadReason.WRONG_TYPE, "inf"),
        ({"author_handle": {"id": 1}}, BadReason.WRONG_TYPE, "author_handle"),
        ({"links": [1]}, BadReason.WRONG_TYPE, "links"),
    ],
)
def test_a_bad_value_is_named(fields: dict[str, object], reason: BadReason, found: str) -> None:
    with pytest.raises(BadRecord) as caught:
        normalise(**fields)
    assert caught.value.reason is reason
    assert found in caught.value.detail


@pytest.mark.parametrize(("value", "native_id"), [("17.0", "17"), (17.0, "17"), (" 17\n", "17"), ("a/b:c", "a/b:c")])
def test_an_id_is_the_same_however_it_was_exported(value: object, native_id: str) -> None:
    assert normalise(id=value).native_id == native_id


def test_ids_that_differ_in_any_character_stay_different_posts() -> None:
    given = ["a b", "a  b", "caf\u00e9", "cafe\u0301", "\ufb01", "fi"]
    assert [normalise(id=one).native_id for one in given] == given


@pytest.mark.parametrize("value", ["", "NaN", "null", float("nan"), None])
def test_an_absent_number_is_unknown_and_not_0(value: object) -> None:
    assert normalise(likes=value).likes is None


def test_what_cannot_be_a_source_is_kept_as_an_attribute() -> None:
    post = normalise(source="<a href='x'>App for Phones</a>")
    assert post.source == "file"
    assert "App for Phones" in post.attrs["source"]


def test_every_hostile_value_can_be_written_to_the_log() -> None:
    nasty = "\ud800\x00\u202e<b>\U0001f600" * 100
    post = normalise(
        text=nasty, title=nasty, author_handle=nasty, author_name=nasty, location=nasty, url=nasty,
        hashtags=[nasty], links=[f"http://a.example/{nasty}"], reply_to=nasty, attrs={nasty: nasty},
    )  # fmt: skip
    matched = MatchedPost(post=post, matches=())
    assert decode(encode(matched)) == matched
    assert len(post.author_name or "") <= 200


def test_attributes_are_limited_in_number_and_length() -> None:
    post = normalise(attrs={f"column {number}": "x" * 1000 for number in range(100)})
    assert len(post.attrs) == 32
    assert {len(value) for value in post.attrs.values()} == {256}


def test_an_unknown_time_zone_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="Europe/Nowhere"):
        Normaliser("file", NormaliserSettings(timezone="Europe/Nowhere"))
