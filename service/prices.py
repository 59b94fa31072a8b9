"""What a post costs, for sources that ask for money: what a preview estimates with."""

from __future__ import annotations

from dataclasses import dataclass

from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Price:
    """What one post of a source costs."""

    source: str
    a_post: float
    currency: str


def prices(settings: Settings) -> tuple[Price, ...]:
    """Give the prices of the sources that are enabled: those with a setting `price_per_post` above 0."""
    found: list[Price] = []
    for name in settings.sources.enabled:
        values = settings.sources.values.get(name, {})
        if values.get("price_per_post"):
            found.append(Price(name, float(values["price_per_post"]), str(values.get("currency", "USD"))))
    return tuple(found)
