"""`soundings evaluate`: how good the engine is on labelled texts of one's own."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigError
from service.command import Command, add_config, add_engine, load_settings
from service.terminal import complain, safe, table

if TYPE_CHECKING:
    from enrich.evaluation import Evaluation
    from enrich.own_data import OwnData, Task

_SHOWN = 10


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="CSV or TSV, plain or gzipped: text,label[,id][,brand]"
    )
    parser.add_argument(
        "--task",
        choices=("post", "brand"),
        help="the label is that of the post as a whole, or of the feeling towards the brand (default: brand where the "
        "file has that column, else post)",
    )
    add_config(parser)
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots; replaces the file")


def _run(options: Namespace) -> int:
    from enrich.own_data import of_task, read_own_data

    settings = load_settings(options)
    data = read_own_data(options.data)
    task: Task = options.task or ("brand" if data.has_brands else "post")
    if task == "brand" and not data.has_brands:
        raise ConfigError(f"{options.data}: has no column brand, which --task brand needs")
    data = of_task(data, task)
    tell_bad(options.data, data)
    if not data.rows:
        raise ConfigError(f"{options.data}: no row can be used; see docs/own-model.md for what a row looks like")
    # Both are heavy: nothing is loaded for a file that cannot be used.
    from enrich.evaluation import document, evaluate
    from service.components import build_engine, point_weights

    engine = build_engine(settings.engine)
    found = evaluate(engine, data, task, point_weights(settings.engine))
    if options.html is not None:
        from service.evaluation_page import evaluation_page

        page = evaluation_page(found, data, file=options.data.name, engine=engine.name)
        options.html.write_text(page, encoding="utf-8")
    if options.json:
        print(json.dumps(document(found, data, engine.name)))
    else:
        _show(found, engine.name)
        if options.html is not None:
            print(f"\nReport: {safe(str(options.html))}")
    return 0


def tell_bad(path: Path, data: OwnData) -> None:
    """Say on standard error which rows of a file were left out, and why."""
    if data.bad:
        total = len(data.bad) + len(data.rows)
        lines = [f"{path}: {len(data.bad):,} of {total:,} rows cannot be used:"]
        lines += [f"  line {row.line}: {row.problem}" for row in data.bad[:_SHOWN]]
        if len(data.bad) > _SHOWN:
            lines.append(f"  and {len(data.bad) - _SHOWN:,} more")
        complain(lines)


def _show(found: Evaluation, engine: str) -> None:
    from domain.records import SENTIMENTS

    subject = "towards the brand" if found.task == "brand" else "of the post as a whole"
    print(f"{safe(engine)}, feeling {subject}, {found.n:,} texts")
    print(f"labels found: {', '.join(f'{count:,} {name}' for name, count in found.counts.items())}\n")
    rows = []
    for name, value in found.measures.items():
        low, high = found.ci95[name]
        rows.append((name, f"{value:.3f}  ({low:.3f} to {high:.3f})"))
    print("\n".join(table(rows)))
    print("\n  label \\ found" + "".join(f"{name:>10}" for name in SENTIMENTS))
    for name, counts in zip(SENTIMENTS, found.confusion, strict=True):
        print(f"  {name:<13}" + "".join(f"{count:>10,}" for count in counts))
    if found.brands:
        print(f"\n  {'brand':<24}{'texts':>8}{'recall':>8}{'expected':>10}{'label':>8}")
        for brand, one in list(found.brands.items())[:20]:
            line = f"{one.n:>8,}{one.macro_recall:>8.3f}{one.expected_mean:>+10.2f}{one.label_mean:>+8.2f}"
            print(f"  {safe(brand)[:23]:<24}{line}")
        if len(found.brands) > 20:
            print(f"  and {len(found.brands) - 20:,} more brands; --json or --html shows them")
    if found.unnamed:
        print(f"\nIn {found.unnamed:,} texts the brand is not found: they count with the post's own label.")


COMMAND = Command(
    "evaluate",
    "Measure the sentiment engine on labelled texts of your own.",
    "The header of the file names the columns text and label, and perhaps id and brand. A label is negative, neutral "
    "or positive, or a number from -2 to 2. Bad rows are told by line and left out. Intervals are the central 95 % "
    "over resampled texts. Exit code 2 when no row can be used.",
    _arguments,
    _run,
)
