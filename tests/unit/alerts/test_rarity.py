"""How rare a window is, against sums worked out term by term."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alerts.rarity import TAIL_FROM, divergence, divergence_of, fallen_to, reached_at, share_divergence, tail_of


def as_many_or_more(count: int, mean: float, size: float) -> float:
    """Sum the negative binomial from a count on."""

    def term(k: int) -> float:
        return math.exp(
            math.lgamma(k + size)
            - math.lgamma(size)
            - math.lgamma(k + 1)
            + size * math.log(size / (size + mean))
            + k * math.log(mean / (size + mean))
        )

    return sum(term(k) for k in range(count, count + 4000))


@pytest.mark.parametrize("size", [0.5, 2.0, 20.0])
@pytest.mark.parametrize(("count", "mean"), [(5, 1.0), (12, 3.0), (60, 20.0), (400, 150.0)])
def test_the_bound_is_never_below_the_probability_and_not_far_above(count: int, mean: float, size: float) -> None:
    far = divergence_of(count, mean, size)
    exact = -math.log(as_many_or_more(count, mean, size))
    assert far <= exact
    # Chernoff gives away about half the logarithm of what is summed.
    assert exact - far < 1.5 + 0.5 * math.log(count)


def test_what_is_usual_or_below_does_not_diverge() -> None:
    assert divergence_of(3, 5.0, 2.0) == divergence_of(5, 5.0, 2.0) == 0.0
    found = divergence(np.array([0.0, 5.0, 9.0]), np.array([5.0, 5.0, 5.0]), 2.0)
    assert found[:2].tolist() == [0.0, 0.0]
    assert found[2] == pytest.approx(divergence_of(9, 5.0, 2.0))


@pytest.mark.parametrize("expected", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("size", [0.3, 5.0, 100.0])
def test_the_count_that_reaches_a_limit_diverges_by_it(expected: float, size: float) -> None:
    assert divergence_of(reached_at(9.2, expected, size), expected, size) == pytest.approx(9.2, rel=0.05)


def test_the_count_fallen_to_is_as_improbable_and_none_is_below_nothing() -> None:
    low = fallen_to(9.2, 300.0, 50.0)
    assert 0 < low < 300
    # The same bound, turned around: of counts up to `low`.
    assert low * math.log(low / 300) - (low + 50) * math.log((low + 50) / 350) == pytest.approx(9.2, rel=0.05)
    assert fallen_to(9.2, 5.0, 5.0) == 0.0


def test_a_share_of_more_mentions_diverges_more_and_one_below_does_not() -> None:
    assert share_divergence(0.5, 0.2, 100) == pytest.approx(10 * share_divergence(0.5, 0.2, 10))
    assert share_divergence(1.0, 0.2, 10) == pytest.approx(10 * math.log(5))
    assert share_divergence(0.1, 0.2, 100) == 0.0


def test_the_tail_of_a_restless_history_is_found() -> None:
    draw = np.random.default_rng(3)
    # Beyond 6 as Pareto with steepness 2, a tenth of the blocks.
    largest = np.where(draw.random(4000) < 0.1, 6 * (1 - draw.random(4000)) ** (-1 / 2), draw.random(4000) * 5)
    tail = tail_of(largest, np.ones(4000), 5.0, 1.0)
    assert tail.steepness == pytest.approx(2.0, rel=0.2)
    beyond = tail.limit(0.01)
    assert np.mean(largest > beyond) == pytest.approx(0.01, rel=0.5)


def test_without_a_history_the_tail_is_what_is_taken_for_true() -> None:
    tail = tail_of(np.zeros(0), np.zeros(0), 5.0, 1.0)
    assert (tail.start, tail.steepness, tail.rate) == (TAIL_FROM, 1.0, 0.1)
    assert tail.limit(1.0) == TAIL_FROM
    assert tail.limit(0.01) == pytest.approx(10 * TAIL_FROM)


def test_one_huge_spike_of_the_past_does_not_hide_a_large_one() -> None:
    calm = np.full(200, 1.0)
    once = calm.copy()
    once[50] = 500.0
    share = 6 / 24 / 14
    before, after = (tail_of(largest, np.ones(200), 5.0, 1.0).limit(share) for largest in (calm, once))
    assert before <= after < 3 * before
