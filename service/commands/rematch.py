"""`soundings rematch`: hold the posts that are kept against a brand's query as it is now."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from service.command import Command, add_config, add_data_dir, load_settings
from service.terminal import safe


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("brand_id", metavar="BRAND", help="its id")
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from service.access import perform
    from service.data_folder import DataFolder

    settings = load_settings(options)
    if settings.log.kind != "embedded":
        from service.cluster_tasks import rematch_on_cluster

        did: Mapping[str, Any] = rematch_on_cluster(settings, options.brand_id)
    else:
        DataFolder(settings.data.dir).require()
        did = perform(
            settings,
            "rematch",
            {"command": "rematch", "brand_id": options.brand_id},
            lambda pipeline, report: pipeline.rematch(options.brand_id, report),
        )
    if options.json:
        print(json.dumps(did))
        return 0
    again = ", resumed" if did["resumed"] else ""
    again += ", which went on already" if did["joined"] else ""
    revision = f"revision {did['query_revision']} of its query"
    print(safe(f"Rematched {did['brand_id']} in {did['seconds']:.1f} s with {revision} (run {did['run']}{again})"))
    kept = "kept posts" if did["kept"] is None else f"of {did['kept']:,} kept posts"
    for name, meaning in (
        ("looked", f"{kept} held against it: those that it finds, or that the brand had"),
        ("added", "mentions added, marked as backfilled"),
        ("withdrawn", "mentions withdrawn"),
        ("older", "left as they are: the text of their newest revision is not kept"),
    ):
        if did[name] or name != "older":
            print(f"  {name:<10}{did[name]:>10,}  {meaning}")
    return 0


COMMAND = Command(
    "rematch",
    "Hold the posts that are kept against a brand's query as it is now.",
    "Kept are the posts that some brand found, with their texts. Those that the query finds and that lack the brand\n"
    "get a mention, those that it no longer finds lose theirs. None of it raises an alert. Doing it again changes\n"
    "nothing; killed at any moment, the same command goes on where it was. Where it goes on already, the command\n"
    "shows that one and waits for it.",
    _arguments,
    _run,
)
