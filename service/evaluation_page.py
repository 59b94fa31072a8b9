"""An evaluation as one HTML file: plots as inline SVG, no script, nothing fetched, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from domain.records import SENTIMENTS
from service.terminal import safe, shorten

if TYPE_CHECKING:
    from enrich.evaluation import Bin, Evaluation
    from enrich.own_data import OwnData

MAX_MISTAKES = 40
_MAX_BRANDS = 200
_TEXT_WIDTH = 400
_POINT_NAMES = ("-2", "-1", "0", "+1", "+2")
# Even a text that got past the escaping could load and run nothing.
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Evaluation</title>
<style>
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5d6878; --line: #d9dee6; --paper: #fff; --mark: #2463b8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa5b5; --line: #39424f; --paper: #161b22; --mark: #6ea8f0; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p.soft, .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.text { overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: 2rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .soft { fill: var(--soft); } svg .grid { stroke: var(--line); } svg .cell { fill: var(--mark); }
svg .dot { fill: var(--mark); } svg .even { stroke: var(--soft); stroke-dasharray: 4 4; }
</style></head><body>
"""
_EXPLAINED = {
    "macro_recall": ("Macro recall", "mean share found of each class that occurs"),
    "accuracy": ("Accuracy", "share of right labels"),
    "f1_pn": ("F1 positive/negative", "mean of both classes' F1"),
    "mae_macro": ("Error in steps", "mean distance from the label, classes and brands alike; less is better"),
    "ece": ("Calibration error", "distance of stated from true certainty; less is better"),
}


def evaluation_page(found: Evaluation, data: OwnData, *, file: str, engine: str) -> str:
    """Give the page of an evaluation.

    Args:
        found: what was measured.
        data: what was read, for the rows that could not be used.
        file: name of the file, as the page shows it.
        engine: name of the engine.
    """
    subject = "feeling towards the brand" if found.task == "brand" else "feeling of the post as a whole"
    parts = [
        _HEAD,
        f"<h1>Evaluation of {_e(engine)}</h1>",
        f'<p class="soft">{_e(file)}: {found.n:,} texts, {_e(subject)}. Labels: '
        + _e(", ".join(f"{count:,} {name}" for name, count in found.counts.items()))
        + ".</p>",
        _measures(found),
        '<h2>What was found for each label</h2><div class="plots">',
        _confusion(found.confusion, SENTIMENTS),
        _confusion(found.confusion_points, _POINT_NAMES) if found.confusion_points else "",
        "</div><h2>Does its certainty hold?</h2>",
        '<p class="soft">Texts by the probability given to the label found, and the share of them that was right. '
        "On the dashed line a stated 80 % is right in 80 of 100; below it the model is too sure.</p>",
        _reliability(found.bins),
        _brands(found),
        _mistakes(found),
        _bad_rows(data),
        "</body></html>\n",
    ]
    return "".join(parts)


def _e(text: str) -> str:
    """Escape a text that others wrote; control characters and turned reading order are taken out too."""
    return escape(safe(text), quote=True)


def _measures(found: Evaluation) -> str:
    rows = []
    for name, (title, meaning) in _EXPLAINED.items():
        low, high = found.ci95[name]
        rows.append(
            f'<tr><td>{title}</td><td class="n">{found.measures[name]:.3f}</td>'
            f'<td class="n">{low:.3f} to {high:.3f}</td><td class="soft">{meaning}</td></tr>'
        )
    head = '<tr><th>measure</th><th class="n">value</th><th class="n">95 %</th><th>what it is</th></tr>'
    notes = []
    if found.unnamed:
        notes.append(f"In {found.unnamed:,} texts the brand is not found: they count with the post's own label.")
    if found.truncated:
        notes.append(f"Of {found.truncated:,} texts only the beginning was read.")
    return f"<table>{head}{''.join(rows)}</table>" + "".join(f'<p class="soft">{note}</p>' for note in notes)


