"""Changing alerts, silences and subscriptions for pages and API alike; what is refused is refused with a problem."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from alerts.book import new_id
from alerts.health import KINDS
from alerts.ids import told_by
from alerts.mail_channel import check_mail_address
from alerts.records import Alert
from alerts.rule import Severity
from alerts.silence import Silence
from alerts.subscription import Subscription, from_body
from dashboard.alert_desk import AlertDesk
from dashboard.answers import Problem
from dashboard.problems import NotFound, Refused
from domain.errors import ConfigError

_MAX_NAME: Final = 200
# More than a company has people who want to be told, and it bounds what a stranger who got in can leave behind.
MAX_SUBSCRIPTIONS: Final = 500
MAX_SILENCES: Final = 500
# Longer than a year is a rule that nobody wants.
MAX_HOURS: Final = 24 * 365

_Made = TypeVar("_Made")


def alert_of(desk: AlertDesk, alert_id: str) -> Alert:
    """Give one alert.

    Raises:
        NotFound: it is not there.
    """
    try:
        if alert_id.isascii() and alert_id.isprintable() and 0 < len(alert_id) <= 100 and " " not in alert_id:
            return desk.book.alert(alert_id)
    except ConfigError:
        pass
    raise _missing("no_such_alert", "alert_id", alert_id, "the id of an alert", "see /api/alerts")


def acknowledge(desk: AlertDesk, alert_id: str, who: str, now: datetime) -> Alert:
    """Take note that somebody has seen an alert.

    Raises:
        NotFound: it is not there.
        Conflict, RetryLater, BackendDown: it was not done.
    """
    alert_of(desk, alert_id)
    return desk.book.acknowledge(alert_id, who, now)


def mark(desk: AlertDesk, alert_id: str, word: str, who: str, now: datetime) -> Alert:
    """Say that an alert was useful, or noise; "" takes it back.

    Raises:
        NotFound, Refused: it is not there, or the mark is another word.
        Conflict, RetryLater, BackendDown: it was not done.
    """
    alert_of(desk, alert_id)
    return _refusing("bad_mark", ("mark",), lambda: desk.book.mark(alert_id, word, who, now))


def silence(
    desk: AlertDesk,
    values: Mapping[str, Any],
    brands: Collection[str],
    who: str,
    now: datetime,
    rules: Collection[str] | None = None,
) -> Silence:
    """Tell nobody of some alerts from now on.

    Args:
        desk: that keeps it.
        values: `brands`, `rules`, `severities`, `hours` and `why`.
        brands: ids of those that may be named.
        who: wants it.
        now: the time.
        rules: ids of those that may be named; by default those there are.

    Raises:
        Refused: they cannot be; it says why.
        RetryLater, BackendDown: it was not done.
    """
    if len(desk.book.silences()) >= MAX_SILENCES:
        raise _full("silences", MAX_SILENCES)
    hours = values.get("hours", 0)
    if not isinstance(hours, int | float) or not 0 < hours <= MAX_HOURS:
        raise _bad("bad_silence", "hours", f"{str(hours)[:40]} hours", f"more than 0, and {MAX_HOURS:,} at most")

    def made() -> Silence:
        return Silence(
            silence_id=new_id(now),
            start=now,
            end=now + timedelta(hours=hours),
            brands=_known("brands", values.get("brands", ()), brands),
            rules=_known("rules", values.get("rules", ()), rules or [*_rule_ids(desk), *KINDS]),
            severities=tuple(
                Severity(one)
                for one in _known("severities", values.get("severities", ()), [each.value for each in Severity])
            ),
            made_by=who[:_MAX_NAME],
            why=_line(str(values.get("why", ""))),
        )

    kept = _refusing("bad_silence", ("brands", "rules", "severities"), made)
    desk.book.silence(kept)
    return kept


def silence_like(desk: AlertDesk, alert: Alert, hours: float, who: str, now: datetime) -> Silence:
    """Tell nobody of alerts like this one, of its rule and brand, from now on.

    Raises:
        Refused: as `silence`.
    """
    named = {"brands": (alert.brand_id,)} if alert.brand_id else {}
    values = {**named, "rules": (alert.rule_id,), "hours": hours, "why": f"about alert {alert.alert_id}"}
    return silence(desk, values, {alert.brand_id}, who, now, {alert.rule_id})


def end_silence(desk: AlertDesk, silence_id: str) -> None:
    """End a silence at once.

    Raises:
        NotFound: it is not there.
    """
    if silence_id not in {each.silence_id for each in desk.book.silences()}:
        raise _missing("no_such_silence", "silence_id", silence_id, "the id of a silence", "see /api/silences")
    try:
        desk.book.end_silence(silence_id)
    except ConfigError:
        # Somebody else was faster; it has ended.
        return


def subscribe(
    desk: AlertDesk, values: Mapping[str, Any], brands: Collection[str], who: str, now: datetime
) -> Subscription:
    """Keep a subscription, and ask a new address whether it wants to be told.

    Args:
        desk: that keeps it.
        values: the fields of a subscription, without its id.
        brands: ids of those there are.
        who: makes it.
        now: the time.

    Raises:
        Refused: they cannot be; it says why.
        RetryLater, BackendDown: it was not done.
    """
    if len(desk.book.subscriptions()) >= MAX_SUBSCRIPTIONS:
        raise _full("subscriptions", MAX_SUBSCRIPTIONS)
    channel = next((one for one in desk.channels if one.channel_id == values.get("channel")), None)
    if channel is None:
        known = ", ".join(one.channel_id for one in desk.channels)
        raise _bad(
            "bad_subscription",
            "channel",
            repr(str(values.get("channel", ""))[:100]),
            f"one of {known}" if known else "a channel; there is none",
            "whoever runs Soundings adds one to its configuration: [[channels]]",
        )
    recipient = str(values.get("recipient", "")).strip()
    rules = list(KINDS) if values.get("audience") == "it" else _rule_ids(desk)
    if channel.addressed:
        _check_address(desk, recipient)

    def made() -> Subscription:
        made = from_body(
            "",
            {
                **values,
                "recipient": recipient if channel.addressed else "",
                "brands": _known("brands", values.get("brands", ()), brands),
                "rules": _known("rules", values.get("rules", ()), rules),
                "made_by": who[:_MAX_NAME] or "the page",
            },
        )
        return replace(made, subscription_id=told_by(made))

    names = ("brands", "rules", "severity", "audience", "quiet_hours", "timezone", "digest")
    kept = _refusing("bad_subscription", names, made)
    try:
        desk.book.subscribe(kept, new=True)
    except ConfigError:
        raise Refused(
            409,
            Problem(
                code="subscription_there",
                parameter="recipient",
                found="a subscription that is there already",
                expected="another address, or other brands, rules or severities",
                hint="nobody is told the same twice",
            ),
        ) from None
    if channel.addressed and not desk.is_confirmed(recipient):
        desk.invite(kept, now)
    return kept


def unsubscribe(desk: AlertDesk, subscription_id: str) -> None:
    """Remove a subscription that was made here.

    Raises:
        NotFound, Refused: it is not there, or is changed elsewhere.
    """
    subscription_of(desk, subscription_id)
    if subscription_id in {each.subscription_id for each in desk.configured}:
        raise Refused(
            409,
            Problem(
                code="subscription_of_file",
                parameter="subscription_id",
                found="a subscription of the configuration",
                expected="one that was made here",
                hint="remove it from the configuration",
            ),
        )
    try:
        desk.book.unsubscribe(subscription_id)
    except ConfigError:
        # Somebody else was faster; it is gone.
        return


def send_test(desk: AlertDesk, subscription_id: str, now: datetime) -> Subscription:
    """Have a message sent that says that it is a test.

    Raises:
        NotFound, Refused: it is not there, or its address was not confirmed.
    """
    found = subscription_of(desk, subscription_id)
    if needs_confirmation(desk, found):
        raise Refused(
            409,
            Problem(
                code="not_confirmed",
                parameter="subscription_id",
                found="an address that was not confirmed",
                expected="that whoever reads it has followed the link in the message that was sent there",
                hint="the message was sent when the subscription was made; make it anew to have another",
            ),
        )
    desk.test(found, now)
    return found


def subscription_of(desk: AlertDesk, subscription_id: str) -> Subscription:
    """Give one subscription, of the configuration or made here.

    Raises:
        NotFound: it is not there.
    """
    for found in (*desk.configured, *desk.book.subscriptions()):
        if found.subscription_id == subscription_id:
            return found
    expected = "the id of a subscription"
    raise _missing("no_such_subscription", "subscription_id", subscription_id, expected, "see /api/subscriptions")


def needs_confirmation(desk: AlertDesk, subscription: Subscription) -> bool:
    """Tell whether nobody is told by it until its address was confirmed."""
    addressed = {one.channel_id for one in desk.channels if one.addressed}
    return subscription.channel in addressed and not desk.is_confirmed(subscription.recipient)


def _check_address(desk: AlertDesk, recipient: str) -> None:
    _refusing("bad_subscription", ("recipient",), lambda: check_mail_address(recipient))
    if not desk.public:
        raise _bad(
            "bad_subscription",
            "channel",
            "a channel of e-mail, while nobody knows the address of this page",
            "web.public_url in the configuration: e-mails hold links to it",
        )


def _rule_ids(desk: AlertDesk) -> list[str]:
    return [rule.rule_id for rule in desk.rules]


def _known(name: str, found: Any, known: Collection[str]) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(str(one).strip() for one in found if str(one).strip()))
    for one in given:
        if one not in known:
            shown = ", ".join(sorted(known)[:20]) or "none, for there is none"
            raise ConfigError(f"{name}: found {one[:60]!r}, expected some of {shown}")
    return given


def _refusing(code: str, names: Sequence[str], call: Callable[[], _Made]) -> _Made:
    """Do something; what a value is refused for names the parameter."""
    try:
        return call()
    except ConfigError as exc:
        problem = exc.problems[0]
        name, _, rest = problem.partition(": ")
        found, _, expected = (rest if name in names else problem).removeprefix("found ").partition(", expected ")
        if not expected:
            found, _, expected = (rest or problem).partition("; ")
        raise _bad(code, name if name in names else None, found, expected or "something else") from exc


def _bad(code: str, parameter: str | None, found: str, expected: str, hint: str = "see docs/alerts.md") -> Refused:
    return Refused(400, Problem(code=code, parameter=parameter, found=found, expected=expected, hint=hint))


def _missing(code: str, parameter: str, found: str, expected: str, hint: str) -> NotFound:
    shown = repr(found[:100])
    return NotFound(Problem(code=code, parameter=parameter, found=shown, expected=expected, hint=hint))


def _full(what: str, most: int) -> Refused:
    return Refused(
        409,
        Problem(code="too_many", found=f"{most:,} {what}", expected="fewer", hint=f"remove {what} that nobody needs"),
    )


def _line(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()[:_MAX_NAME]
