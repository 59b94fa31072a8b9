"""Silences: for a time, alerts of some brands, rules or severities are told to nobody. They still stand on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.records import Alert
from alerts.rule import Severity
from domain.clock import from_ms, to_ms
from domain.errors import ConfigError

KIND: Final = "silence"
LEAST: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Matches alerts whose brand, rule and severity are among those named (empty: any) in `[start, end)`."""

    silence_id: str
    start: datetime
    end: datetime
    brands: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    made_by: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        # What is kept counts in milliseconds, and nobody means less than a minute.
        if self.end - self.start < LEAST:
            raise ConfigError("silence: found an end less than a minute after its start, expected a later one")
        if not (self.brands or self.rules or self.severities):
            raise ConfigError(
                "silence: found no brand, rule or severity, expected one at least: it would hide every alert"
            )

    def matches(self, alert: Alert, now: datetime) -> bool:
        """Tell whether an alert is silenced now."""
        return (
            self.start <= now < self.end
            and (not self.brands or alert.brand_id in self.brands)
            and (not self.rules or alert.rule_id in self.rules)
            and (not self.severities or alert.severity in self.severities)
        )


def silenced_by(alert: Alert, silences: Sequence[Silence], now: datetime) -> Silence | None:
    """Give the silence that holds for an alert, or None."""
    return next((silence for silence in silences if silence.matches(alert, now)), None)


def to_body(silence: Silence) -> dict[str, Any]:
    """Give a silence as the body of a document."""
    return {
        "start_ms": to_ms(silence.start),
        "end_ms": to_ms(silence.end),
        "brands": list(silence.brands),
        "rules": list(silence.rules),
        "severities": [severity.value for severity in silence.severities],
        "made_by": silence.made_by,
        "why": silence.why,
    }


def from_body(silence_id: str, body: Mapping[str, Any]) -> Silence:
    """Read what `to_body` wrote."""
    return Silence(
        silence_id=silence_id,
        start=from_ms(body["start_ms"]),
        end=from_ms(body["end_ms"]),
        brands=tuple(body["brands"]),
        rules=tuple(body["rules"]),
        severities=tuple(Severity(name) for name in body["severities"]),
        made_by=str(body.get("made_by", "")),
        why=str(body.get("why", "")),
    )
