"""`soundings brands`: what is listened for, and changing it while it runs."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.terminal import complain, safe


def _arguments(parser: ArgumentParser) -> None:
    acts = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def act(name: str, summary: str, run: Callable[[Namespace], int]) -> ArgumentParser:
        added = acts.add_parser(name, help=summary, description=summary)
        add_config(added)
        add_data_dir(added)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(action=run, act=name)
        return added

    act("list", "Show all brands, what they are found by and where each is changed.", _list)
    add = act("add", "Listen for a brand, from now on.", _change)
    add.add_argument("name", metavar="NAME", help="what it is called")
    add.add_argument("--query", metavar="QUERY", help="what finds it (default: its name as a phrase)")
    add.add_argument("--id", metavar="ID", dest="brand_id", help="its id, which never changes (default: from its name)")
    _add_words(add)
    edit = act("edit", "Change a brand that was made here.", _change)
    edit.add_argument("brand_id", metavar="BRAND", help="its id")
    edit.add_argument("--name", metavar="NAME", help="what it is called from now on")
    edit.add_argument("--query", metavar="QUERY", help="what finds it from now on")
    _add_words(edit)
    for name, summary in (
        ("pause", "Match a brand no longer; its mentions stay."),
        ("resume", "Match a paused brand again."),
        ("remove", "Forget a brand that was made here; its mentions stay."),
    ):
        act(name, summary, _change).add_argument("brand_id", metavar="BRAND", help="its id")


def _add_words(parser: ArgumentParser) -> None:
    parser.add_argument("--handle", action="append", dest="handles", metavar="HANDLE", help="its own; may be repeated")
    parser.add_argument(
        "--competitor", action="append", dest="competitors", metavar="BRAND", help="id of another; may be repeated"
    )


def _run(options: Namespace) -> int:
    code: int = options.action(options)
    return code


def _list(options: Namespace) -> int:
    from service.brand_desk import brand_states
    from service.brands import told

    brands = [told(state) for state in brand_states(load_settings(options))]
    if options.json:
        print(json.dumps({"brands": brands}))
    else:
        print("\n".join(map(safe, _lines(brands))) if brands else "No brands.")
    return 0


def _lines(brands: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for brand in brands:
        state = "paused" if brand["paused"] else "on"
        where = brand["file"] or "made here"
        lines.append(f"{brand['brand_id']:<20} {state:<6} r{brand['query_revision']:<4} {brand['name']}  ({where})")
        lines.append(f"  {brand['query']}")
    return lines


def _change(options: Namespace) -> int:
    from domain.query.parser import parse
    from service.brand_desk import change_brands
    from service.commands.init import check_names, query_for

    settings = load_settings(options)
    given = vars(options)
    values = {name: given.get(name) for name in ("name", "query", "handles", "competitors")}
    if options.act == "edit" and all(value is None for value in values.values()):
        raise ConfigError("brands edit: nothing to change; expected --name, --query, --handle or --competitor")
    if options.act == "add":
        check_names([options.name.strip()])
        values["query"] = options.query or query_for(options.name)
        values["brand_id"] = options.brand_id
    if values["query"]:
        # Here, where it can be shown with a caret.
        parse(values["query"])
    answer = change_brands(settings, {"act": options.act, "brand_id": options.brand_id, "values": values})
    complain(answer.get("warnings", ()))
    if options.json:
        print(json.dumps({"brand": answer or None}))
    elif not answer:
        print(safe(f"Brand {options.brand_id} is removed; its mentions stay."))
    else:
        print("\n".join(map(safe, _lines([answer]))))
        if options.act == "edit" and values["query"]:
            print(safe(f"From now on. `soundings rematch {answer['brand_id']}` holds the kept posts against it too."))
    return 0


COMMAND = Command(
    "brands",
    "Show the brands, and add, edit, pause, resume or remove them while it runs.",
    "A brand of the configuration file is changed there, and the file is read again by itself; it can be paused here.\n"
    "Brands made here are kept in the log. Each change of a query raises its revision. A pipeline or workers that run\n"
    "take up what changed within seconds.",
    _arguments,
    _run,
)
