"""Reading feeds: whatever was meant by them is read, and nothing hostile in them does anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from html import escape

import pytest

from ingest.feed import MAX_ENTRIES, NotAFeed, parse_feed
from ingest.feed_entry import Feed, FeedEntry, Revised, article, native_id
from ingest.feed_process import FeedProcess, Unreadable

BASE = "https://news.example/feeds/all.xml"


def read(body: str | bytes, content_type: str = "application/rss+xml") -> Feed:
    raw = body.encode() if isinstance(body, str) else body
    return parse_feed(raw, content_type, BASE)


def rss(items: str) -> str:
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{items}</channel></rss>'


def only(feed: Feed) -> FeedEntry:
    (entry,) = feed.entries
    return entry


def as_post(entry: FeedEntry) -> dict[str, object]:
    revised = Revised(entry=entry, feed="News", host="news.example", published_ms=None, edited_ms=None)
    return dict(article(revised).fields)


ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en-GB"><title>Blog</title><entry>
<id>tag:blog.example,2026:1</id><title type="text">1 &lt; 2</title><link href="/2026/one?utm_source=feed"/>
<author><name>Ann Author</name><email>ann@blog.example</email></author>
<category term="science"/><category term="Science &amp; Nature"/>
<published>2026-11-01T10:00:00Z</published><updated>2026-11-02T11:00:00+01:00</updated>
<summary>short</summary><content type="html">&lt;p&gt;the whole &lt;b&gt;text&lt;/b&gt;&lt;/p&gt;</content>
<link rel="enclosure" href="https://blog.example/a.mp3"/></entry></feed>"""


def test_an_entry_of_atom_is_read_whole() -> None:
    entry = only(read(ATOM, "application/atom+xml"))
    assert entry == FeedEntry(
        guid="tag:blog.example,2026:1",
        link="https://news.example/2026/one?utm_source=feed",
        title="1 &lt; 2",
        text="<p>the whole <b>text</b></p>",
        author="Ann Author",
        lang="en-GB",
        published_ms=1793527200000,
        updated_ms=1793613600000,
        tags=("science", "Science & Nature"),
    )
    fields = as_post(entry)
    assert fields["url"] == "https://news.example/2026/one"
    assert fields["hashtags"] == ["science"]
    assert "mp3" not in str(fields)


def test_rdf_is_read() -> None:
    feed = read(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
        '<item rdf:about="https://x.example/1"><title>One</title><link>https://x.example/1</link></item></rdf:RDF>'
    )
    assert only(feed).title == "One"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("<guid>https://x.example/?p=1</guid>", "https://x.example/?p=1"),
        ('<guid isPermaLink="false">17</guid>', "news.example#17"),
        ("<guid>17</guid>", "news.example#17"),
        ("<link>https://x.example/a?id=3&amp;utm_medium=rss&amp;fbclid=z</link>", "https://x.example/a?id=3"),
        ("<description>words</description>", ""),
    ],
)
def test_an_id_is_the_guid_or_the_link_without_tracking(item: str, expected: str) -> None:
    assert native_id(only(read(rss(f"<item><title>t</title>{item}</item>"))), "news.example") == expected


def test_an_entry_without_guid_and_link_is_known_by_what_it_says() -> None:
    one, other = (only(read(rss(f"<item><description>{text}</description></item>"))) for text in ("a", "b"))
    rows = [
        article(Revised(entry=entry, feed="", host="h", published_ms=None, edited_ms=None)).row
        for entry in (one, other)
    ]
    assert None not in rows
    assert len(set(rows)) == 2


def test_an_address_of_an_author_is_not_kept() -> None:
    authors = ("ann@blog.example", "ann@blog.example (Ann Author)")
    feeds = [read(rss(f"<item><title>t</title><author>{author}</author></item>")) for author in authors]
    assert [only(feed).author for feed in feeds] == ["", "Ann Author"]


def test_the_newest_entry_is_last() -> None:
    dates = ("Tue, 03 Nov 2026 10:00:00 GMT", "Wed, 04 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 10:00:00 GMT")
    feed = read(rss("".join(f"<item><title>{d[:3]}</title><pubDate>{d}</pubDate></item>" for d in dates)))
    assert [entry.title for entry in feed.entries] == ["Mon", "Tue", "Wed"]


def test_a_date_that_is_none_is_unknown() -> None:
    assert only(read(rss("<item><title>t</title><pubDate>soon</pubDate></item>"))).published_ms is None


