"""Links of a post: addresses without tracking, their domains, and the campaigns that the tracking named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote_plus, urlsplit, urlunsplit

# More is a link farm; a longer address is no page that anybody can open.
MAX_LINKS = 50
MAX_URL_CHARS = 4096

_URL = re.compile(r"https?://[^\s<>\"\u201c\u201d\u00ab\u00bb\u2026\u3000-\u3002\uff08\uff09\uff0c]+", re.IGNORECASE)
_TRAILING = ".,;:!?'*_~|\u2019"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
# Beside `utm_*`: what advertising and mailing services add to a link.
_TRACKING = frozenset((
    "fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "mc_cid", "mc_eid", "igshid", "igsh",
    "twclid", "yclid", "ttclid", "li_fat_id", "vero_id", "_hsenc", "_hsmi", "__hstc", "__hssc", "hsctatracking",
    "mkt_tok", "ref_src", "ref_url", "oly_enc_id", "oly_anon_id", "s_kwcid", "epik", "rb_clickid", "wickedid",
    "_openstat", "cmpid",
))  # fmt: skip
_HOST = re.compile(r"[\w.:-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Link:
    """An address without tracking parameters, its domain, and the campaign it named (raw), if any."""

    url: str
    domain: str
    campaign: str | None


def find_urls(text: str) -> list[str]:
    """Give the http and https addresses written in a text, in order, without the punctuation around them."""
    if "://" not in text:
        return []
    return [_trim(match[0]) for match in _URL.finditer(text)]


def read_links(urls: Iterable[str]) -> list[Link]:
    """Read addresses; what is no http or https address with a host is left out, repeats count once."""
    links: dict[str, Link] = {}
    for url in urls:
        link = read_link(url)
        if link is not None:
            links.setdefault(link.url, link)
        if len(links) == MAX_LINKS:
            break
    return list(links.values())


def read_link(url: str) -> Link | None:
    """Read one address, or None when it is none: another scheme, no host, broken, or too long."""
    if len(url) > MAX_URL_CHARS:
        return None
    try:
        parts = urlsplit(url.strip().replace(" ", "%20"))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not host or len(host) > 253 or not _HOST.fullmatch(host):
        return None
    host = host.rstrip(".")
    if not host:
        return None
    kept, campaign = _without_tracking(parts.query)
    # User and password never belong into an index; a fragment of utm parameters is tracking too.
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        netloc = f"{netloc}:{port}"
    fragment = "" if parts.fragment.lower().startswith("utm_") else parts.fragment
    clean = urlunsplit(SplitResult(parts.scheme, netloc, parts.path, kept, fragment))
    return Link(clean, readable_domain(host), campaign)


def readable_domain(host: str) -> str:
    """Give a host in lower case, without `www.`, punycode labels as people write them."""
    labels = [_decode_label(label) for label in host.lower().split(".")]
    if len(labels) > 2 and labels[0] == "www":
        labels = labels[1:]
    return ".".join(labels)


def _decode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode").lower()
    except UnicodeError:
        return label


def _without_tracking(query: str) -> tuple[str, str | None]:
    if not query:
        return "", None
    kept: list[str] = []
    campaign = None
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = name.lower()
        if name == "utm_campaign" and value and campaign is None:
            campaign = unquote_plus(value, errors="replace")
        if not name.startswith("utm_") and name not in _TRACKING:
            kept.append(pair)
    return "&".join(kept), campaign


def _trim(url: str) -> str:
    """Drop the sentence's punctuation from the end; a closing bracket stays when the address opened it."""
    surplus = {close: url.count(close) - url.count(opening) for close, opening in _BRACKETS.items()}
    end = len(url)
    while end:
        last = url[end - 1]
        if last in _BRACKETS and surplus[last] > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return url[:end]
