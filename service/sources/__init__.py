"""The live sources: their settings and how each is built, a module for each. Nothing is imported before it is built."""

from __future__ import annotations

from service.setting import Setting
from service.sources.bluesky import BLUESKY
from service.sources.folder import FOLDER
from service.sources.gdelt import GDELT
from service.sources.hackernews import HACKERNEWS
from service.sources.kind import SourceKind
from service.sources.mastodon import MASTODON
from service.sources.reddit import REDDIT
from service.sources.rss import RSS
from service.sources.webhook import WEBHOOK
from service.sources.x import X
from service.sources.youtube import YOUTUBE

SOURCE_KINDS: tuple[SourceKind, ...] = (
    BLUESKY,
    MASTODON,
    X,
    RSS,
    REDDIT,
    HACKERNEWS,
    YOUTUBE,
    GDELT,
    FOLDER,
    WEBHOOK,
)
SOURCE_SETTINGS: tuple[Setting, ...] = tuple(setting for kind in SOURCE_KINDS for setting in kind.settings)
# What listens without a key and without further settings: `soundings up --brand NAME`.
KEYLESS: tuple[str, ...] = tuple(kind.name for kind in SOURCE_KINDS if kind.keyless)