def test_of_too_many_entries_the_newest_are_read() -> None:
    feed = read(rss("".join(f"<item><title>{n}</title></item>" for n in range(MAX_ENTRIES + 5))))
    assert (len(feed.entries), feed.left_out, feed.entries[-1].title) == (MAX_ENTRIES, 5, "0")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (rss("<item><title>Größe</title></item>").encode(), "text/xml"),
        (rss("<item><title>Größe</title></item>").encode(), "text/xml; charset=iso-8859-1"),
        (rss("<item><title>Größe</title></item>").encode(), "text/html; charset=no-such-thing"),
        (rss("<item><title>Größe</title></item>").encode("utf-8-sig"), ""),
        (rss("<item><title>Größe</title></item>").encode("utf-16"), "application/xml"),
        (rss("<item><title>Größe</title></item>").encode("latin-1"), "text/xml; charset=iso-8859-1"),
        (
            rss("<item><title>Größe</title></item>").replace("?>", ' encoding="iso-8859-1"?>', 1).encode("latin-1"),
            "application/xml",
        ),
        (rss("<item><title>Größe</title></item>").encode("cp1252"), "application/xml; charset=utf-8"),
    ],
)
def test_an_encoding_is_found_whatever_was_declared(body: bytes, content_type: str) -> None:
    assert only(read(body, content_type)).title == "Größe"


@pytest.mark.parametrize(
    "body",
    [
        rss("<item><title>good</title><description>a & b <br> c</description></item>"),
        rss("<item><title>good</title>") + "<item>",
        rss("<item><title>good</title><media:thing/></item>"),
        rss("<item><title>go\x00od\x08</title></item>"),
        "\n\n  " + rss("<item><title>good</title></item>"),
        rss("<item><title>good</title></item>").replace("</channel></rss>", ""),
    ],
)
def test_a_broken_feed_is_used_as_far_as_it_goes(body: str) -> None:
    assert read(body).entries[-1].title == "good"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("<!DOCTYPE html><html><item><title>x</title></item></html>", "web page"),
        ('<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html><body>hi</body></html>', "web page"),
        ('{"items": []}', "JSON"),
        ("once upon a time", "RSS or Atom"),
        ("<rss><channel><title>cut", "RSS or Atom"),
        ("<opml><body/></opml>", "RSS or Atom"),
        (b"\xff\xd8\xff\xe0 a picture \x00\x01", "RSS or Atom"),
    ],
)
def test_what_is_no_feed_is_told(body: str | bytes, said: str) -> None:
    with pytest.raises(NotAFeed, match=said):
        read(body)


def test_an_empty_feed_is_a_feed() -> None:
    assert read(rss("")).entries == ()


def test_entities_do_not_grow() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{laughs}]>'
        + rss("<item><title>&l11;</title><description>&l11;</description></item>").partition("?>")[2]
    )
    try:
        feed = read(bomb)
    except NotAFeed:
        return
    assert sum(len(entry.title) + len(entry.text) for entry in feed.entries) < 10_000


def test_a_long_entity_named_often_does_not_grow(reading: FeedProcess) -> None:
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "{"x" * 50_000}">]>'
        + rss(f"<item><title>{'&a;' * 50_000}</title></item>").partition("?>")[2]
    )
    try:
        feed = reading.parse(bomb.encode(), "application/xml", BASE)
    except Unreadable:
        return
    assert sum(len(entry.title) for entry in feed.entries) < 1_000_000


def test_external_entities_are_not_read() -> None:
    body = (
        f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "{__file__}">]>'
        + rss("<item><title>it is &x;</title></item>").partition("?>")[2]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
        feed = read(body)
    assert "Reading feeds" not in only(feed).title


def test_markup_stays_for_the_normaliser_and_plain_text_is_no_markup() -> None:
    hostile = "<script>alert(1)</script><p onclick='x'>hi</p>"
    assert only(read(rss(f"<item><description>{escape(hostile)}</description></item>"))).text == hostile
    entry = '<entry><id>a:1</id><content type="text">if a &lt;b&gt; c</content></entry>'
    plain = only(read(f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>'))
    assert plain.text == "if a &lt;b&gt; c"


@pytest.fixture
def reading() -> Iterator[FeedProcess]:
    process = FeedProcess()
    yield process
    process.close()


def test_the_process_gives_what_the_parser_gives(reading: FeedProcess) -> None:
    assert reading.parse(ATOM.encode(), "application/atom+xml", BASE) == read(ATOM, "application/atom+xml")
    with pytest.raises(Unreadable, match="web page"):
        reading.parse(b"<html>", "text/html", BASE)


def test_a_feed_that_keeps_the_parser_busy_is_given_up_and_the_next_is_read() -> None:
    reading = FeedProcess(seconds=1)
    try:
        # feedparser looks for an address in it, in quadratic time.
        hostile = rss(f"<item><author>{'a.' * 500_000}</author></item>")
        with pytest.raises(Unreadable, match="too long"):
            reading.parse(hostile.encode(), "application/rss+xml", BASE)
        assert reading.parse(rss("<item><title>next</title></item>").encode(), "", BASE).entries[0].title == "next"
    finally:
        reading.close()


def test_closing_ends_what_is_being_read() -> None:
    reading = FeedProcess(seconds=600)
    ended: list[str] = []

    def parse() -> None:
        try:
            reading.parse(rss(f"<item><author>{'a.' * 2_000_000}</author></item>").encode(), "", BASE)
        except Unreadable as exc:
            ended.append(str(exc))

    thread = threading.Thread(target=parse, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not ended:
        reading.close()
        thread.join(0.05)
        assert time.monotonic() < deadline
    assert "too long" in ended[0]
