"""Who is told of what, where, and when rather not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerts.records import Alert
from alerts.rule import Severity
from domain.errors import ConfigError

Digest = Literal["none", "daily", "weekly"]
Audience = Literal["marketing", "it"]
DIGESTS: Final[tuple[Digest, ...]] = ("none", "daily", "weekly")
AUDIENCES: Final[tuple[Audience, ...]] = ("marketing", "it")

_SPAN = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A span of every day in a zone in which nobody is told; `22:00-07:00` goes over midnight.

    What still holds when it ends is told then.
    """

    start: time
    end: time
    zone: tzinfo

    def hold(self, now: datetime) -> bool:
        """Tell whether a moment lies in it, by the clocks of its zone."""
        local = now.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


def quiet_hours(text: str, zone: str) -> QuietHours | None:
    """Read `22:00-07:00`; None for "".

    Raises:
        ConfigError: it has another form, or there is no such zone.
    """
    found = zone_of(zone)
    if not text:
        return None
    match = _SPAN.fullmatch(text.replace(" ", ""))
    hours = [int(part) for part in match.groups()] if match else []
    if not hours or max(hours[0], hours[2]) > 23 or hours[:2] == hours[2:]:
        raise ConfigError(f"quiet_hours: found {text!r}, expected two different times of day such as 22:00-07:00")
    return QuietHours(time(hours[0], hours[1]), time(hours[2], hours[3]), found)


def zone_of(name: str) -> tzinfo:
    """Give a zone by its name.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"timezone: found {name!r}, expected a zone such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One recipient, and what it wants to hear of.

    `channel` names a channel of the configuration; `recipient` is the address for an e-mail channel, else "". `brands`
    and `rules` empty: all. `severity` is the least that is told. Who is of `it` is told of the pipeline's health, who
    is of `marketing` of brands. `made_by` is "the configuration" or who made it on the page.
    """

    subscription_id: str
    channel: str
    recipient: str = ""
    brands: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    severity: Severity = Severity.INFO
    audience: Audience = "marketing"
    quiet_hours: str = ""
    timezone: str = "UTC"
    digest: Digest = "none"
    # Whether its end is told too.
    resolved: bool = True
    made_by: str = "the configuration"

    def __post_init__(self) -> None:
        quiet_hours(self.quiet_hours, self.timezone)

    def is_quiet(self, now: datetime) -> bool:
        """Tell whether its quiet hours hold."""
        hours = quiet_hours(self.quiet_hours, self.timezone)
        return hours is not None and hours.hold(now)

    def wants(self, alert: Alert) -> bool:
        """Tell whether an alert is one of those that it asks for."""
        if (alert.brand_id == "") != (self.audience == "it"):
            return False
        if not alert.severity.reaches(self.severity):
            return False
        if self.audience == "it":
            return not self.rules or alert.rule_id in self.rules
        return (not self.brands or alert.brand_id in self.brands) and (not self.rules or alert.rule_id in self.rules)


def to_body(subscription: Subscription) -> dict[str, Any]:
    """Give a subscription as the body of a document."""
    return {
        "channel": subscription.channel,
        "recipient": subscription.recipient,
        "brands": list(subscription.brands),
        "rules": list(subscription.rules),
        "severity": subscription.severity.value,
        "audience": subscription.audience,
        "quiet_hours": subscription.quiet_hours,
        "timezone": subscription.timezone,
        "digest": subscription.digest,
        "resolved": subscription.resolved,
        "made_by": subscription.made_by,
    }


def from_body(subscription_id: str, body: Mapping[str, Any]) -> Subscription:
    """Read what `to_body` wrote, or what a form or a configuration says.

    Raises:
        ConfigError: a value that cannot be; it says which, what was found and what was expected.
    """
    return Subscription(
        subscription_id=subscription_id,
        channel=str(body.get("channel", "")),
        recipient=str(body.get("recipient", "")),
        brands=tuple(body.get("brands", ())),
        rules=tuple(body.get("rules", ())),
        severity=_one_of("severity", body.get("severity", "info"), Severity),
        audience=_choice("audience", body.get("audience", "marketing"), AUDIENCES),
        quiet_hours=str(body.get("quiet_hours", "")),
        timezone=str(body.get("timezone", "UTC")),
        digest=_choice("digest", body.get("digest", "none"), DIGESTS),
        resolved=bool(body.get("resolved", True)),
        made_by=str(body.get("made_by", "the configuration")),
    )


def _one_of(name: str, found: object, kind: type[Severity]) -> Severity:
    try:
        return kind(str(found))
    except ValueError:
        expected = ", ".join(each.value for each in kind)
        raise ConfigError(f"{name}: found {str(found)[:60]!r}, expected one of {expected}") from None


def _choice(name: str, found: object, choices: tuple[Any, ...]) -> Any:
    if found not in choices:
        raise ConfigError(f"{name}: found {str(found)[:60]!r}, expected one of {', '.join(choices)}")
    return found
