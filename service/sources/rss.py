"""Settings of feeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from domain.errors import ConfigError
from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource

_FEEDS, _OPML = "source.rss.feeds", "source.rss.opml"


def _build(context: SourceContext) -> LiveSource:
    from ingest.opml import read_opml
    from ingest.rss import PAGE, RssSettings, rss_source

    named, file = context.texts("feeds"), context.values["opml"]
    listed = read_opml(Path(file).expanduser(), _OPML) if file else ()
    problems = [problem for key, urls in ((_FEEDS, named), (_OPML, listed)) for problem in _problems(key, urls)]
    if not named and not listed:
        problems.append(f"{_FEEDS}: no feed is named; list addresses here, or name a file as {_OPML}; see {PAGE}")
    if problems:
        raise ConfigError(problems)
    settings = RssSettings(
        feeds=tuple(dict.fromkeys([*named, *listed])),
        poll_seconds=context.values["poll_seconds"],
        host_seconds=context.values["host_seconds"],
        normalise=replace(context.normalise, html="always"),
        allow_private=context.allow_private,
    )
    return rss_source(settings, context.clock)


def _problems(key: str, urls: tuple[str, ...]) -> list[str]:
    """Tell which texts are no address of a feed. None is shown whole: there may be a key in it."""
    problems: list[str] = []
    for number, url in enumerate(urls, start=1):
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            named = parts.username is not None or parts.password is not None
        except ValueError:
            usable = named = False
        if not usable:
            problems.append(f"{key}: number {number} is no http or https address")
        elif named:
            problems.append(f"{key}: number {number} has a user name in it, which is not sent; leave it out")
    return problems


RSS = SourceKind(
    name="rss",
    summary="news and blogs by their feeds (RSS, RDF, Atom)",
    settings=(
        Setting(_FEEDS, "texts", (), "addresses of feeds; from the environment, separated by commas"),
        Setting(_OPML, "path", "", "OPML file with feeds, as a feed reader exports it; read when listening starts"),
        Setting(
            "source.rss.poll_seconds",
            "number",
            600.0,
            "how often each feed is asked for news (seconds)",
            minimum=30,
            maximum=86400,
        ),
        Setting(
            "source.rss.host_seconds",
            "number",
            2.0,
            "what lies between two questions to one host (seconds)",
            minimum=0,
            maximum=3600,
        ),
    ),
    build=_build,
)
