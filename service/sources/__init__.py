"""The live sources: their settings and how each is built, a module for each. Nothing is imported before it is built."""

from __future__ import annotations

from service.setting import Setting
from service.sources.bluesky import BLUESKY
from service.sources.folder import FOLDER
from service.sources.gdelt import GDELT
from service.sources.hackernews import HACKERNEWS
from service.sources.kind import SourceKind
from service.sources.webhook import WEBHOOK
from service.sources.youtube import YOUTUBE

SOURCE_KINDS: tuple[SourceKind, ...] = (BLUESKY, HACKERNEWS, FOLDER, WEBHOOK, GDELT, YOUTUBE)
SOURCE_SETTINGS: tuple[Setting, ...] = tuple(setting for kind in SOURCE_KINDS for setting in kind.settings)
# What listens without a key and without further settings: `soundings up --brand NAME`.
KEYLESS: tuple[str, ...] = tuple(kind.name for kind in SOURCE_KINDS if kind.keyless)
