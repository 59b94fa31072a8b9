"""`soundings trace`: where one post is, and what became of it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from service.command import Command, add_config, add_data_dir, load_settings
from service.terminal import safe


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("post_id", metavar="POST_ID", help="as `post_id` in a search, such as x:123")
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from service.components import open_reader
    from service.trace import is_known, trace

    with open_reader(load_settings(options)) as reader:
        found = trace(reader.log, reader.store, options.post_id)
    print(json.dumps(found) if options.json else "\n".join(safe(line) for line in _lines(found)))
    return 0 if is_known(found) else 1


def _lines(found: Mapping[str, Any]) -> list[str]:
    ledger = found["ledger"]
    lines = [f"post {found['post_id']}"]
    if ledger is None and (found["stored"] or found["retracted_at"] is not None):
        lines.append("  ledger        not in it: what is stored came by `import`, or through a log that is no more")
    elif ledger is None:
        lines.append("  ledger        never taken in: it named no brand, was parked, or was never read")
    else:
        gone = "; retracted, nothing brings it back" if ledger["gone"] else ""
        brands = ", ".join(ledger["brands"]) or "none"
        lines.append(f"  ledger        revision {ledger['revision_ms']}, brands {brands}{gone}")
    lines += _section("log, posts", found["posts"], ("place", "kind", "appended_at", "run"), "nothing left of it")
    names = ("place", "kind", "brand", "sentiment", "version", "appended_at")
    lines += _section("log, mentions", found["mentions"], names, "nothing left of it")
    lines += _section("store", found["stored"], ("brand", "sentiment", "version", "model", "story"), "no mention")
    if found["retracted_at"] is not None:
        asked = _asked(found["retraction"])
        lines.append(f"  tombstone     retracted at {found['retracted_at']}{asked}: nothing brings it back")
    if found["author_retraction"] is not None:
        lines.append(f"  author        {found['author']} was retracted{_asked(found['author_retraction'])}")
    elif ledger is not None and not (ledger["gone"] or found["posts"] or found["mentions"] or found["stored"]):
        # Whose it is stands in none of the three any more.
        lines.append("  author        not known from what is left; `soundings retractions` shows which were retracted")
    lines += _section(
        "dead letters", found["dead_letters"], ("number", "stage", "reason", "position", "resolution"), "none"
    )
    return lines


def _asked(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    done = "" if row["done_at"] else "; not done yet"
    return f", as {row['asked_by']} asked at {row['asked_at'][:19]}: {row['reason']}{done}"


def _section(name: str, rows: Sequence[Mapping[str, Any]], fields: Sequence[str], nothing: str) -> list[str]:
    if not rows:
        return [f"  {name:<14}{nothing}"]
    shown = ["  ".join(str(row[field]) for field in fields if row.get(field) is not None) for row in rows]
    return [f"  {name if number == 0 else '':<14}{line}" for number, line in enumerate(shown)]


COMMAND = Command(
    "trace",
    "Follow one post through ledger, log, store and dead letters.",
    "Shows where it is and what became of it, never what it says. The log keeps handled records for a while only.\n"
    "Works beside a running pipeline. A dead letter whose record could not be read has no post id: look for it by\n"
    "its reason. What came by `import` is in the store alone: ledgers and logs do not move. Exit code 1 when nothing\n"
    "knows of the post.",
    _arguments,
    _run,
)
