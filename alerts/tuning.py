"""The numbers that spikes are found by: one set for all brands, and what each sensitivity asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alerts.rule import Sensitivity


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a baseline learns. What each number does to the score on real brands is in docs/decisions/0020-spikes.md.

    Attributes:
        history_days: how far back it looks.
        season_half_days: after how many days an hour counts half for the time of day and week.
        level_half_hours: after how many hours a count weighs half for the level. A new level is known in two days.
        prior_hours, prior_rate: before anything is known, so many mentions an hour are expected, as surely as if so
            many hours had been seen.
        day_prior, week_prior: as if so many days (weeks) without any cycle had been seen.
        cap_deviations: what lies further above the usual counts as that far.
        size_prior, size_prior_hours: size of the negative binomial before anything is known, and its weight.
        sustained: a slow rise is looked for in a window so many times as long as the rule's, a day at most.
        block_hours: of how many hours the largest divergence is taken for the tail; a day holds a whole number.
        tail_half_days: after how many days a block counts half.
        tail_prior, tail_steepness: of the tail before anything is known.
        min_history_hours: nothing is a spike before a brand was heard for so long.
        little_history_hours: until then a reading says that it rests on little.
        exit_share: a spike is over when divergence falls below this share of what it takes to be one.
        share_half_hours: after how many hours a mention weighs half for the usual share and net sentiment.
        share_spread: by how much shares differ from window to window before anything is known, one deviation.
    """

    history_days: int = 56
    season_half_days: float = 21.0
    level_half_hours: float = 36.0
    prior_hours: float = 6.0
    prior_rate: float = 1.0
    day_prior: float = 2.0
    week_prior: float = 3.0
    cap_deviations: float = 3.0
    size_prior: float = 5.0
    size_prior_hours: float = 24.0
    sustained: int = 12
    block_hours: int = 6
    tail_half_days: float = 28.0
    tail_prior: float = 5.0
    tail_steepness: float = 1.0
    min_history_hours: int = 24
    little_history_hours: int = 168
    exit_share: float = 0.5
    share_half_hours: float = 168.0
    share_spread: float = 0.05


SHIPPED: Final = Tuning()


@dataclass(frozen=True, slots=True)
class Threshold:
    """What makes a spike: less likely than `chance` for a window, and by the brand's own history less often than once
    in `every_days` days.
    """  # noqa: D205  # one sentence

    chance: float
    every_days: float


THRESHOLDS: Final[Mapping[Sensitivity, Threshold]] = {
    Sensitivity.FEWER: Threshold(1e-6, 28.0),
    Sensitivity.BALANCED: Threshold(5e-5, 14.0),
    Sensitivity.MORE: Threshold(1e-3, 7.0),
}
