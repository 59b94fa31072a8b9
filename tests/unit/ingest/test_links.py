"""Links without tracking, domains as people write them, campaigns."""

from __future__ import annotations

import pytest

from ingest.links import MAX_LINKS, Link, find_urls, read_link, read_links


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("no link, no t.co/x", []),
        ("see http://t.co/LM3opxkxch.", ["http://t.co/LM3opxkxch"]),
        ("(https://a.example/b_(c)) and HTTPS://B.example!", ["https://a.example/b_(c)", "HTTPS://B.example"]),
        ("\u201chttps://a.example/x\u201d, https://a.example/y\u2026", ["https://a.example/x", "https://a.example/y"]),
    ],
)
def test_addresses_are_found_without_the_punctuation_around_them(text: str, urls: list[str]) -> None:
    assert find_urls(text) == urls


@pytest.mark.parametrize(
    ("url", "link"),
    [
        (
            "https://www.Shop.example/sale?utm_source=x&id=7&UTM_Campaign=Spring+Sale&fbclid=1",
            Link("https://www.shop.example/sale?id=7", "shop.example", "Spring Sale"),
        ),
        ("http://user:secret@a.example:80/p#top", Link("http://a.example/p#top", "a.example", None)),
        ("https://a.example:8443/#utm_source=rss", Link("https://a.example:8443/", "a.example", None)),
        ("https://xn--mnchen-3ya.de/", Link("https://xn--mnchen-3ya.de/", "m\u00fcnchen.de", None)),
        ("https://m\u00fcnchen.de/", Link("https://m\u00fcnchen.de/", "m\u00fcnchen.de", None)),
        ("https://xn--\u00ff.example/", Link("https://xn--\u00ff.example/", "xn--\u00ff.example", None)),
        ("http://[2001:db8::1]/x", Link("http://[2001:db8::1]/x", "2001:db8::1", None)),
        ("http://www.com/", Link("http://www.com/", "www.com", None)),
        ("javascript:alert(1)", None),
        ("ftp://a.example/", None),
        ("http://", None),
        ("http://...", None),
        ("http://[broken", None),
        ("http://a.example:99999999/", None),
        ("http://<script>/", None),
        ("https://a.example/" + "x" * 5000, None),
    ],
)
def test_an_address_is_read_or_refused(url: str, link: Link | None) -> None:
    assert read_link(url) == link


def test_links_are_unique_and_limited() -> None:
    assert len(read_links(["https://a.example/?utm_source=1", "https://a.example/"])) == 1
    assert len(read_links(f"https://a.example/{number}" for number in range(1000))) == MAX_LINKS
