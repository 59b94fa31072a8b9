"""Rules and subscriptions of a configuration: `[[rules]]` and `[[subscriptions]]`, checked as everything else is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from alerts.health import KINDS
from alerts.mail_channel import check_mail_address
from alerts.rule import DEFAULT_RULES, MAX_WINDOW_MINUTES, Metric, Rule, Sensitivity, Severity
from alerts.subscription import AUDIENCES, DIGESTS, Subscription, from_body
from domain.brand import is_slug, slug
from domain.errors import ConfigError, QueryError
from domain.query.parser import parse
from service.setting import Setting
from service.settings_checks import nearest, show, take

_METRICS = tuple(each.value for each in Metric)
_SEVERITIES = tuple(each.value for each in Severity)

RULE_SETTINGS: tuple[Setting, ...] = (
    Setting("id", "text", None, "slug of the rule: a-z, 0-9 and inner hyphens; it never changes"),
    Setting("name", "text", "", "name as people read it; the id when left out"),
    Setting("brands", "texts", (), "ids of the brands that it watches; all when left out"),
    Setting("query", "text", "", "only mentions that match this, in the query language"),
    Setting("metric", "choice", Metric.NEGATIVE.value, "what is compared with its own history", choices=_METRICS),
    Setting(
        "window_minutes",
        "integer",
        60,
        "how long a stretch is compared: a multiple of 5 (minutes)",
        minimum=5,
        maximum=MAX_WINDOW_MINUTES,
    ),
    Setting(
        "sensitivity",
        "choice",
        Sensitivity.BALANCED.value,
        "how unusual it must be: fewer alerts, balanced, or more",
        choices=tuple(each.value for each in Sensitivity),
    ),
    Setting("min_mentions", "integer", 10, "it is no spike with fewer mentions", minimum=1, maximum=1_000_000),
    Setting("min_authors", "integer", 5, "nor by fewer authors", minimum=1, maximum=1_000_000),
    Setting("min_stories", "integer", 3, "nor of fewer stories", minimum=1, maximum=1_000_000),
    Setting("min_ratio", "number", 2.0, "nor with less than so many times what was expected", minimum=1, maximum=1000),
    Setting("pending_minutes", "integer", 0, "it must hold for so long first (minutes)", minimum=0, maximum=1440),
    Setting("resolve_minutes", "integer", 30, "it is over when it was calm for so long (minutes)", minimum=5),
    Setting(
        "cool_down_minutes",
        "integer",
        360,
        "after an alert began, the next of the same rule and brand begins this much later at the earliest (minutes)",
        minimum=0,
    ),
    Setting("severity", "choice", Severity.WARNING.value, "how urgent its alerts are", choices=_SEVERITIES),
)

SUBSCRIPTION_SETTINGS: tuple[Setting, ...] = (
    Setting("id", "text", None, "slug of the subscription"),
    Setting("channel", "text", None, "name of the channel by which it is told"),
    Setting("recipient", "text", "", "address, for a channel of e-mail"),
    Setting("brands", "texts", (), "ids of the brands that it is about; all when left out"),
    Setting(
        "rules",
        "texts",
        (),
        "rules that it is about, or kinds of trouble of the pipeline; all when left out",
    ),
    Setting("severity", "choice", "info", "the least urgent that is told", choices=_SEVERITIES),
    Setting(
        "audience",
        "choice",
        "marketing",
        "marketing is told of brands, it of the pipeline's own health",
        choices=AUDIENCES,
    ),
    Setting("quiet_hours", "text", "", "nobody is told then, such as 22:00-07:00; what still holds is told after"),
    Setting("timezone", "text", "UTC", "zone of the quiet hours and of the digest, such as Europe/Berlin"),
    Setting("digest", "choice", "none", "a summary of what was, at eight in the morning", choices=DIGESTS),
    Setting("resolved", "boolean", True, "whether the end of an alert is told too"),
)

CHANNEL_SETTINGS: tuple[Setting, ...] = (
    Setting("id", "text", None, "slug of the channel"),
    Setting(
        "type",
        "choice",
        None,
        "email sends messages over SMTP, webhook posts signed JSON, apprise is any of the services of that library",
        choices=("email", "webhook", "apprise"),
    ),
    Setting("url", "text", "", "where a webhook's messages go: https://..."),
    Setting("host", "text", "", "SMTP server of an e-mail channel"),
    Setting("port", "integer", 0, "its port; 0 is the usual one of its security", minimum=0, maximum=65535),
    Setting(
        "security",
        "choice",
        "starttls",
        "how the SMTP server is talked to: starttls, tls from the beginning, or none (loopback only)",
        choices=("starttls", "tls", "none"),
    ),
    Setting("user", "text", "", "user of the SMTP server; nobody signs in when left out"),
    Setting("sender", "text", "", "address that e-mail comes from"),
    Setting("allow_private", "boolean", False, "whether a webhook may be at an address of a private network"),
    Setting("password_file", "path", "", "file that holds the password of `user`"),
    Setting("secret_file", "path", "", "file that holds the key by which a webhook's messages are signed"),
    Setting("address_file", "path", "", "file that holds the address of apprise, with its tokens"),
)
# What a channel has that is never in the configuration: from SOUNDINGS_CHANNEL_<ID>_<NAME>, or the file `<name>_file`.
CHANNEL_SECRETS: tuple[str, ...] = ("password", "secret", "address")


def channel_secret(channel_id: str, name: str) -> str:
    """Give the environment variable that holds a channel's secret."""
    return f"SOUNDINGS_CHANNEL_{channel_id.upper().replace('-', '_')}_{name.upper()}"


