from __future__ import annotations

from datetime import UTC, datetime

from fakes.mentions import mention
from hypothesis import given
from hypothesis import strategies as st

from domain.fields import FIELDS
from domain.text import fold_keyword
from search.tantivy_schema import date_value, document_of


@given(st.text(max_size=40) | st.text("aZ09 _-:", max_size=700))
def test_keywords_are_kept_folded_as_the_matcher_folds_them(value: str) -> None:
    document = document_of(1, mention(author_handle=value, hashtags=(value, value))).to_dict()
    expected = [folded] if (folded := fold_keyword(value)) else None
    assert document.get("author_handle") == expected
    assert document.get("hashtags", []) == (expected or [])


def test_what_is_unknown_is_absent_and_what_is_zero_is_kept() -> None:
    document = document_of(1, mention(likes=0, sentiment_score=0.0, published_at=None)).to_dict()
    assert document["likes"] == [0]
    assert document["sentiment_score"] == [0.0]
    assert document["truncated"] == [False]
    assert not {"views", "published_at", "sentiment", "location", "words"} & document.keys()


def test_every_field_of_the_table_can_be_indexed() -> None:
    full = mention(
        **{field.name: "x" for field in FIELDS if field.kind == "keyword" and not field.multiple},
        **{field.name: ("x",) for field in FIELDS if field.multiple},
        **{field.name: 1 for field in FIELDS if field.kind in ("integer", "number")},
    )
    document = document_of(7, full).to_dict()
    assert {field.name for field in FIELDS} <= document.keys()


@given(st.datetimes(timezones=st.just(UTC)))
def test_dates_keep_every_microsecond(moment: datetime) -> None:
    value = date_value(moment)
    assert -(1 << 63) <= value < 1 << 63
    assert value // 1_000_000 == int(moment.replace(microsecond=0).timestamp())
    assert value % 1_000_000 == moment.microsecond
