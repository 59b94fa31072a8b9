"""The books: what became of every record, from durable counts, as one object for machines and lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.books import ENDS
from domain.brand import Brand
from domain.records import SENTIMENTS, Outcome
from search.store import Store
from service.runs import Run
from service.stages import STAGE_NAMES
from service.tally import TRUNCATED, UNRELIABLE, UNTAGGED, read_notes, read_tally
from service.terminal import safe
from stream.protocol import Log

# Letters are counted in pages of this many.
_LETTERS_AT_ONCE = 500
# Letters hold whole records: looking for an example of each reason ends here.
_LETTERS_FOR_EXAMPLES = 5_000


def stage_books(log: Log, run: str | None = None) -> dict[str, dict[str, Any]]:
    """Give for each stage its `in`, each outcome, and `parked_by_reason`; of one run, or of all."""
    books: dict[str, dict[str, Any]] = {stage: _empty_book() for stage in STAGE_NAMES}
    for count in log.counts():
        if count.outcome not in ENDS or (run is not None and count.run != run):
            continue
        stage = books.setdefault(count.stage, _empty_book())
        stage["in"] += count.number
        stage[count.outcome.value] += count.number
        if count.outcome is Outcome.PARKED:
            reasons = stage["parked_by_reason"]
            reasons[count.reason] = reasons.get(count.reason, 0) + count.number
    for stage in books.values():
        stage["parked_by_reason"] = {reason: n for reason, n in sorted(stage["parked_by_reason"].items()) if n}
    return books


def _empty_book() -> dict[str, Any]:
    return {"in": 0, **{end.value: 0 for end in ENDS}, "parked_by_reason": {}}


def run_books(
    log: Log, store: Store, run: Run, *, file: str, brands: Sequence[Brand], engine: str, seconds: float
) -> dict[str, Any]:
    """Give the books of one run. All but `seconds` and `resumed` are the same however often it was interrupted."""
    stages = stage_books(log, run.run_id)
    ingest = stages["ingest"]
    tally = read_tally(log, run.run_id)
    by_brand = {brand.brand_id: sum(tally.get(brand.brand_id, {}).values()) for brand in brands}
    by_brand |= {brand: sum(counts.values()) for brand, counts in tally.items() if brand not in by_brand}
    feelings = {name: sum(counts.get(name, 0) for counts in tally.values()) for name in (*SENTIMENTS, UNTAGGED)}
    return {
        "run": run.run_id,
        "file": file,
        "resumed": run.resumed,
        "engine": engine,
        "read": ingest["in"],
        "duplicate": ingest["duplicate"],
        "filtered": ingest["filtered"],
        "matched": ingest["ok"],
        "parked": ingest["parked"],
        "parked_by_reason": ingest["parked_by_reason"],
        "parked_examples": _examples(log, run.run_id),
        "mentions": sum(by_brand.values()),
        "mentions_by_brand": by_brand,
        "sentiment": feelings,
        **read_notes(log, run.run_id),
        "stages": stages,
        "stored_total": store.count(),
        "seconds": round(seconds, 3),
    }


def _examples(log: Log, run: str) -> dict[str, str]:
    """Give for each reason of a run where its first dead letter stood and what was found."""
    examples: dict[str, str] = {}
    number, seen = 0, 0
    while seen < _LETTERS_FOR_EXAMPLES and (
        rows := log.dead_letters(after=number, limit=_LETTERS_AT_ONCE, run=run, unresolved_only=False)
    ):
        number, seen = rows[-1].number, seen + len(rows)
        for row in rows:
            examples.setdefault(row.letter.reason, f"{row.letter.position}: {row.letter.detail}")
    return dict(sorted(examples.items()))


def overall(log: Log, store: Store, run: str | None) -> dict[str, Any]:
    """Give the books of all runs, or of one, with what is stored and how many dead letters wait."""
    return {
        "run": run,
        "stages": stage_books(log, run),
        "stored_total": store.count(),
        "dead_letters_open": _open_letters(log, run),
    }


def _open_letters(log: Log, run: str | None) -> int:
    number, total = 0, 0
    while rows := log.dead_letters(after=number, limit=_LETTERS_AT_ONCE, run=run):
        number, total = rows[-1].number, total + len(rows)
    return total


def stage_lines(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lay out stage books as a table."""
    names = ["in", *(end.value for end in ENDS)]
    lines = ["  " + f"{'stage':<8}" + "".join(f"{name:>12}" for name in names)]
    for stage, books in stages.items():
        lines.append("  " + f"{stage:<8}" + "".join(f"{books[name]:>12,}" for name in names))
    return lines


def summary(books: Mapping[str, Any]) -> list[str]:
    """Say in lines for people what a run did, ending with how many records were parked and why."""
    again = ", resumed" if books["resumed"] else ""
    feelings = ", ".join(f"{name} {number:,}" for name, number in books["sentiment"].items() if number)
    lines = [f"Replayed {books['file']} in {books['seconds']:.1f} s with {books['engine']} (run {books['run']}{again})"]
    for name in ("read", "duplicate", "filtered", "matched", "parked", "mentions"):
        notes = {"filtered": "  named no brand, or were retracted", "mentions": f"  {feelings}" if feelings else ""}
        note = notes.get(name, "")
        lines.append(f"  {name:<10}{books[name]:>12,}{note}")
    for brand, number in sorted(books["mentions_by_brand"].items(), key=lambda pair: (-pair[1], pair[0])):
        lines.append(f"    {brand:<20}{number:>8,}")
    for note, meaning in ((UNRELIABLE, "not judged: no model of their language"), (TRUNCATED, "read in part")):
        if books[note]:
            share = 100 * books[note] / books["mentions"]
            lines.append(f"    {note:<20}{books[note]:>8,}  {meaning} ({share:.1f} % of the mentions)")
    lines.append(f"  {'stored':<10}{books['stored_total']:>12,}  mentions in all")
    reasons: dict[str, int] = {}
    for stage in books["stages"].values():
        for reason, number in stage["parked_by_reason"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    if reasons:
        why = ", ".join(
            f"{number:,} {reason}" for reason, number in sorted(reasons.items(), key=lambda p: (-p[1], p[0]))
        )
        lines.append(f"Dead letters: {sum(reasons.values()):,} ({why}); `soundings dead-letters list` shows them")
        lines += [f"  {reason}, first at {safe(example)}" for reason, example in books["parked_examples"].items()]
    else:
        lines.append("Dead letters: none")
    return lines
