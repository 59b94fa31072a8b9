"""Records to bytes and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadReason, BadRecord
from domain.records import (
    SENTIMENTS,
    AuthorRetraction,
    BrandMatch,
    Event,
    Health,
    MatchedPost,
    Mention,
    Post,
    Restoration,
    Retraction,
    Span,
    Withdrawal,
)
from stream.codec import Record, decode, document_of, encode, mention_of

AT = datetime(2026, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)

# Hypothesis's own text leaves surrogates out only when told so.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_text = st.none() | texts
many_texts = st.lists(texts, max_size=3).map(tuple)
times = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
spans = st.builds(Span, numbers, numbers, st.sampled_from(["text", "title"]))


def _strategy(name: str, hint: str) -> st.SearchStrategy[Any]:
    """Give values for a field by its annotation as it stands in the source, so that a new field is tested at once."""
    bare = hint.removesuffix(" | None")
    if name == "schema_version":
        return st.just(1)
    known: Mapping[str, st.SearchStrategy[Any]] = {
        "str": texts,
        "int": numbers,
        "float": finite,
        "bool": st.booleans(),
        "datetime": times,
        "tuple[str, ...]": many_texts,
        "tuple[Span, ...]": st.lists(spans, max_size=3).map(tuple),
        "Sentiment": st.sampled_from(SENTIMENTS),
        "Literal['heartbeat', 'gap', 'watermark']": st.sampled_from(["heartbeat", "gap", "watermark"]),
        'Literal["heartbeat", "gap", "watermark"]': st.sampled_from(["heartbeat", "gap", "watermark"]),
        "Mapping[str, str]": st.dictionaries(texts, texts, max_size=3),
        "Mapping[str, str | int | float | bool | None]": st.dictionaries(
            texts, texts | numbers | finite | st.booleans() | st.none(), max_size=3
        ),
        "Post": st.deferred(lambda: posts),
        "tuple[BrandMatch, ...]": st.deferred(lambda: st.lists(matches, max_size=3).map(tuple)),
    }
    return known[hint] if hint in known else st.none() | known[bare]


def _records(kind: type) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{f.name: _strategy(f.name, str(f.type)) for f in dataclasses.fields(kind)})


posts, matches = _records(Post), _records(BrandMatch)
_KINDS = (MatchedPost, Retraction, AuthorRetraction, Restoration, Mention, Withdrawal, Event, Health)
any_record = st.one_of(*map(_records, _KINDS))

POST = Post(
    post_id="x:1",
    source="x",
    native_id="1",
    revision_ms=5,
    text="hello",
    collected_at=AT,
    routing_month="2026.01",
    hashtags=("tag",),
)
MATCHED = MatchedPost(post=POST, matches=(BrandMatch(brand_id="acme", query_revision=2, spans=(Span(0, 5),)),))
MENTION = Mention(
    mention_id="m",
    post_id="x:1",
    brand_id="acme",
    brand="Acme",
    query_revision=1,
    version=2**62,
    source="x",
    kind="post",
    text="hello",
    tokens="hello",
    collected_at=AT,
    enriched_at=AT,
    routing_month="2026.01",
    sentiment="neutral",
    sentiment_value=0,
    sentiment_score=0.0,
    sentiment_expected=-1.25,
)


def changed(record: Record, **changes: object) -> bytes:
    document = json.loads(encode(record))
    document.update(changes)
    return json.dumps(document).encode()


@given(any_record)
def test_every_record_comes_back_equal(record: Record) -> None:
    assert decode(encode(record)) == record


@given(_records(Mention))
def test_a_mention_comes_back_from_its_flat_document(mention: Mention) -> None:
    document = document_of(mention)
    before = json.dumps(document)
    assert mention_of(document) == mention
    assert json.dumps(document) == before
    assert "type" not in document


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_bad_record(raw: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(raw)


@given(any_record, st.data())
def test_a_record_with_one_value_swapped_is_read_or_refused_and_never_crashes(
    record: Record, data: st.DataObject
) -> None:
    document = json.loads(encode(record))
    name = data.draw(st.sampled_from(sorted(document)))
    document[name] = data.draw(st.none() | st.booleans() | numbers | texts | st.lists(numbers) | st.just({"a": [1]}))
    try:
        read = decode(json.dumps(document).encode())
    except BadRecord:
        return
    assert decode(encode(read)) == read


def test_absent_fields_are_left_out_and_zero_is_kept() -> None:
    document = json.loads(encode(MENTION))
    assert "title" not in document
    assert "words" not in document
    assert "attrs" not in document
    assert (document["sentiment_value"], document["sentiment_score"], document["truncated"]) == (0, 0.0, False)
    assert (document["type"], document["schema_version"]) == ("mention", 1)


def test_times_are_rfc_3339_in_utc_with_all_their_digits() -> None:
    document = document_of(MENTION)
    assert document["collected_at"] == "2026-01-05T12:00:00.123456Z"
    elsewhere = dataclasses.replace(MENTION, collected_at=AT.astimezone(timezone(timedelta(hours=2))))
    assert document_of(elsewhere) == document
    assert mention_of({**document, "collected_at": "2026-01-05T14:00:00.123456+02:00"}) == MENTION


def test_a_time_without_a_zone_is_a_mistake_in_the_code() -> None:
    with pytest.raises(ValueError, match="expected an aware datetime"):
        encode(dataclasses.replace(MENTION, collected_at=AT.replace(tzinfo=None)))


def test_a_lone_surrogate_is_a_bad_record() -> None:
    with pytest.raises(BadRecord) as caught:
        encode(dataclasses.replace(MATCHED, post=dataclasses.replace(POST, text="a\ud83d")))
    assert caught.value.reason is BadReason.BAD_ENCODING


@pytest.mark.parametrize("changes", [{"p_negative": float("nan")}, {"p_negative": float("inf")}, {"likes": 2**70}])
def test_a_number_that_json_cannot_hold_is_a_bad_record(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRecord) as caught:
        encode(dataclasses.replace(MENTION, **changes))
    assert caught.value.reason is BadReason.BAD_SCHEMA


@pytest.mark.parametrize(
    ("raw", "reason", "says"),
    [
        (b"", BadReason.NOT_JSON, "expected one JSON object"),
        (b"{", BadReason.NOT_JSON, "expected one JSON object"),
        (b'{"type":"event"}\xff', BadReason.NOT_JSON, "expected one JSON object"),
        (b"[" * 100_000, BadReason.NOT_JSON, "expected one JSON object"),
        (b"[]", BadReason.NOT_AN_OBJECT, "found list"),
        (b"{}", BadReason.BAD_SCHEMA, "type: found NoneType, expected one of matched_post, retraction"),
        (b'{"type":"tweet"}', BadReason.BAD_SCHEMA, "type: found 'tweet'"),
        (b'{"type":["mention"]}', BadReason.BAD_SCHEMA, "type: found list"),
        (
            changed(MENTION, schema_version=2),
            BadReason.BAD_SCHEMA,
            "mention.schema_version: found int, expected one of",
        ),
        (changed(MENTION, text=7), BadReason.BAD_SCHEMA, "mention.text: found int, expected str"),
        (changed(MENTION, text=None), BadReason.BAD_SCHEMA, "mention.text: found NoneType, expected str"),
        (changed(MENTION, truncated=1), BadReason.BAD_SCHEMA, "mention.truncated: found int, expected bool"),
        (changed(MENTION, version=True), BadReason.BAD_SCHEMA, "mention.version: found bool, expected int"),
        (changed(MENTION, sentiment="glad"), BadReason.BAD_SCHEMA, "expected one of negative, neutral, positive"),
        (changed(MENTION, spans=[[1]]), BadReason.BAD_SCHEMA, "mention.spans: found list, expected a span"),
        (changed(MENTION, words="word"), BadReason.BAD_SCHEMA, "mention.words: found str, expected a list of strings"),
        (changed(MENTION, attrs={"a": 1}), BadReason.BAD_SCHEMA, "mention.attrs: found int, expected values of str"),
        (changed(MENTION, p_neutral="1"), BadReason.BAD_SCHEMA, "mention.p_neutral: found str, expected a number"),
        (
            changed(MENTION, collected_at="tomorrow"),
            BadReason.BAD_SCHEMA,
            "mention.collected_at: found str, expected an RFC",
        ),
        (
            changed(MENTION, collected_at="2026-01-05T12:00:00"),
            BadReason.BAD_SCHEMA,
            "expected an RFC 3339 time with its zone",
        ),
        (changed(MENTION, collected_at=17), BadReason.BAD_SCHEMA, "mention.collected_at: found int, expected an RFC"),
        (changed(MENTION, mood="good"), BadReason.BAD_SCHEMA, "mention: found an unknown field 'mood'"),
        (
            changed(MATCHED, post={"post_id": "x:1"}),
            BadReason.BAD_SCHEMA,
            "post: found no source, native_id, revision_ms",
        ),
        (changed(MATCHED, post="x:1"), BadReason.BAD_SCHEMA, "matched_post.post: found str, expected an object"),
        (changed(MATCHED, matches=[{"brand_id": 1, "query_revision": 1}]), BadReason.BAD_SCHEMA, "brandmatch.brand_id"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_what_cannot_be_read_is_refused_with_what_was_found_and_expected(
    raw: bytes, reason: BadReason, says: str
) -> None:
    # Twice: the second time the shape of a document may be known.
    for _ in range(2):
        with pytest.raises(BadRecord) as caught:
            decode(raw)
        assert caught.value.reason is reason
        assert says in caught.value.detail


@pytest.mark.parametrize("name", ["schema_version", "text", "collected_at"])
def test_a_missing_field_is_named(name: str) -> None:
    document = json.loads(encode(MENTION))
    del document[name]
    with pytest.raises(BadRecord, match=f"mention: found no {name}, expected one"):
        decode(json.dumps(document).encode())


def test_a_refusal_never_quotes_a_text() -> None:
    with pytest.raises(BadRecord) as caught:
        decode(changed(MENTION, words=["private", 7], text="private", collected_at="private"))
    assert "private" not in str(caught.value)


def test_documents_of_a_known_shape_are_still_checked_by_value() -> None:
    assert decode(encode(MENTION)) == MENTION
    with pytest.raises(BadRecord, match="sentiment"):
        decode(encode(MENTION).replace(b'"neutral"', b'"neutrel"'))
