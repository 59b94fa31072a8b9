"""How often the model says of a brand what a careful reader would: `python -m bench.behaviour [--exact] [--failures]`.

The sentences in `bench/behaviour.tsv` were written for this project: brands compared, left, defended, attacked or
merely named. Prints the pass rate by capability, beside the label of the whole post used as the brand's and beside
VADER, and the share of labels that stay when every brand gets another name.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from bench.quality import VADER_NEUTRAL
from domain.records import SENTIMENTS
from enrich.engine import Passage, as_three
from enrich.labelled import places_of
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings
from enrich.quality import resampled_95

SET = Path(__file__).with_name("behaviour.tsv")
# Of several shapes, and unlike those in the set.
OTHER_NAMES = ("Quandrel", "The Ninth Oak", "B&V", "zeta42", "Mister Kopp", "Ola", "Hill's End")


@dataclass(frozen=True, slots=True)
class Row:
    """One brand of one text; `expected` are the labels that an honest reader accepts."""

    id: str
    capability: str
    text: str
    brand: str
    expected: frozenset[str]


def read_set(path: Path = SET) -> list[Row]:
    """Read the set.

    Raises:
        ValueError: a brand that does not stand in its text, or a label that is none.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        content = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = [Row(r["id"], r["capability"], r["text"], r["brand"], frozenset(r["expected"].split("|"))) for r in content]
    for row in rows:
        if not places_of(row.brand, row.text) or not row.expected <= set(SENTIMENTS):
            raise ValueError(
                f"{path}, {row.id}: expected the brand in the text and labels of {SENTIMENTS}, found {row}"
            )
    return rows


def passages_of(rows: Sequence[Row]) -> list[Passage]:
    """Give one passage a text, asking about all its brands in the order of the rows."""
    brands: dict[str, list[str]] = {}
    for row in rows:
        brands.setdefault(row.text, []).append(row.brand)
    return [Passage(text, tuple(places_of(brand, text) for brand in names)) for text, names in brands.items()]


def renamed(passage: Passage, names: Sequence[str]) -> Passage:
    """Give the passage with other names in the places of its brands."""
    places = sorted((place, k) for k, found in enumerate(passage.brands) for place in found)
    text, done = "", 0
    moved: list[list[tuple[int, int]]] = [[] for _ in passage.brands]
    for (start, end), k in places:
        text += passage.text[done:start]
        moved[k].append((len(text), len(text) + len(names[k % len(names)])))
        text, done = text + names[k % len(names)], end
    return Passage(text + passage.text[done:], tuple(map(tuple, moved)))


def main(argv: Sequence[str]) -> int:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.behaviour", description=__doc__)
    parser.add_argument("--folder", type=Path, default=SHIPPED_MODEL, help="engine folder")
    parser.add_argument("--exact", action="store_true", help="float32 arithmetic")
    parser.add_argument("--failures", action="store_true", help="print every row that fails")
    args = parser.parse_args(argv)
    rows = read_set()
    passages = passages_of(rows)
    # Rows of one text need not stand together: put them in the order of the passages.
    order = {passage.text: place for place, passage in enumerate(passages)}
    rows.sort(key=lambda row: order[row.text])
    engine = OnnxEngine(OnnxSettings(folder=args.folder, exact=args.exact))
    found = engine.predict(passages)
    towards = as_three(found.towards).argmax(axis=1)
    whole = found.probs.argmax(axis=1)
    again = as_three(engine.predict([renamed(passage, OTHER_NAMES) for passage in passages]).towards).argmax(axis=1)
    vader = SentimentIntensityAnalyzer()

    def by_vader(text: str) -> str:
        score = vader.polarity_scores(text)["compound"]
        return SENTIMENTS[2 if score >= VADER_NEUTRAL else 0 if score <= -VADER_NEUTRAL else 1]

    said: dict[str, list[str]] = {
        "towards the brand": [SENTIMENTS[label] for label in towards],
        "overall label": [SENTIMENTS[whole[order[row.text]]] for row in rows],
        "VADER": [by_vader(row.text) for row in rows],
    }
    passed = {
        name: np.array([label in row.expected for label, row in zip(labels, rows, strict=True)])
        for name, labels in said.items()
    }
    capabilities = np.array([row.capability for row in rows])
    width = max(map(len, capabilities)) + 2
    print(f"{engine.name}: {len(rows)} rows of {len(passages)} texts")
    print(f"{'':{width}}{'rows':>6}" + "".join(f"{name:>20}" for name in said))
    for capability in dict.fromkeys(capabilities.tolist()):
        here = capabilities == capability
        rates = "".join(f"{one[here].mean():>20.3f}" for one in passed.values())
        print(f"{capability:{width}}{here.sum():>6}{rates}")
    rates = {name: float(one.mean()) for name, one in passed.items()}
    print(f"{'all':{width}}{len(rows):>6}" + "".join(f"{rate:>20.3f}" for rate in rates.values()))
    mine = passed["towards the brand"]
    low, high = resampled_95(_mean_of(mine), len(mine))
    gained = resampled_95(_mean_of(mine.astype(float) - passed["overall label"]), len(mine))
    unchanged = float((again == towards).mean())
    print(f"towards the brand: {low:.3f} to {high:.3f} (95 %)")
    print(f"above the overall label by: {gained[0]:.3f} to {gained[1]:.3f} (95 %)")
    print(f"labels that stay under other names: {unchanged:.3f}")
    if args.failures:
        for row, label, good in zip(rows, said["towards the brand"], mine, strict=True):
            if not good:
                print(f"  {row.id}: {row.brand} {label}, expected {'|'.join(sorted(row.expected))}: {row.text}")
    print(json.dumps({"engine": engine.name, "rows": len(rows), "pass_rate": rates, "unchanged_names": unchanged}))
    return 0


def _mean_of(values: npt.NDArray[Any]) -> Callable[[npt.NDArray[Any]], float]:
    return lambda draw: float(values[draw].mean())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
