"""Feeds out of an OPML file, and nothing else out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import ConfigError
from ingest.opml import MAX_BYTES, read_opml

SETTING = "source.rss.opml"


def read(tmp_path: Path, text: str | bytes) -> tuple[str, ...]:
    path = tmp_path / "feeds.opml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_opml(path, SETTING)


def test_feeds_in_folders_are_found_in_order_and_once(tmp_path: Path) -> None:
    feeds = read(
        tmp_path,
        """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE opml><opml version="2.0"><head/><body>
        <outline text="News"><outline type="rss" xmlUrl=" https://a.example/feed?x=1&amp;y=2 "/>
        <outline><outline xmlurl="https://b.example/feed"/></outline></outline>
        <outline text="no feed" htmlUrl="https://c.example/"/><outline xmlUrl=""/>
        <outline xmlUrl="https://b.example/feed"/></body></opml>""",
    )
    assert feeds == ("https://a.example/feed?x=1&y=2", "https://b.example/feed")


def test_other_encodings_are_read(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><opml><outline text="ü" xmlUrl="https://a.example/"/></opml>'
    assert read(tmp_path, text.encode("utf-16")) == ("https://a.example/",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no XML"),
        ("not XML", "no XML"),
        ("<opml><outline", "no XML"),
        ('<?xml version="1.0" encoding="no-such"?><opml/>', "no XML"),
        ("<html/>", "found <html>, expected <opml>"),
        ("<opml/>", "found no <outline>"),
        ("<opml>" + "<outline>" * 100, "more than 64 deep"),
        ('<!DOCTYPE opml [<!ENTITY a "https://a.example/">]><opml><outline xmlUrl="&a;"/></opml>', "declares entities"),
        (
            '<!DOCTYPE opml [<!ENTITY a SYSTEM "/etc/passwd">]><opml><outline xmlUrl="x">&a;</outline></opml>',
            "declares",
        ),
        ('<!DOCTYPE opml [<!ENTITY % a SYSTEM "/etc/passwd"> %a;]><opml><outline xmlUrl="x"/></opml>', "declares"),
        ("<opml>" + "".join(f'<outline xmlUrl="{n}"/>' for n in range(5_001)) + "</opml>", "at most 5,000"),
        (" " * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_opml_is_refused_by_the_name_of_the_setting(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        read(tmp_path, text)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{SETTING}: {tmp_path}")


def test_a_document_type_from_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    text = f'<!DOCTYPE opml SYSTEM "file://{__file__}"><opml><outline xmlUrl="https://a.example/"/></opml>'
    assert read(tmp_path, text) == ("https://a.example/",)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_opml(tmp_path / "none.opml", SETTING)