def _confusion(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Draw a matrix: a row for each label, a column for what was found, shaded by the share of the row."""
    size, left, top = 72, 80, 44
    width, height = left + size * len(names) + 8, top + size * len(names) + 8
    parts = [
        f'<svg role="img" aria-label="confusion matrix" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f'<text class="soft" x="0" y="{top - 8}">label</text><text class="soft" x="{left}" y="14">found</text>',
    ]
    for place, name in enumerate(names):
        middle = place * size + size / 2
        parts.append(f'<text x="{left + middle}" y="{top - 8}" text-anchor="middle">{_e(name)}</text>')
        parts.append(f'<text x="{left - 8}" y="{top + middle + 5}" text-anchor="end">{_e(name)}</text>')
    for row, cells in enumerate(counts):
        total = max(1, sum(cells))
        for column, count in enumerate(cells):
            x, y, share = left + column * size, top + row * size, count / total
            parts.append(
                f'<rect class="cell" x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" '
                f'fill-opacity="{0.06 + 0.5 * share:.3f}"/>'
                f'<text x="{x + size / 2}" y="{y + size / 2}" text-anchor="middle">{count:,}</text>'
                f'<text class="soft" x="{x + size / 2}" y="{y + size / 2 + 18}" text-anchor="middle">{share:.0%}</text>'
            )
    return "".join([*parts, "</svg>"])


def _reliability(bins: Sequence[Bin]) -> str:
    """Draw the share that was right over the probability given; a dot's area grows with its texts."""
    side, left, top = 300, 48, 10
    most = max((one.n for one in bins), default=1)
    parts = [
        f'<svg role="img" aria-label="reliability diagram" width="{left + side + 60}" height="{top + side + 48}" '
        f'viewBox="0 0 {left + side + 60} {top + side + 48}">'
    ]
    for step in range(0, 11, 2):
        at = side * step / 10
        parts.append(
            f'<line class="grid" x1="{left}" y1="{top + side - at}" x2="{left + side}" y2="{top + side - at}"/>'
            f'<text class="soft" x="{left - 8}" y="{top + side - at + 5}" text-anchor="end">{step * 10}%</text>'
            f'<text class="soft" x="{left + at}" y="{top + side + 20}" text-anchor="middle">{step * 10}%</text>'
        )
    parts.append(f'<line class="even" x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}"/>')
    for one in bins:
        x, y, radius = left + side * one.confidence, top + side - side * one.right, 3 + 9 * (one.n / most) ** 0.5
        title = f"{one.n:,} texts: stated {one.confidence:.0%}, right {one.right:.0%}"
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill-opacity="0.75">'
            f"<title>{title}</title></circle>"
        )
    parts.append(
        f'<text class="soft" x="{left + side / 2}" y="{top + side + 40}" text-anchor="middle">probability given</text>'
    )
    return "".join([*parts, "</svg>"])


def _brands(found: Evaluation) -> str:
    if not found.brands:
        return ""
    rows = [
        f'<tr><td>{_e(shorten(brand, 80)[0])}</td><td class="n">{one.n:,}</td><td class="n">{one.macro_recall:.3f}</td>'
        f'<td class="n">{one.expected_mean:+.2f}</td><td class="n">{one.label_mean:+.2f}</td></tr>'
        for brand, one in list(found.brands.items())[:_MAX_BRANDS]
    ]
    more = len(found.brands) - len(rows)
    note = f'<p class="soft">and {more:,} more brands</p>' if more > 0 else ""
    head = (
        '<tr><th>brand</th><th class="n">texts</th><th class="n">macro recall</th>'
        '<th class="n">mean score expected</th><th class="n">mean label</th></tr>'
    )
    return f"<h2>Brand by brand</h2><table>{head}{''.join(rows)}</table>{note}"


def _mistakes(found: Evaluation) -> str:
    if not found.mistakes:
        return ""
    rows = [
        f'<tr><td class="n">{one.row.line}</td><td class="text">{_e(shorten(one.row.text, _TEXT_WIDTH)[0])}</td>'
        f"<td>{_e(shorten(one.row.brand, 40)[0])}</td><td>{_e(one.expected_label)}</td><td>{_e(one.found)}</td>"
        f'<td class="n">{one.prob:.2f}</td></tr>'
        for one in found.mistakes[:MAX_MISTAKES]
    ]
    head = (
        '<tr><th class="n">line</th><th>text</th><th>brand</th><th>label</th><th>found</th>'
        '<th class="n">probability of the label</th></tr>'
    )
    return (
        f"<h2>Worst mistakes</h2><p>{len(found.mistakes):,} of {found.n:,} texts got another label; "
        f"these most surely.</p><table>{head}{''.join(rows)}</table>"
    )


def _bad_rows(data: OwnData) -> str:
    if not data.bad:
        return ""
    rows = [f'<tr><td class="n">{row.line}</td><td>{_e(row.problem)}</td></tr>' for row in data.bad[:MAX_MISTAKES]]
    return (
        f"<h2>Rows left out</h2><p>{len(data.bad):,} rows cannot be used.</p>"
        f'<table><tr><th class="n">line</th><th>why</th></tr>{"".join(rows)}</table>'
    )
