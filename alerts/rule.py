"""What is watched: a rule, and the brand it is watched for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from domain.errors import ConfigError
from domain.query.ast import And, Keyword, Node

# Counts are kept by five minutes, so windows are whole numbers of them.
BUCKET_SECONDS: Final = 300
BUCKET_MINUTES: Final = 5
MAX_WINDOW_MINUTES: Final = 24 * 60


class Metric(StrEnum):
    """What is compared with its own history."""

    VOLUME = "volume"
    NEGATIVE = "negative"
    NEGATIVE_SHARE = "negative_share"
    NET_SENTIMENT = "net_sentiment"


class Sensitivity(StrEnum):
    """How unusual something must be."""

    FEWER = "fewer"
    BALANCED = "balanced"
    MORE = "more"


class Severity(StrEnum):
    """How urgent an alert is, from least to most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    def reaches(self, least: Severity) -> bool:
        """Tell whether it is at least `least`."""
        order = list(Severity)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to watch, and what makes it a spike.

    An alert fires when all of these hold: it is improbable by the brand's own history (`sensitivity`), by `min_ratio`
    times what was expected, in at least `min_mentions` mentions by `min_authors` authors and of `min_stories` stories.
    The ratio is not asked of shares and net sentiment. `brands` empty: every brand. `query` narrows the mentions, in
    the query language.
    """

    rule_id: str
    name: str = ""
    brands: tuple[str, ...] = ()
    query: str = ""
    metric: Metric = Metric.NEGATIVE
    window_minutes: int = 60
    sensitivity: Sensitivity = Sensitivity.BALANCED
    min_mentions: int = 10
    min_authors: int = 5
    min_stories: int = 3
    min_ratio: float = 2.0
    # How long it must hold before anybody is told, and be over before it counts as resolved.
    pending_minutes: int = 0
    resolve_minutes: int = 30
    # No second alert of the same brand and rule starts within this time after the first began.
    cool_down_minutes: int = 360
    severity: Severity = Severity.WARNING

    def __post_init__(self) -> None:
        if self.window_minutes % BUCKET_MINUTES or not BUCKET_MINUTES <= self.window_minutes <= MAX_WINDOW_MINUTES:
            raise ConfigError(
                f"rule {self.rule_id}: window_minutes is {self.window_minutes}, expected a multiple of "
                f"{BUCKET_MINUTES} up to {MAX_WINDOW_MINUTES}"
            )

    @property
    def window_buckets(self) -> int:
        """Length of the window in buckets."""
        return self.window_minutes // BUCKET_MINUTES

    def watches(self, brand_id: str) -> bool:
        """Tell whether the rule is about a brand."""
        return not self.brands or brand_id in self.brands


@dataclass(frozen=True, slots=True)
class Watch:
    """One rule for one brand: what has a state, and fires. `node` finds its mentions; `filter_id` names what it counts.

    Rules of one brand with the same query share their counts.
    """

    rule: Rule
    brand_id: str
    brand: str
    node: Node

    @property
    def watch_id(self) -> str:
        """Rule and brand, as ids of documents hold it."""
        return f"{self.rule.rule_id}:{self.brand_id}"

    @property
    def filter_id(self) -> str:
        """Brand and query: a name for what is counted."""
        if not self.rule.query.strip():
            return self.brand_id
        digest = blake2b(self.rule.query.strip().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return f"{self.brand_id}~{digest}"


def watches(rules: tuple[Rule, ...], brands: Mapping[str, str], nodes: Mapping[str, Node]) -> list[Watch]:
    """Give every rule for every brand that it is about.

    Args:
        rules: what is watched.
        brands: id -> name of the brands that there are.
        nodes: query -> its parsed tree, for each query of a rule that is not empty.
    """
    found = []
    for rule in rules:
        for brand_id, name in brands.items():
            if rule.watches(brand_id):
                own = Keyword("brand_id", brand_id)
                node = And((own, nodes[rule.query])) if rule.query.strip() else own
                found.append(Watch(rule, brand_id, name, node))
    return found


# What is watched where the configuration names no rule.
DEFAULT_RULES: Final = (Rule(rule_id="negative-spike", name="Spike of negative mentions", severity=Severity.CRITICAL),)
