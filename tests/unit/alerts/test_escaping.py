"""What people wrote can do nothing in a mail, a chat or a header."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from alerts.apprise_channel import MAX_CHARS, AppriseChannel, AppriseSettings, chat_text
from alerts.channel import Line
from alerts.escaping import calls_nobody, html, markdown, one_line, quoted
from domain.errors import ConfigError

ODD = "<>&\"'@#*_`[]()!\\/\r\n\t\u202e\u2066\u200b\ud800 a:.-"
HOSTILE = st.text(st.characters(codec=None)) | st.text(ODD, max_size=60)


@given(HOSTILE, st.integers(0, 40))
@example("a\r\nBcc: eve@evil.example", 0)
@example("\u202egnp.exe", 0)
def test_one_line_is_one_line_that_moves_nothing(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.splitlines() in ([line], [])
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in line)
    assert not any(unicodedata.bidirectional(c) in ("LRO", "RLO", "LRE", "RLE", "PDF", "LRI", "RLI") for c in line)
    assert not limit or len(line) <= limit
    line.encode()


def test_joined_emoji_and_words_of_every_script_stay() -> None:
    for text in ("👩‍👩‍👧 ok", "می‌خواهم", "क्‍ष", "東京 café", "مرحبا"):
        assert one_line(text) == text


def test_a_quote_that_runs_right_to_left_ends_with_its_quotation_marks() -> None:
    assert quoted("שלום \u202eevil", 50) == "“\u2068שלום evil\u2069”"
    assert quoted("plain", 50) == "“plain”"


@given(HOSTILE)
def test_escaped_text_holds_no_markup_of_html(text: str) -> None:
    assert not set(html(text)) & set("<>\"'")


@given(st.text("<>&\"'@#*_`[]()!\\/ a:.-|~+1{}\u00e4", max_size=40))
@example("[x](https://evil.example)")
@example("![x](https://evil.example/track.png)")
@example("<https://evil.example>")
@example("# big")
@example("1. list")
@example("> quote")
@example("--- ")
@example("`code`")
def test_a_renderer_of_markdown_shows_a_text_as_it_is(text: str) -> None:
    """CommonMark with tables, strikethrough and bare links, as chats have them."""
    line = one_line(text)
    parsed = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"x {markdown(line)} x")
    kinds = {token.type for token in parsed} | {c.type for token in parsed for c in token.children or ()}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special"}
    shown = "".join(c.content for token in parsed for c in token.children or ())
    assert " ".join(shown.split()) == " ".join(f"x {line} x".split())


@pytest.mark.parametrize("call", ["@everyone", "@here", "<@123>", "<!@1>", "@channel", "x@y.example", "@@all"])
def test_nobody_is_called_by_name(call: str) -> None:
    told = calls_nobody(call)
    assert call not in told
    assert told.replace("\u2060", "") == call


def test_a_chat_gets_whole_lines_only() -> None:
    lines = tuple(Line("*" * 100, f"https://s.example/{number}") for number in range(100))
    told = chat_text(lines, "raw")
    assert len(told) <= MAX_CHARS
    assert all(line.startswith("\\*" * 100) for line in told.splitlines())
    assert all(line.split()[-1].startswith("https://s.example/") for line in told.splitlines())


def test_our_own_addresses_stay_links_in_every_kind_of_chat() -> None:
    lines = (Line("*x*", "https://s.example/a_b?x=1"), Line("y"))
    assert chat_text(lines, "plain") == "*x* https://s.example/a_b?x=1\ny"
    assert chat_text(lines, "raw") == "\\*x\\* https://s.example/a_b?x=1\ny"
    shown = MarkdownIt("commonmark").render(chat_text(lines, "markdown"))
    assert '<p>*x* <a href="https://s.example/a_b?x=1">' in shown
    assert "<br />\ny" in shown


@pytest.mark.parametrize(
    "url", ["json://acme.example", "mailto://a:b@acme.example", "syslog://", "exec://x", "file:///etc/passwd", "", "x"]
)
def test_a_channel_of_another_kind_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigError, match="expected one of discord://") as told:
        AppriseSettings(url=url)
    assert "a:b" not in str(told.value)


def test_the_address_of_a_chat_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    assert "canary" not in repr(AppriseSettings(url="ntfy://canary"))
    with pytest.raises(ConfigError) as told:
        AppriseChannel(AppriseSettings(url="discord://canary"))
    assert "canary" not in str(told.value)
    assert "canary" not in caplog.text
