"""`soundings try`: what would be read, matched and tagged from the first rows of a file; nothing is stored."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_engine, load_settings, positive
from service.terminal import complain, safe, shorten

if TYPE_CHECKING:
    from domain.brand import Brand
    from enrich.engine import SentimentEngine
    from ingest.runner import Preview

_TEXT_WIDTH = 160


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON lines, CSV or TSV, plain or gzipped; - is standard input")
    add_config(parser)
    add_engine(parser)
    parser.add_argument("--rows", type=positive, default=20, metavar="N", help="look at the first N rows (default 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from domain.clock import SystemClock
    from ingest.matching import BrandMatcher
    from ingest.normalise import Normaliser
    from ingest.runner import preview
    from service.components import build_engine, file_source

    settings = load_settings(options, brands=True)
    settings.require_brands()
    source = file_source(settings, options.file)
    normaliser = Normaliser(source.name, source.settings.normalise)
    matcher = BrandMatcher(settings.brands)
    rows = preview(source, normaliser, matcher, SystemClock(), items=options.rows)
    if not rows:
        raise ConfigError(f"{options.file}: holds no row at all; expected posts, one a row")
    matched = [row for row in rows if row.post is not None and row.matches]
    feelings = _sentiments(build_engine(settings.engine), settings.brands, matched) if matched else {}
    columns = next((source.columns_of(row.item) for row in rows if row.post is not None), {})
    answer = {
        "columns": dict(columns),
        "rows": [_row(row, feelings.get(id(row), {})) for row in rows],
        "readable": sum(row.error is None for row in rows),
        "matched": len(matched),
    }
    if options.json:
        print(json.dumps(answer))
    else:
        _show(options.file, answer)
    if not answer["readable"]:
        complain([f"{options.file}: no row can be read as a post; see [source.file.columns]"])
        return 2
    return 0


def _sentiments(
    engine: SentimentEngine, brands: Sequence[Brand], matched: Sequence[Preview]
) -> dict[int, dict[str, tuple[str, float]]]:
    """Tag the matched posts in one pass: by the identity of the row, each brand's sentiment and its probability."""
    from domain.records import SENTIMENTS
    from enrich.engine import as_three
    from enrich.naming import BrandPlaces

    places = BrandPlaces({brand.brand_id: brand for brand in brands})
    found = engine.predict([places.passage(row.post, row.matches) for row in matched if row.post])
    towards = iter(as_three(found.towards))
    feelings: dict[int, dict[str, tuple[str, float]]] = {}
    for row in matched:
        of_brand = {match.brand_id: next(towards) for match in row.matches}
        feelings[id(row)] = {brand: (SENTIMENTS[int(p.argmax())], float(p.max())) for brand, p in of_brand.items()}
    return feelings


def _row(row: Preview, feelings: Mapping[str, tuple[str, float]]) -> dict[str, Any]:
    shown: dict[str, Any] = {"position": row.item.position}
    if row.error is not None:
        return {**shown, "parked": row.error.reason.value, "detail": row.error.detail}
    if row.post is None:
        return {**shown, "removed": True}
    post = row.post
    shown |= {
        "post_id": post.post_id,
        "published_at": post.published_at.isoformat() if post.published_at else None,
        "text": post.text,
        "brands": {match.brand_id: [[s.start, s.end, s.field] for s in match.spans] for match in row.matches},
    }
    if feelings:
        shown["sentiment"] = {
            brand: {"label": label, "prob": round(prob, 4)} for brand, (label, prob) in feelings.items()
        }
    return shown


def _show(file: str, answer: dict[str, Any]) -> None:
    from domain.records import Span

    print("Columns read:")
    for field, column in answer["columns"].items():
        print(f"  {field:<18} from {safe(column)}")
    print()
    for row in answer["rows"]:
        print(safe(row["position"]))
        if "detail" in row:
            print(safe(f"  would be parked: {row['parked']}: {row['detail']}"))
            continue
        if "text" not in row:
            print("  the source says that it was removed")
            continue
        text, _ = shorten(row["text"], _TEXT_WIDTH)
        print(f"  {safe(row['post_id'])}  {row['published_at'] or 'no date'}\n  {text}")
        for brand, spans in row["brands"].items():
            named = [row["text"][s.start : s.end] for s in (Span(*span) for span in spans) if s.field == "text"]
            words = ", ".join(safe(word) for word in named) or "by title, author or link"
            feeling = row["sentiment"][brand]
            print(f"  -> {brand}: {feeling['label']} ({feeling['prob']:.2f}), named: {words}")
        if not row["brands"]:
            print("  -> names no brand: would be filtered")
    total = len(answer["rows"])
    readable, matched = answer["readable"], answer["matched"]
    print(f"\n{safe(file)}: of the first {total} rows, {readable} can be read and {matched} name a brand.")


COMMAND = Command(
    "try",
    "Show what would be read, matched and tagged from the first rows of a file.",
    "Nothing is stored, no data folder is made. Exit code 2 when no row can be read as a post.",
    _arguments,
    _run,
)
