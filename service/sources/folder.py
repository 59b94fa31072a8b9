"""Settings of the watched folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource


def _build(context: SourceContext) -> LiveSource:
    from ingest.file_shape import FileSettings
    from ingest.folder import FolderSettings, FolderSource

    settings = FolderSettings(
        path=context.values["path"],
        poll_seconds=context.values["poll_seconds"],
        settle_seconds=context.values["settle_seconds"],
        rows=context.rows or FileSettings(path="-", normalise=context.normalise),
        backfilled=context.values["backfilled"],
    )
    return FolderSource(settings, context.clock)


FOLDER = SourceKind(
    name="folder",
    summary="files that are dropped into a watched folder, read as `[source.file]` says",
    settings=(
        Setting("source.folder.path", "path", "", "folder to watch; what was read goes to `done/` and `failed/` in it"),
        Setting(
            "source.folder.poll_seconds",
            "number",
            5.0,
            "how often it is looked at (seconds)",
            minimum=0.1,
            maximum=86400,
        ),
        Setting(
            "source.folder.settle_seconds",
            "number",
            5.0,
            "how long a file must stay the same to count as whole (seconds)",
            minimum=0.1,
            maximum=86400,
        ),
        Setting(
            "source.folder.backfilled",
            "boolean",
            False,
            "whether what is dropped is the past, and raises no alert",
        ),
    ),
    build=_build,
)
