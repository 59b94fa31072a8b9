"""Reddit by its feeds: new posts of subreddits and of searches, no key, as far as Reddit lets us."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from domain.brand import Brand
from domain.clock import Clock, from_ms
from ingest.clean import plain_text
from ingest.feed_entry import FeedEntry, Revised, canonical, raw_post, row_of, times
from ingest.feed_reader import FeedPlan
from ingest.normalise import NormaliserSettings
from ingest.rss import FeedSource
from ingest.source import RawPost, Removed
from ingest.web import USER_AGENT

PAGE = "docs/sources/reddit.md"
SETTING = "source.reddit.subreddits"
# The most that one feed holds.
_MOST_ENTRIES = 100
# What somebody wrote stands between these; about it is only who submitted it, and links.
_WRITTEN = re.compile(r"<!-- SC_OFF -->(.*?)<!-- SC_ON -->", re.DOTALL)
_TARGET = re.compile(r'<a href="([^"<>]{1,4096})">\[link\]</a>')
_GONE = ("[deleted]", "[removed]")


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedditSettings:
    """What is read of Reddit and how often (seconds).

    `subreddits` are names; `words` are searched for, and are the brands' names as they change where
    `follows_brands`. `contact` is added to what we call ourselves, as Reddit asks.
    `user` and `feed_token` are those of a personal feed's address, which is refused less often.
    """

    subreddits: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    follows_brands: bool = False
    address: str = "https://www.reddit.com"
    poll_seconds: float = 120.0
    host_seconds: float = 10.0
    contact: str = ""
    user: str = ""
    feed_token: str = field(default="", repr=False)
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


class RedditSource(FeedSource):
    """`ingest.source.LiveSource` over Reddit's feeds."""

    def __init__(self, settings: RedditSettings, clock: Clock) -> None:
        super().__init__(_plan(settings), settings.normalise, clock)
        self._settings = settings

    def brands_changed(self, brands: Sequence[Brand]) -> None:
        """As `ingest.source.AsksForWords`: the names that are searched for are those of these brands."""
        if self._settings.follows_brands:
            self.follow(_urls(replace(self._settings, words=names_of(brands))))


def names_of(brands: Sequence[Brand]) -> tuple[str, ...]:
    """Give the words that brands are searched for by."""
    return tuple(dict.fromkeys(brand.name for brand in brands))


def _plan(settings: RedditSettings) -> FeedPlan:
    agent = f"{USER_AGENT[:-1]}; {settings.contact})" if settings.contact else USER_AGENT
    return FeedPlan(
        name="reddit",
        setting=SETTING,
        page=PAGE,
        urls=tuple(_urls(settings)),
        poll_seconds=settings.poll_seconds,
        host_seconds=settings.host_seconds,
        shape=submission,
        headers={"User-Agent": agent},
        allow_private=settings.allow_private,
    )


def _urls(settings: RedditSettings) -> Sequence[str]:
    """Give the feeds: one for each subreddit and each word."""
    base = settings.address.rstrip("/")
    ours = {"feed": settings.feed_token, "user": settings.user} if settings.feed_token else {}
    newest = urlencode({"limit": _MOST_ENTRIES, **ours})
    urls = [f"{base}/r/{name}/new/.rss?{newest}" for name in settings.subreddits]
    for word in settings.words:
        query = {"q": '"{}"'.format(word.replace('"', " ")), "sort": "new", "limit": _MOST_ENTRIES, **ours}
        urls.append(f"{base}/search.rss?{urlencode(query)}")
    return urls


def submission(revised: Revised) -> RawPost | Removed:
    """Give the raw post of an entry of Reddit, or its removal where somebody took the text away.

    The author is "u/name", a name and an id within Reddit only: Reddit forbids to look for the same person elsewhere,
    and so written it is nobody's name anywhere else.
    """
    entry = revised.entry
    written = _WRITTEN.search(entry.text)
    text = written[1] if written else ""
    shown = plain_text(text, "always")[0]
    if entry.guid and shown in _GONE:
        at = revised.edited_ms or revised.published_ms or 0
        return Removed(native_id=entry.guid, removed_at=from_ms(at))
    author = entry.author.removeprefix("/")
    author = "" if any(gone in author for gone in _GONE) else author
    fields: dict[str, object] = {
        "id": entry.guid or canonical(entry.link),
        "text": text if shown else entry.title,
        "title": entry.title if shown else "",
        "url": canonical(entry.link),
        "kind": "comment" if entry.guid.startswith("t1_") else "post",
        "author_handle": author,
        "author_id": author,
        "links": _target(entry),
        **times(revised),
    }
    attrs = {"subreddit": entry.tags[0] if entry.tags else ""}
    return raw_post(fields, attrs, row_of(entry, revised.host))


def _target(entry: FeedEntry) -> list[str]:
    """Give what the post is a link to, where that is not the post itself."""
    found = _TARGET.search(entry.text)
    target = html.unescape(found[1]) if found else ""
    return [target] if target and canonical(target) != canonical(entry.link) else []
