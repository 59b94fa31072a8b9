"""`soundings tag`: how one text feels, towards each brand, and which words made it so."""

from __future__ import annotations

import json
import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_engine, load_settings
from service.terminal import safe

if TYPE_CHECKING:
    from enrich.engine import Passage, SentimentEngine

# Each word costs one more reading of the text.
MAX_WORDS = 40
_SHOWN = 8
# A word that changes less than this did not matter.
_LEAST_CHANGE = 0.005


class _Named(Action):
    """Collects --brand NAME, and the --handle NAMEs that follow it."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        brands: list[tuple[str, list[str]]] = list(getattr(namespace, "brands", None) or [])
        if option_string == "--brand":
            brands.append((values, []))
        elif not brands:
            parser.error("--handle belongs to the --brand before it; found none before it")
        else:
            brands[-1][1].append(values.removeprefix("@"))
        namespace.brands = brands


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="the text, in quotes")
    parser.add_argument(
        "--brand", action=_Named, dest="brands", default=[], metavar="NAME", help="a brand in it; may be repeated"
    )
    parser.add_argument(
        "--handle",
        action=_Named,
        dest="brands",
        metavar="NAME",
        help="a handle of the brand before it; may be repeated",
    )
    add_config(parser)
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    text: str = options.text
    brands: list[tuple[str, list[str]]] = options.brands
    if not text.strip():
        raise ConfigError("TEXT: is empty, expected the text of a post")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError("TEXT: found bytes that are not UTF-8") from None
    for name, handles in brands:
        if not all(any(map(str.isalnum, word)) for word in (name, *handles)):
            raise ConfigError("--brand, --handle: found a name without a letter or digit")
    if len({name for name, _ in brands}) < len(brands):
        raise ConfigError("--brand: the same brand is named twice")
    settings = load_settings(options)
    from enrich.language import FastTextLanguage
    from enrich.stage import language_is_english
    from service.components import build_engine

    engine = build_engine(settings.engine)
    answer = tagged(engine, text, brands)
    language = FastTextLanguage().identify(text)
    answer |= {"language": language.lang, "reliable": language_is_english(language), "model": engine.name}
    if options.json:
        print(json.dumps(answer))
    else:
        _show(answer)
    return 0


def tagged(engine: SentimentEngine, text: str, brands: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    """Tag one text, by one call of the engine.

    Args:
        engine: any.
        text: not empty.
        brands: name and handles of each; without any, the words are those that mattered to the post as a whole.

    Returns:
        `post` (label and probabilities), `truncated`, `words_left_out` (beyond the first `MAX_WORDS`), and `brands`:
        for each its label, probabilities, `expected` in [-2, 2], whether it is `named`, and `words`: what the expected
        score loses with each word, the largest first. Without brands, `words` stands beside `post`.
    """
    from domain.records import SENTIMENTS
    from enrich.engine import POINTS, as_five, as_three

    whole = _passage(text, brands)
    named = [place for places in whole.brands for place in places]
    words = [
        (found.start(), found.end())
        for found in re.finditer(r"\S+", text)
        if not any(start < found.end() and found.start() < end for start, end in named)
    ]
    chosen = words[:MAX_WORDS]
    without = [_passage(text[:start] + text[end:], brands) for start, end in chosen]
    found = engine.predict([whole, *without])
    probs = found.probs.astype(float)
    # One row for each reading: of the brands, or of the post as a whole.
    five = found.towards.astype(float) if brands else as_five(probs)
    subjects = max(1, len(brands))
    expected = (five @ POINTS).reshape(len(without) + 1, subjects)
    classes = as_three(five).reshape(len(without) + 1, subjects, 3)[0]

    def told(values: Any) -> dict[str, Any]:
        return {
            "label": SENTIMENTS[int(values.argmax())],
            "probs": {name: round(float(value), 4) for name, value in zip(SENTIMENTS, values, strict=True)},
        }

    def mattered(subject: int) -> list[dict[str, Any]]:
        changes = expected[0, subject] - expected[1:, subject]
        order = sorted(range(len(chosen)), key=lambda place: -abs(changes[place]))
        return [
            {"word": text[slice(*chosen[k])], "start": chosen[k][0], "change": round(float(changes[k]), 4)}
            for k in order
        ]

    answer: dict[str, Any] = {
        "text": text,
        "post": told(probs[0]),
        "truncated": bool(found.truncated[0]),
        "words_left_out": len(words) - len(chosen),
        "brands": [
            {
                "brand": name,
                **told(classes[k]),
                "expected": round(float(expected[0, k]), 4),
                "named": bool(whole.brands[k]),
                "words": mattered(k),
            }
            for k, (name, _) in enumerate(brands)
        ],
    }
    return answer if brands else answer | {"words": mattered(0)}


def _passage(text: str, brands: Sequence[tuple[str, Sequence[str]]]) -> Passage:
    from enrich.engine import Passage
    from enrich.labelled import places_of

    return Passage(
        text,
        tuple(
            tuple(
                dict.fromkeys(
                    place for said in (name, *(f"@{handle}" for handle in handles)) for place in places_of(said, text)
                )
            )
            for name, handles in brands
        ),
    )


def _show(answer: dict[str, Any]) -> None:
    trust = "reliable" if answer["reliable"] else "not reliable: the model reads English"
    print(f"post: {answer['post']['label']}  {_probs(answer['post'])}")
    print(f"language: {answer['language']}, {trust}; model: {safe(answer['model'])}")
    for brand in answer["brands"]:
        print(f"\n{safe(brand['brand'])}: {brand['label']}, expected {brand['expected']:+.2f}  {_probs(brand)}")
        if not brand["named"]:
            print("  is not named in the text: this is the post's own label")
        _words(brand["words"])
    _words(answer.get("words", []))
    if answer["truncated"]:
        print("\nOnly the beginning of the text was read.")
    if answer["words_left_out"]:
        print(f"\nWords were tried up to the {MAX_WORDS}th.")


def _probs(told: dict[str, Any]) -> str:
    return "(" + ", ".join(f"{name} {value:.2f}" for name, value in told["probs"].items()) + ")"


def _words(words: Sequence[dict[str, Any]]) -> None:
    for one in words[:_SHOWN]:
        if abs(one["change"]) >= _LEAST_CHANGE:
            print(f"  {one['change']:+.2f}  {safe(one['word'])[:60]}")


COMMAND = Command(
    "tag",
    "Tag one text: the feeling towards each brand, and the words that mattered.",
    "Nothing is stored. A word's figure is how much it adds to the expected score, from -2 to 2: what the score loses "
    "when the word is taken out.",
    _arguments,
    _run,
)