def read_channels(tables: Sequence[Any], where: str, problems: list[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Check the channels: the place and the values of each that has what its type needs."""
    needs = {"email": ("host", "sender"), "webhook": ("url",)}
    found = []
    told = [
        {key: value for key, value in table.items() if key not in CHANNEL_SECRETS} if isinstance(table, dict) else table
        for table in tables
    ]
    problems += [
        f"{where}: channel {table.get('id')}: {name}: no secret belongs in this file: set "
        f"{channel_secret(str(table.get('id')), name)}, or name the file that holds it as {name}_file"
        for table in tables
        if isinstance(table, dict)
        for name in CHANNEL_SECRETS
        if name in table
    ]
    for place, values, sound in _entries("channel", told, CHANNEL_SETTINGS, where, problems):
        missing = [key for key in needs.get(values["type"], ()) if not values[key]]
        problems += [f"{place}: {key}: is missing; a channel of type {values['type']} needs it" for key in missing]
        if sound and not missing:
            found.append((place, values))
    return found


def named(tables: Sequence[Any], key: str = "id") -> dict[str, str]:
    """Give what tables name, sound or not, by id, so that one that is wrong is told of once: the text of `key`."""
    found = {}
    for table in tables:
        if isinstance(table, dict) and isinstance(table.get("id"), str):
            found[table["id"]] = str(table.get(key, ""))
    return found


def read_rules(tables: Sequence[Any], where: str, problems: list[str]) -> tuple[Rule, ...]:
    """Build the rules; those that are shipped where none is named. One with problems is left out."""
    if not tables:
        return DEFAULT_RULES
    rules = []
    for place, values, sound in _entries("rule", tables, RULE_SETTINGS, where, problems):
        try:
            if values["query"].strip():
                parse(values["query"])
        except QueryError as exc:
            problems.append(f"{place}: query: {exc}")
            sound = False
        try:
            made = {key: value for key, value in values.items() if key != "id"}
            made |= {"metric": Metric(made["metric"]), "sensitivity": Sensitivity(made["sensitivity"])}
            made["severity"] = Severity(made["severity"])
            rule = Rule(rule_id=values["id"], **made | {"name": values["name"] or values["id"]})
            rules += [rule] if sound else []
        except ConfigError as exc:
            problems.append(f"{place}: {exc.problems[0].partition(': ')[2]}")
    return tuple(rules)


def read_subscriptions(
    tables: Sequence[Any],
    channels: Mapping[str, str],
    rules: Collection[str],
    where: str,
    problems: list[str],
) -> tuple[Subscription, ...]:
    """Build the subscriptions; one with problems is left out.

    Args:
        tables: as the configuration has them.
        channels: the types of those that are named, by id.
        rules: ids of those that are named.
        where: the configuration.
        problems: what is wrong is added here.
    """
    found = []
    for place, values, sound in _entries("subscription", tables, SUBSCRIPTION_SETTINGS, where, problems):
        before = len(problems)
        wanted = values["channel"]
        if wanted is not None and wanted not in channels:
            expected = f"one of {', '.join(channels)}" if channels else "a channel; there is none: [[channels]]"
            problems.append(f"{place}: channel: found {show(wanted)}, expected {expected}{nearest(wanted, channels)}")
        problems += [f"{place}: recipient: {flaw}" for flaw in _recipient_flaws(values, channels.get(wanted, ""))]
        # Nobody is told of what no such subscription hears of: brands are the one's, the pipeline is the other's.
        known = KINDS if values["audience"] == "it" else rules
        problems += [
            f"{place}: rules: found {show(rule_id)}, expected some of {', '.join(known)}{nearest(rule_id, known)}"
            for rule_id in values["rules"]
            if rule_id not in known
        ]
        try:
            made = from_body(values["id"], values)
        except ConfigError as exc:
            problems += [f"{place}: {problem}" for problem in exc.problems]
        if sound and len(problems) == before:
            found.append(made)
    return tuple(found)


def _recipient_flaws(values: Mapping[str, Any], channel_type: str) -> list[str]:
    """Say what is wrong with the address of a subscription, for a channel of this type ("": not known)."""
    recipient = values["recipient"]
    if channel_type == "email" and not recipient:
        return ["is missing; a channel of type email tells nobody without it"]
    if channel_type == "email":
        try:
            check_mail_address(recipient)
        except ConfigError as exc:
            return [problem.partition(": ")[2] for problem in exc.problems]
    if channel_type in ("webhook", "apprise") and recipient:
        return [f"found {show(recipient)}, expected none: a channel of type {channel_type} tells one place, its own"]
    return []


def _entries(
    noun: str, tables: Sequence[Any], settings: Sequence[Setting], where: str, problems: list[str]
) -> list[tuple[str, Mapping[str, Any], bool]]:
    """Check tables of one kind; gives the place, the values and whether they are all sound.

    What cannot be used has its default, so that the rest can still be looked at.
    """
    known = {setting.key: setting for setting in settings}
    entries: list[tuple[str, Mapping[str, Any], bool]] = []
    seen: set[str] = set()
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            problems.append(f"{where}: {noun}s: entry {number} is {show(table)}, expected a table [[{noun}s]]")
            continue
        name = table.get("id")
        place = f"{where}: {noun} {name if isinstance(name, str) and name else number}"
        before = len(problems)
        problems += [f"{place}: {key}: unknown key{nearest(key, known)}" for key in table if key not in known]
        values: dict[str, Any] = {setting.key: setting.default for setting in settings}
        for key, setting in known.items():
            if key in table:
                take(setting, table[key], f"{place}: {key}", values, problems)
            elif setting.default is None:
                problems.append(f"{place}: {key}: is missing, expected {setting.expected()}")
        if isinstance(values["id"], str) and not is_slug(values["id"]):
            problems.append(f"{place}: id: found {show(values['id'])}, expected a slug such as {slug(values['id'])!r}")
        if values["id"] in seen:
            problems.append(f"{place}: id: used by an earlier {noun} too; each needs its own")
        seen.add(str(values["id"]))
        entries.append((place, values, len(problems) == before))
    return entries
