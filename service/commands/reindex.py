"""`soundings reindex`: build the search index again from the stored mentions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)


def _run(options: Namespace) -> int:
    from service.control import ControlClient
    from service.data_folder import DataFolder, FolderLock
    from service.progress import progress_view, tell_stage

    settings = load_settings(options)
    if settings.store.kind != "embedded":
        raise ConfigError(
            f"store.kind: is {settings.store.kind}, which keeps its index itself; nothing is to be built again"
        )
    folder = DataFolder(settings.data.dir)
    folder.require()
    with progress_view("reindex") as view:
        client = ControlClient.connect(folder.root)
        if client is not None:
            try:
                count = client.ask({"command": "reindex"}, view.update)["mentions"]
            finally:
                client.close()
        else:
            from domain.clock import SystemClock
            from search.embedded import EmbeddedStore

            # Neither brands nor engine are needed: an index can be mended without a usable query.
            with FolderLock.take(folder):
                store = EmbeddedStore.open(folder.store, clock=SystemClock())
                try:
                    store.reindex(tell_stage(view, "reindex"))
                    count = store.count()
                finally:
                    store.close()
    print(f"Indexed {count:,} mentions again.")
    return 0


COMMAND = Command(
    "reindex",
    "Build the search index again from the stored mentions.",
    "Needed only when the index is damaged: an index of another version is rebuilt by itself. Searches go on.",
    _arguments,
    _run,
)
