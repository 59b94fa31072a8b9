"""Settings of Bluesky."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource

# As `ingest.bluesky.HOSTS`, which is not imported before it is needed; a test holds them together.
_HOSTS = (
    "jetstream.us-east.bsky.network",
    "jetstream.us-west.bsky.network",
    "jetstream2.us-east.bsky.network",
    "jetstream1.us-west.bsky.network",
)


def _build(context: SourceContext) -> LiveSource:
    from ingest.bluesky import BlueskySettings, BlueskySource

    settings = BlueskySettings(
        hosts=context.texts("hosts"),
        version=context.values["version"],
        silence_seconds=context.values["silence_seconds"],
        rewind_seconds=context.values["rewind_seconds"],
        appview_address=context.values["appview_address"].rstrip("/"),
        normalise=context.normalise,
        allow_private=context.allow_private,
    )
    return BlueskySource(settings, context.clock)


BLUESKY = SourceKind(
    name="bluesky",
    summary="all public posts of Bluesky, as they are written",
    settings=(
        Setting(
            "source.bluesky.hosts",
            "texts",
            _HOSTS,
            "its Jetstream servers: the first that can be reached is listened to, the next when it fails; "
            "`ws://HOST:PORT` for one of your own without TLS",
        ),
        Setting(
            "source.bluesky.version",
            "choice",
            "auto",
            "version of the protocol that is spoken; auto tries 2, then 1",
            choices=("auto", "1", "2"),
        ),
        Setting(
            "source.bluesky.silence_seconds",
            "number",
            30.0,
            "after how long without any event a connection counts as dead (seconds)",
            minimum=1,
            maximum=86400,
        ),
        Setting(
            "source.bluesky.rewind_seconds",
            "number",
            5.0,
            "how much is heard again when another server takes over (seconds)",
            minimum=0,
            maximum=600,
        ),
        Setting(
            "source.bluesky.appview_address",
            "text",
            "https://public.api.bsky.app",
            "where numbers of likes, reposts and replies are looked up; empty: nowhere",
        ),
    ),
    build=_build,
    keyless=True,
    tells_engagement=True,
)
