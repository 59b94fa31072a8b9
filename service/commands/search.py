"""`soundings search`: find mentions, with what matched marked."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from typing import TYPE_CHECKING, Any

from domain.records import SENTIMENTS
from service.command import Command, add_config, add_data_dir, load_settings, positive
from service.terminal import safe, shorten

if TYPE_CHECKING:
    from domain.query.ast import Node
    from domain.records import Mention

# As the store's, which is not imported only to read arguments.
MAX_LIMIT = 500
_TEXT_WIDTH = 400


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="in the query language; '' finds everything")
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--brand", action="append", default=[], metavar="ID", help="only this brand; may be repeated")
    parser.add_argument(
        "--sentiment", action="append", default=[], choices=SENTIMENTS, help="only this sentiment; may be repeated"
    )
    parser.add_argument(
        "--limit",
        type=partial(positive, most=MAX_LIMIT),
        default=20,
        metavar="N",
        help=f"show at most N mentions, up to {MAX_LIMIT} (default 20)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from domain.query import lint, parse
    from domain.query.ast import And, Keyword, Or
    from search.store import SearchRequest
    from service.components import open_reader
    from service.settings_checks import nearest

    node = parse(options.query)
    settings = load_settings(options)
    if not options.json:
        for warning in lint(options.query):
            print(safe(f"note: at position {warning.position + 1}: {warning.message}"), file=sys.stderr)
    parts: list[Node] = [node]
    for field, values in (("brand_id", options.brand), ("sentiment", options.sentiment)):
        if values:
            parts.append(Or(tuple(Keyword(field, value) for value in values)))
    with open_reader(settings) as reader:
        page = reader.store.search(SearchRequest(And(tuple(parts)), limit=options.limit))
    if options.json:
        print(json.dumps({"total": page.total, "mentions": [_document(node, mention) for mention in page.mentions]}))
        return 0
    _show(node, page.mentions)
    for brand in options.brand if not page.total else ():
        if brand not in (names := [known.brand_id for known in settings.brands]):
            print(safe(f"note: the configuration has no brand {brand}{nearest(brand, names)}"), file=sys.stderr)
    shown = len(page.mentions)
    print(
        f"{page.total:,} mention{'' if page.total == 1 else 's'}" + (f", {shown} shown" if shown < page.total else "")
    )
    return 0


def _document(node: Node, mention: Mention) -> dict[str, Any]:
    from search.highlight import highlights
    from stream.codec import document_of

    marks = [[span.start, span.end, span.field] for span in highlights(node, mention)]
    return {**_plain(document_of(mention)), "highlights": marks}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Give times as text; the rest of a document is plain already."""
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in document.items()}


def _show(node: Node, mentions: tuple[Mention, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    from search.highlight import highlights

    # Text objects are printed as they are: no markup is read from what people wrote.
    console = Console(highlight=False, soft_wrap=True)
    colours = {"negative": "red", "positive": "green"}
    for mention in mentions:
        when = (mention.published_at or mention.collected_at).strftime("%Y-%m-%d %H:%M")
        head = Text(f"{when}  ")
        head.append(f"{mention.sentiment or 'untagged':<8}", style=colours.get(mention.sentiment or "", "default"))
        author = f"  @{safe(mention.author_handle)}" if mention.author_handle else ""
        head.append(f"  {safe(mention.brand)}  {safe(mention.source)}{author}")
        console.print(head)
        if mention.title:
            console.print(Text(f"  {shorten(mention.title, _TEXT_WIDTH)[0]}", style="bold"))
        shown, marks = shorten(mention.text, _TEXT_WIDTH, highlights(node, mention))
        body = Text(f"  {shown}")
        for start, end in marks:
            body.stylize("bold underline", start + 2, end + 2)
        console.print(body)


COMMAND = Command(
    "search",
    "Find mentions, newest first, with what matched marked.",
    "Works beside a running pipeline. A query that cannot be read is shown with a caret where reading failed.",
    _arguments,
    _run,
)
