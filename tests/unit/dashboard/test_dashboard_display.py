"""How texts, links, times and figures are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.display import Segment, excerpt, hundredths, relative
from domain.records import Span
from domain.safe_text import safe_link

NOW = datetime(2026, 10, 9, 12, 0, tzinfo=UTC)
SPANS = st.lists(st.builds(lambda start, size: Span(start, start + size), st.integers(0, 60), st.integers(0, 60)))


@given(st.text(st.characters(exclude_characters="\n"), max_size=80), SPANS, SPANS)
def test_segments_are_the_text_and_mark_exactly_the_spans(text: str, matched: list[Span], named: list[Span]) -> None:
    shown = excerpt(text, matched, named)
    assert "".join(segment.text for segment in shown.segments) == text
    flags = [(segment.matched, segment.named) for segment in shown.segments for _ in segment.text]
    for place in range(len(text)):
        hit, name = (any(span.start <= place < span.end for span in spans) for spans in (matched, named))
        assert flags[place] == (hit, name)


def test_a_long_text_is_shown_around_its_first_match() -> None:
    text = "a " * 4_000 + "leak" + " b" * 4_000
    shown = excerpt(text, [Span(8_000, 8_004)], [])
    assert Segment("leak", matched=True) in shown.segments
    assert sum(len(segment.text) for segment in shown.segments) + shown.before + shown.after == len(text)
    assert sum(len(segment.text) for segment in shown.segments) <= 700


def test_many_empty_lines_become_one() -> None:
    assert excerpt("a" + "\n" * 50 + "b", [], []).segments == (Segment("a\n\nb"),)


@pytest.mark.parametrize("url", ["https://a.example/x?y=1#z", "http://127.0.0.1:8000/", "HTTPS://A.example"])
def test_a_web_address_becomes_a_link(url: str) -> None:
    assert safe_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        " https://a.example",
        "data:text/html,x",
        "file:///etc/passwd",
        "//a.example",
        "a.example",
        "https://",
        "http://[broken",
        'https://a.example/"x',
        "https://a.example/<b>",
    ],
)
def test_anything_else_becomes_no_link(url: str | None) -> None:
    assert safe_link(url) is None


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-30), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=6, hours=23), "6 d ago"),
        (timedelta(days=7), "2 Oct"),
        (timedelta(days=400), "4 Sep 2025"),
        (timedelta(hours=-3), "9 Oct"),
    ],
)
def test_times_are_said_as_people_say_them(age: timedelta, said: str) -> None:
    assert relative(NOW - age, NOW) == said


@pytest.mark.parametrize(("value", "written"), [(-0.184, "−18"), (0.0, "0"), (-0.004, "0"), (1.0, "+100")])
def test_net_sentiment_is_written_with_its_sign(value: float, written: str) -> None:
    assert hundredths(value) == written
