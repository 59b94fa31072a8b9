"""What the English model says of other languages, and whether they are marked: `python -m bench.other_languages`.

The sentences in `bench/other_languages.tsv` were written for this project: twelve a language, a third of each label.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domain.records import SENTIMENTS
from enrich.engine import Passage, as_three
from enrich.labelled import places_of
from enrich.language import FastTextLanguage
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings
from enrich.quality import macro_recall
from enrich.stage import language_is_english

SET = Path(__file__).with_name("other_languages.tsv")
BRAND = "Acme"


def main(argv: Sequence[str]) -> int:
    """Print a table and, last, one line of JSON; 1 when a sentence of another language passes for English."""
    parser = argparse.ArgumentParser(prog="python -m bench.other_languages", description=__doc__)
    parser.add_argument("--folder", type=Path, default=SHIPPED_MODEL, help="engine folder")
    args = parser.parse_args(argv)
    with SET.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    passages = [Passage(row["text"], (places_of(BRAND, row["text"]),)) for row in rows]
    found = as_three(OnnxEngine(OnnxSettings(folder=args.folder)).predict(passages).towards).argmax(axis=1)
    gold = np.array([SENTIMENTS.index(row["expected"]) for row in rows])  # type: ignore[arg-type]
    identifier = FastTextLanguage()
    marked = np.array([not language_is_english(identifier.identify(row["text"])) for row in rows])
    languages = np.array([row["lang"] for row in rows])
    print(f"{'':6}{'rows':>6}{'macro recall':>14}{'marked unreliable':>19}")
    result = {}
    for language in [*dict.fromkeys(languages.tolist()), "all"]:
        here = languages == language if language != "all" else np.ones(len(rows), dtype=bool)
        recall, share = macro_recall(gold[here], found[here]), float(marked[here].mean())
        result[language] = {"rows": int(here.sum()), "macro_recall": recall, "marked": share}
        print(f"{language:6}{here.sum():>6}{recall:>14.3f}{share:>19.3f}")
    print(json.dumps(result))
    return 0 if marked.all() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
