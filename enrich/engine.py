"""What a sentiment engine promises, whichever runtime is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

# A text without a single word piece says nothing: neutral, a score of exactly 0, and little confidence.
NO_TEXT_PROBS = (0.25, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine found in N texts.

    `probs` is float32, shape (N, 3), columns in the order of `domain.records.SENTIMENTS`, rows sum to 1 (1e-5).
    `truncated` is bool, shape (N,): only the beginning of that text was read.
    """

    probs: FloatArray
    truncated: BoolArray


class SentimentEngine(Protocol):
    """Tells how a post as a whole feels.

    A text's scores do not depend on the texts beside it, on their order, or on how often it came before
    (tolerance 1e-5).
    """

    @property
    def name(self) -> str:
        """What mentions keep as `model`, such as `post-sentiment-1/int8`."""

    @property
    def epoch(self) -> int:
        """Number of the model, 0 to 65535: a higher one scores a stored mention again."""

    @property
    def decimals(self) -> int:
        """Digits after the point worth storing."""

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Give sentiment probabilities for each text, in input order.

        Args:
            texts: N stored texts (N may be 0), of any length; the engine cleans and cuts them itself. A text
                without a word piece (empty, only blanks) gets `NO_TEXT_PROBS`.

        Raises:
            BadRecord: a text that cannot be encoded (a lone surrogate); which one is not said: halve and retry.
            BackendDown: the runtime failed.
        """
