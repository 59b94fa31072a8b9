"""How rare a window is: by the chance of counts, and by how far the brand itself strays.

Two measures, since neither is enough. A negative binomial knows how counts of a few mentions vary, but not that
brands are retweeted in bursts: of those its own history tells, by a tail fitted to the largest of each six hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# What strays no further is not part of the tail: a window in twenty does by chance.
TAIL_FROM: Final = 3.0
# Of the blocks of a history, as many belong to its tail at most.
TAIL_SHARE: Final = 0.1


def divergence(observed: Floats, expected: Floats, size: float) -> Floats:
    """Give how far counts lie above what was expected: minus the logarithm of a bound of their probability.

    It is the Chernoff bound of a negative binomial, so `exp(-divergence)` is never below the probability of as many
    or more; at or below the expected value it is 0. Shape (N,) each; `expected` is above 0.

    Args:
        observed: counts.
        expected: their means.
        size: of the negative binomial; variance is `mean + mean^2 / size`.
    """
    above = np.maximum(observed, expected)
    far: Floats = above * np.log(above / expected) - (above + size) * np.log((above + size) / (expected + size))
    return np.maximum(far, 0.0)


def divergence_of(observed: float, expected: float, size: float) -> float:
    """Give the same for one window, faster."""
    if observed <= expected:
        return 0.0
    return observed * math.log(observed / expected) - (observed + size) * math.log(
        (observed + size) / (expected + size)
    )


def share_divergence(share: float, expected: float, mentions: float) -> float:
    """Give how far a share lies above what was expected; as `divergence`, of a binomial.

    Args:
        share: in [0, 1].
        expected: in (0, 1).
        mentions: that the share is of; fewer than there are where they depend on each other.
    """
    if share <= expected:
        return 0.0
    far = share * math.log(share / expected)
    if share < 1:
        far += (1 - share) * math.log((1 - share) / (1 - expected))
    return mentions * far


def reached_at(limit: float, expected: float, size: float) -> float:
    """Give the count at which `divergence` reaches a limit."""
    low, high = expected, max(2 * expected, 1.0)
    while divergence_of(high, expected, size) < limit:
        # The bound grows without end only as slowly as the size is small.
        low, high = high, 4 * high
        if high > 1e12:
            break
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence_of(middle, expected, size) < limit else (low, middle)
    return high


def fallen_to(limit: float, expected: float, size: float) -> float:
    """Give the count below which a window is as improbable as above `reached_at`; 0 where none is."""

    def far(count: float) -> float:
        return count * math.log(count / expected) - (count + size) * math.log((count + size) / (expected + size))

    if size * math.log((expected + size) / size) <= limit:
        return 0.0
    low, high = 0.0, expected
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if far(middle) > limit else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Tail:
    """How often a brand's own windows stray, by the largest divergence of each block of some hours.

    A share `rate` of the blocks strays beyond `start`, and beyond x > start a share `rate * (x / start) ** -steepness`.
    """

    start: float
    rate: float
    steepness: float

    def limit(self, share: float) -> float:
        """Give beyond which divergence no more than a share of the blocks strays."""
        return self.start * float(max(self.rate / share, 1.0) ** (1 / self.steepness))


def tail_of(largest: Floats, weights: Floats, prior_blocks: float, prior_steepness: float) -> Tail:
    """Fit the tail of a history.

    A Pareto distribution of the divergence: heavier than the exponential one that chance alone gives, so that one
    huge spike of the past neither hides the next nor is forgotten. Its steepness has a conjugate prior.

    Args:
        largest: shape (N,), the largest divergence of each block; N may be 0.
        weights: shape (N,), how much each counts.
        prior_blocks: how many blocks beyond the start the prior weighs as much as.
        prior_steepness: what is taken for true before anything was seen.
    """
    start = TAIL_FROM
    if len(largest):
        order = np.argsort(largest)
        passed = np.cumsum(weights[order])
        place = int(np.searchsorted(passed, (1 - TAIL_SHARE) * passed[-1]))
        start = max(start, float(largest[order][min(place, len(order) - 1)]))
    beyond = largest > start
    seen = float(np.sum(weights[beyond]))
    stretch = float(np.sum(weights[beyond] * np.log(largest[beyond] / start)))
    steepness = (prior_blocks + seen) / (prior_blocks / prior_steepness + stretch)
    rate = (prior_blocks * TAIL_SHARE + seen) / (prior_blocks + float(np.sum(weights)))
    return Tail(start, rate, steepness)
