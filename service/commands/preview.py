"""`soundings preview`: what a query would find, before it is a brand's."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.terminal import complain, safe, shorten

if TYPE_CHECKING:
    from domain.records import Mention
    from search.preview import Preview
    from service.prices import Price

_TEXT_WIDTH = 160


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="in the query language")
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from domain.brand import Brand
    from domain.query.parser import parse
    from search.preview import preview
    from service.brand_check import query_problems, query_warnings
    from service.components import open_reader
    from service.prices import prices

    if not options.query.strip():
        raise ConfigError("QUERY: found an empty one, which finds nothing as a brand's; expected words")
    node = parse(options.query)
    brand = Brand(brand_id="preview", name="preview", query=options.query)
    notes = [line.removeprefix("brand preview: ") for line in (*query_problems(brand), *query_warnings(brand))]
    settings = load_settings(options)
    with open_reader(settings) as reader:
        found = preview(reader.store, node)
    costs = prices(settings)
    if options.json:
        print(json.dumps({**_document(found, costs), "notes": notes}))
        return 0
    complain(notes)
    print("\n".join(map(safe, _lines(found, costs))))
    return 0


def _document(found: Preview, costs: tuple[Price, ...]) -> dict[str, Any]:
    daily = dict(found.a_day_by_source)
    return {
        "posts": found.posts,
        "by_source": dict(found.by_source),
        "a_day": found.a_day,
        "a_day_by_source": daily,
        "lately": found.lately,
        "days": found.days,
        "until": None if found.until is None else found.until.isoformat(),
        "costs": [
            {"source": price.source, "a_day": daily[price.source] * price.a_post, "currency": price.currency}
            for price in costs
            if price.source in daily
        ],
        "newest": [_short(mention) for mention in found.newest],
        "compared": found.compared,
        "unlike": [{**_short(one.mention), "distance": one.distance} for one in found.unlike],
    }


def _short(mention: Mention) -> dict[str, Any]:
    published = mention.published_at
    return {
        "post_id": mention.post_id,
        "source": mention.source,
        "published_at": None if published is None else published.isoformat(),
        "title": mention.title,
        "text": mention.text,
        "url": mention.url,
    }


def _lines(found: Preview, costs: tuple[Price, ...]) -> list[str]:
    about = "About " if found.estimated else ""
    lines = [
        f"{about}{found.posts:,} kept posts match. Kept are the posts that some brand found; a source may hold more."
    ]
    lines += [f"  {source:<16}{number:>10,}" for source, number in found.by_source]
    if found.a_day is not None and found.until is not None:
        span = "the day" if found.days == 1.0 else f"the {found.days:.1f} days"
        counted = f"{found.lately:,} of them in {span} to the newest kept, {found.until:%Y-%m-%d}"
        lines.append(f"About {found.a_day:,.1f} a day: {counted}.")
    daily = dict(found.a_day_by_source)
    for price in costs:
        if price.source in daily:
            cost = daily[price.source] * price.a_post
            lines.append(f"About {cost:,.2f} {price.currency} a day on {price.source}, at {price.a_post} a post.")
        else:
            lines.append(f"No cost on {price.source} can be estimated: no kept post of it matches.")
    if found.newest:
        lines += ["", f"The newest {len(found.newest)}:", *(_line(mention) for mention in found.newest)]
    if found.unlike:
        lines += ["", f"Least like the others (of the newest {found.compared}; 1.00: shares no word with any of them):"]
        lines += [f"  {one.distance:.2f}{_line(one.mention)}" for one in found.unlike]
    return lines


def _line(mention: Mention) -> str:
    when = (mention.published_at or mention.collected_at).strftime("%Y-%m-%d %H:%M")
    text = f"{mention.title}: {mention.text}" if mention.title else mention.text
    return f"  {when}  {mention.source:<10} {shorten(text, _TEXT_WIDTH)[0]}"


COMMAND = Command(
    "preview",
    "Show what a query finds among the posts that are kept, before it is a brand's.",
    "How many posts, by source, about how many a day (and what they cost where a source asks for money), the newest\n"
    "twenty, and those least like the rest: the first to look at when a query finds too much. The distance of a post\n"
    "is 1 less the average share of the other posts that have each of its content words.",
    _arguments,
    _run,
)
