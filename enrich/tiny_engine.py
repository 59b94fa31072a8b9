"""A tiny engine of a few dozen words, for tests and demonstrations: instant, deterministic, and not good."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from domain.errors import BadReason, BadRecord
from domain.records import SENTIMENTS
from enrich.engine import NO_TEXT_PROBS, Passage, Prediction, as_five
from enrich.model_text import model_text
from enrich.quality import tempered

_GOOD = """
    amazing awesome best beautiful brilliant cheers comfortable delicious excellent fantastic friendly glad good great
    happy helpful impressed kind love loved lovely nice perfect pleased smooth super thank thanks wonderful
"""
GOOD = frozenset(_GOOD.split())
_BAD = """
    angry annoying awful bad broken cancelled cold delay delayed disappointed dirty fail failed hate horrible late lost
    never nightmare poor refund rude sad scam slow stuck terrible ugly unacceptable useless waste worse worst wrong
"""
BAD = frozenset(_BAD.split())
_WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 128


class TinyEngine:
    """Counts good and bad English words; towards each brand it says the same. See `enrich.engine.SentimentEngine`."""

    name = "tiny"
    epoch = 0
    decimals = 6

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        texts = [passage.text for passage in passages]
        logits = np.zeros((len(texts), len(SENTIMENTS)), dtype=np.float64)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        wordless = np.zeros(len(texts), dtype=np.bool_)
        for row, text in enumerate(texts):
            try:
                text.encode()
            except UnicodeEncodeError as exc:
                raise BadRecord(BadReason.ENGINE_FAILED, f"found a text that is not Unicode ({exc.reason})") from exc
            words = _WORD.findall(model_text(text).casefold())
            truncated[row], wordless[row] = len(words) > MAX_WORDS, not text.strip()
            words = words[:MAX_WORDS]
            bad, good = sum(word in BAD for word in words), sum(word in GOOD for word in words)
            logits[row] = (2.0 * bad, 1.0, 2.0 * good)
        probs = tempered(logits, 1.0)
        probs[wordless] = NO_TEXT_PROBS
        asked = np.repeat(np.arange(len(texts)), [len(passage.brands) for passage in passages])
        return Prediction(probs.astype(np.float32), as_five(probs[asked]).astype(np.float32), truncated)
