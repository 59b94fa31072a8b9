"""How often the language identifier is right, by length of the text: `python -m bench.language [POSTS.jsonl.gz]`.

Sentences in eight languages written for this project, cut at a word to a length; with a file of posts known to be
English, also how many of these are called English, `und` or something else.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.language_sentences import SENTENCES
from enrich.language import UNDETERMINED, FastTextLanguage, language_text
from enrich.stage import language_is_english

LENGTHS = (10, 20, 30, 40, 60, 200)
BANDS = ((1, 10), (10, 20), (20, 40), (40, 80), (80, 401))


def _cut(sentence: str, length: int) -> str:
    if len(sentence) <= length:
        return sentence
    beginning = sentence[: length + 1]
    return beginning.rsplit(" ", 1)[0] if " " in beginning else beginning[:length]


def of_sentences(identifier: FastTextLanguage) -> list[dict[str, float | int]]:
    """Give for each length: share answered, share right of these, and how the rule for English fares."""
    table: list[dict[str, float | int]] = []
    for length in LENGTHS:
        items = [(lang, identifier.identify(_cut(text, length))) for lang, texts in SENTENCES.items() for text in texts]
        answered = [(lang, found) for lang, found in items if found.lang != UNDETERMINED]
        english = [language_is_english(found) for lang, found in items if lang == "en"]
        others = [language_is_english(found) for lang, found in items if lang != "en"]
        table.append(
            {
                "characters": length,
                "answered": len(answered) / len(items),
                "right_of_answered": sum(lang == found.lang for lang, found in answered) / len(answered),
                "english_reliable": sum(english) / len(english),
                "others_taken_for_english": sum(others) / len(others),
            }
        )
    return table


def of_english_posts(identifier: FastTextLanguage, path: Path) -> tuple[list[dict[str, float | int]], float]:
    """Give for each band of lengths how English posts are called, and microseconds per post."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    started = time.perf_counter()
    found = [identifier.identify(text) for text in texts]
    each = (time.perf_counter() - started) / len(texts) * 1e6
    table: list[dict[str, float | int]] = []
    for low, high in BANDS:
        chosen = [f for text, f in zip(texts, found, strict=True) if low <= len(language_text(text)) < high]
        table.append(
            {
                "from": low,
                "to": high - 1,
                "posts": len(chosen),
                "en": sum(f.lang == "en" for f in chosen) / len(chosen),
                "und": sum(f.lang == UNDETERMINED for f in chosen) / len(chosen),
                "other": sum(f.lang not in ("en", UNDETERMINED) for f in chosen) / len(chosen),
                "reliable": sum(map(language_is_english, chosen)) / len(chosen),
            }
        )
    return table, each


def _show(table: Sequence[dict[str, float | int]]) -> None:
    print("  ".join(table[0]))
    for row in table:
        shown = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
        print("  ".join(value.rjust(len(name)) for name, value in zip(row, shown, strict=True)))


def main(argv: Sequence[str]) -> int:
    """Print a table and, last, one line of JSON."""
    identifier = FastTextLanguage()
    result: dict[str, object] = {"sentences": (sentences := of_sentences(identifier))}
    _show(sentences)
    if argv:
        posts, each = of_english_posts(identifier, Path(argv[0]))
        _show(posts)
        result |= {"english_posts": posts, "microseconds_per_post": round(each, 1)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
