"""Settings of Reddit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from domain.errors import ConfigError
from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource

# One subreddit, or several as Reddit itself joins them.
_NAMES = re.compile(r"[A-Za-z0-9_]{2,24}(?:\+[A-Za-z0-9_]{2,24}){0,49}")


def _build(context: SourceContext) -> LiveSource:
    from ingest.reddit import PAGE, SETTING, RedditSettings, RedditSource, names_of

    names = tuple(name.strip().strip("/").removeprefix("r/") for name in context.texts("subreddits"))
    words = names_of(context.brands) if context.values["search_brands"] else ()
    values = context.values
    problems = [
        f"{SETTING}: found {ascii(name)[:60]}, expected the name of a subreddit"
        for name in names
        if not _NAMES.fullmatch(name)
    ]
    if not names and not words:
        problems.append(f"{SETTING}: none is named, and no brand is searched for; see {PAGE}")
    if bool(values["user"]) != bool(values["feed_token"]):
        problems.append(f"source.reddit.user and source.reddit.feed_token go together; see {PAGE}")
    if not (values["contact"].isascii() and values["contact"].isprintable()):
        problems.append("source.reddit.contact: expected plain ASCII, such as u/name or an address of a page")
    if problems:
        raise ConfigError(problems)
    settings = RedditSettings(
        subreddits=names,
        words=words,
        follows_brands=values["search_brands"],
        address=values["address"],
        poll_seconds=values["poll_seconds"],
        contact=values["contact"],
        user=values["user"],
        feed_token=values["feed_token"],
        normalise=replace(context.normalise, html="always"),
        allow_private=context.allow_private,
    )
    return RedditSource(settings, context.clock)


REDDIT = SourceKind(
    name="reddit",
    summary="new posts of subreddits and searches of Reddit by its feeds, as far as Reddit lets us",
    settings=(
        Setting("source.reddit.subreddits", "texts", (), "subreddits to read; from the environment, by commas"),
        Setting("source.reddit.search_brands", "boolean", True, "whether the brands' names are searched for too"),
        Setting("source.reddit.address", "text", "https://www.reddit.com", "where Reddit is"),
        # Reddit's own patience with those who read without a key.
        Setting(
            "source.reddit.poll_seconds",
            "number",
            120.0,
            "how often each feed is asked (seconds)",
            minimum=60,
            maximum=86400,
        ),
        Setting("source.reddit.contact", "text", "", "who asks, as Reddit wants to know: u/name, say"),
        Setting("source.reddit.user", "text", "", "name in the address of a personal feed"),
        Setting("source.reddit.feed_token", "secret", "", "token in the address of a personal feed"),
        Setting("source.reddit.feed_token_file", "path", "", "file that holds `source.reddit.feed_token`"),
    ),
    build=_build,
)
