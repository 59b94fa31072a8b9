"""`soundings forget` and `soundings retractions`: what must go because somebody asks, and who asked for what."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from service.command import Command, add_config, add_data_dir, load_settings, positive
from service.terminal import safe


def _forget_arguments(parser: ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--post", metavar="SOURCE:ID", help="a post, as `post_id` in a search")
    subject.add_argument(
        "--author", metavar="SOURCE:ID", help="an author and all posts, by the id that the source uses"
    )
    parser.add_argument("--by", metavar="NAME", required=True, help="who asks for it, for the ledger")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the ledger; not what the post says")
    add_config(parser)
    add_data_dir(parser)


def _forget(options: Namespace) -> int:
    from search.retractions import NOT_RECALLED
    from service.access import perform
    from service.data_folder import DataFolder
    from service.forget import forget_on_cluster, read_request, told

    request = read_request(post=options.post, author=options.author, asked_by=options.by, reason=options.reason)
    settings = load_settings(options)
    if settings.log.kind != "embedded":
        lines = forget_on_cluster(settings, request)
    else:
        DataFolder(settings.data.dir).require()
        did = perform(settings, "forget", request.ask(), lambda pipeline, report: pipeline.forget(request, report))
        lines = told(request, did)
    print("\n".join(map(safe, [*lines, f"`soundings retractions` shows it. {NOT_RECALLED}"])))
    return 0


def _list_arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="the last N (default 50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _list(options: Namespace) -> int:
    from search.retractions import NOT_RECALLED
    from service.components import open_reader
    from service.forget import facts

    with open_reader(load_settings(options)) as reader:
        rows = reader.store.retractions(options.limit)
    for row in facts(rows):
        if options.json:
            print(json.dumps(row))
            continue
        done = f"done {row['done_at'][:19]}" if row["done_at"] else "not done yet"
        number = f"{row['mentions']:,} mention{'s' if row['mentions'] != 1 else ''}"
        print(safe(f"{row['asked_at'][:19]}  {row['subject']} {row['id']}"))
        print(safe(f"    asked by {row['asked_by']}: {row['reason']}; {done}, {number}"))
    if not options.json:
        print(NOT_RECALLED if rows else "No retractions.")
    return 0


FORGET = Command(
    "forget",
    "Remove a post, or an author with all posts, because a person asks for it.",
    "Every mention goes from the store, the block keeps later copies out, and dead letters lose what they held; it\n"
    "says how many. What is not known is blocked all the same, and told with what an id looks like. A source that is\n"
    "neither one of ours nor has mentions is refused. On one machine the records of the log are overwritten; Kafka\n"
    "keeps them until its retention is over. In a cluster the request is put on the log. A restoration by the source\n"
    "lifts it.",
    _forget_arguments,
    _forget,
)
RETRACTIONS = Command(
    "retractions",
    "Show the ledger of retractions: what went, who asked for it, when, and when it was done.",
    "The last one first: those of the sources and those of `soundings forget`. Never shows what a post said. Works\n"
    "beside a running pipeline.",
    _list_arguments,
    _list,
)
