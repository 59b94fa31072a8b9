"""What a sentiment engine promises, whichever runtime is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

# A text without a single word piece says nothing: neutral, a score of exactly 0, and little confidence.
NO_TEXT_PROBS = (0.25, 0.5, 0.25)
# The five points of feeling towards a brand, in the order of the columns of `Prediction.towards`.
POINTS = (-2, -1, 0, 1, 2)

Stretch: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Passage:
    """A post as the engine gets it: its text and, for each brand asked about, where that brand is named.

    `brands[k]` holds stretches of code points `[start, end)` of `text`, in any order; empty: the text does not name it.
    """

    text: str
    brands: tuple[tuple[Stretch, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine found in N passages that ask about M brands together.

    `probs` is float32, shape (N, 3): of the post as a whole, columns in the order of `domain.records.SENTIMENTS`.
    `towards` is float32, shape (M, 5): towards each brand, in order of passages and of their brands, columns in the
    order of `POINTS`. Rows sum to 1 (1e-5). `truncated` is bool, shape (N,): only the beginning of that text was read.
    """

    probs: FloatArray
    towards: FloatArray
    truncated: BoolArray


def as_five(probs: Floats) -> Floats:
    """Give three-class probabilities on the five points: nothing is very good or very bad. (N, 3) -> (N, 5)."""
    return np.pad(probs, ((0, 0), (1, 1)))


def as_three(towards: Floats) -> Floats:
    """Sum five points to negative, neutral, positive. (M, 5) -> (M, 3)."""
    return np.stack([towards[:, :2].sum(axis=1), towards[:, 2], towards[:, 3:].sum(axis=1)], axis=1)


class SentimentEngine(Protocol):
    """Tells how a post feels as a whole, and towards each brand that it names.

    A passage's scores do not depend on the passages beside it, on their order, or on how often it came before
    (tolerance 1e-5).
    """

    @property
    def name(self) -> str:
        """What mentions keep as `model`, such as `brand-sentiment-2/int8`."""

    @property
    def epoch(self) -> int:
        """Number of the model, 0 to 65535: a higher one scores a stored mention again."""

    @property
    def decimals(self) -> int:
        """Digits after the point worth storing."""

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        """Give sentiment probabilities for each passage and each of its brands, in input order.

        Args:
            passages: N stored texts (N may be 0), of any length; the engine cleans and cuts them itself. A text
                without a word piece (empty, only blanks) gets `NO_TEXT_PROBS`. A brand that is not named in what was
                read gets the post's own probabilities (`as_five`).

        Raises:
            BadRecord: a text that cannot be encoded (a lone surrogate); which one is not said: halve and retry.
            BackendDown: the runtime failed.
        """
