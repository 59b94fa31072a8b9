"""Settings of alerts: rules, channels and subscriptions, and how patient the telling is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from alerts.mail_channel import Security
from alerts.rule import DEFAULT_RULES, Rule
from alerts.subscription import Subscription
from alerts.telling import Pace
from net.fetch import is_web
from service.alert_tables import CHANNEL_SECRETS, channel_secret, named, read_channels, read_rules, read_subscriptions
from service.secrets import Secret, flaw_of, read_secret
from service.settings_checks import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """One way to tell somebody; see the table of channels. Secrets are masked wherever they are printed."""

    channel_id: str
    type: str
    url: str = ""
    host: str = ""
    port: int = 0
    security: Security = "starttls"
    user: str = ""
    sender: str = ""
    allow_private: bool = False
    # The password of `user`, the key that a webhook's messages are signed with, the address of apprise.
    password: Secret = field(default_factory=Secret)
    secret: Secret = field(default_factory=Secret)
    address: Secret = field(default_factory=Secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """What is watched, who is told, and how patiently."""

    enabled: bool = True
    rules: tuple[Rule, ...] = DEFAULT_RULES
    channels: tuple[ChannelSettings, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    look_seconds: float = 60.0
    group_wait_seconds: float = 30.0
    group_interval_minutes: float = 5.0
    repeat_hours: float = 4.0
    heartbeat_url: Secret = field(default_factory=Secret)
    heartbeat_private: bool = False
    heartbeat_minutes: float = 5.0

    @property
    def pace(self) -> Pace:
        """How patient a group is."""
        return Pace(
            timedelta(seconds=self.group_wait_seconds),
            timedelta(minutes=self.group_interval_minutes),
            timedelta(hours=self.repeat_hours),
        )


def secret_names(lists: Mapping[str, Sequence[Any]]) -> set[str]:
    """Give every environment variable that a channel's secret may come from."""
    ids = [table.get("id") for table in lists.get("channels", ()) if isinstance(table, dict)]
    return {channel_secret(name, secret) for name in ids if isinstance(name, str) for secret in CHANNEL_SECRETS}


def read_alerts(
    lists: Mapping[str, Sequence[Any]],
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    where: str,
    problems: list[str],
) -> AlertSettings:
    """Build the settings of alerts from checked values and the lists of tables; what is wrong goes to `problems`."""
    rules = read_rules(lists.get("rules", ()), where, problems)
    channels = tuple(
        _channel(place, table, environ, problems)
        for place, table in read_channels(lists.get("channels", ()), where, problems)
    )
    # One that has problems is told of there, not once more where it is named.
    types = named(lists.get("channels", ()), "type")
    rule_ids = named(lists.get("rules", ())) or {rule.rule_id: "" for rule in DEFAULT_RULES}
    subscriptions = read_subscriptions(lists.get("subscriptions", ()), types, rule_ids, where, problems)
    plain = {key.removeprefix("alerts."): value for key, value in values.items() if key.startswith("alerts.")}
    plain.pop("heartbeat_url_file", None)
    url = plain["heartbeat_url"].reveal()
    if url and not is_web(url):
        problems.append("alerts.heartbeat_url: found something else, expected an address that begins with https://")
    return AlertSettings(rules=rules, channels=channels, subscriptions=subscriptions, **plain)


def _channel(place: str, values: Mapping[str, Any], environ: Mapping[str, str], problems: list[str]) -> ChannelSettings:
    """Build a channel, with its secrets from the environment or a file."""
    secrets: dict[str, Secret] = {}
    for name in CHANNEL_SECRETS:
        variable, file = channel_secret(values["id"], name), values[f"{name}_file"]
        value, told = environ.get(variable, ""), f"environment: {variable}"
        if not value and file:
            told = f"{place}: {name}_file"
            value = read_secret(Path(file).expanduser(), problems, told)
        if wrong := flaw_of(value, ascii_only=False):
            problems.append(f"{told}: found {wrong}, expected the secret alone")
            value = ""
        secrets[name] = Secret(value)
    plain = {key: value for key, value in values.items() if key != "id" and not key.endswith("_file")}
    return ChannelSettings(
        channel_id=values["id"],
        password=secrets["password"],
        secret=secrets["secret"],
        address=secrets["address"],
        **plain,
    )


def alert_warnings(settings: AlertSettings, brands: Sequence[str]) -> list[str]:
    """Tell of rules and subscriptions that name brands which the configuration has not; they may be made elsewhere."""
    named = [(f"rule {rule.rule_id}", rule.brands) for rule in settings.rules]
    named += [(f"subscription {each.subscription_id}", each.brands) for each in settings.subscriptions]
    return [
        f"{what}: brands: {brand_id} is no brand of this configuration{nearest(brand_id, brands)}; it counts once it "
        "is made on the page or by `soundings brands add`"
        for what, wanted in named
        for brand_id in wanted
        if brand_id not in brands
    ]
