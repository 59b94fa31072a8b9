"""The channels of the configuration, built; nothing connects before a message is sent."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.channel import Channel
from alerts.delivery import Route
from domain.clock import Clock
from domain.errors import ConfigError
from net.fetch import is_private
from service.alert_settings import AlertSettings, ChannelSettings
from service.alert_tables import channel_secret
from service.settings_checks import show
from service.web_access import is_loopback

# What servers listen on, by how they are talked to.
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


# The secret that a type cannot do without.
_NEEDED = {"webhook": "secret", "apprise": "address"}


def routes(channels: Sequence[ChannelSettings], public_url: str, clock: Clock) -> dict[str, Route]:
    """Give the channels by id, each with how patient we are with it.

    Secrets are asked for here, so that only who sends messages needs them.

    Raises:
        ConfigError: what keeps channels from being used, one line each.
    """
    built: dict[str, Route] = {}
    problems: list[str] = []
    for settings in channels:
        missing = _missing(settings, public_url)
        found = list(missing.values())
        try:
            built[settings.channel_id] = Route(_build(settings, clock))
        except ConfigError as exc:
            # What is not there is not said to be too short as well.
            found += [problem for problem in exc.problems if problem.partition(":")[0] not in missing]
        problems += [f"channel {settings.channel_id}: {problem}" for problem in found]
    if problems:
        raise ConfigError(problems)
    return built


def channel_warnings(alerts: AlertSettings) -> list[str]:
    """Tell of what is refused only when it is sent (no name is looked up before), and of mail that anybody can read."""
    warnings = []
    private = "leads to this machine or a private network, so it is refused when something is sent"
    for each in alerts.channels:
        if each.type == "webhook" and not each.allow_private and is_private(each.url):
            warnings.append(f"channel {each.channel_id}: url: {private}; allow_private = true allows it")
        if each.type == "email" and each.security == "none" and not is_loopback(each.host):
            warnings.append(
                f"channel {each.channel_id}: security: is none, so whoever is on the way to {show(each.host)} can read "
                "the messages; starttls or tls keeps them private"
            )
    if not alerts.heartbeat_private and is_private(alerts.heartbeat_url.reveal()):
        warnings.append(f"alerts.heartbeat_url: {private}; alerts.heartbeat_private = true allows it")
    return warnings


def _missing(settings: ChannelSettings, public_url: str) -> dict[str, str]:
    """Say what a channel lacks from elsewhere, by the name of it."""
    found = {}
    name = "password" if settings.type == "email" and settings.user else _NEEDED.get(settings.type)
    if name and not getattr(settings, name):
        what = "the password of `user`" if name == "password" else "a secret"
        found[name] = (
            f"needs {what}: set {channel_secret(settings.channel_id, name)}, or name its file as {name}_file; see "
            "docs/alerts.md"
        )
    if settings.type == "email" and not public_url:
        found["public_url"] = (
            "e-mail needs `web.public_url`, the address under which people open the dashboard: its links lead there"
        )
    return found


def _build(settings: ChannelSettings, clock: Clock) -> Channel:
    if settings.type == "email":
        from alerts.mail_channel import MailChannel, MailSettings

        return MailChannel(
            MailSettings(
                host=settings.host,
                sender=settings.sender,
                port=settings.port or _SMTP_PORTS[settings.security],
                security=settings.security,
                user=settings.user,
                password=settings.password.reveal(),
            ),
            clock,
        )
    if settings.type == "webhook":
        from alerts.webhook_channel import WebhookChannel, WebhookSettings

        secret = settings.secret.reveal()
        return WebhookChannel(
            WebhookSettings(url=settings.url, secret=secret, allow_private=settings.allow_private), clock
        )
    from alerts.apprise_channel import AppriseChannel, AppriseSettings

    return AppriseChannel(AppriseSettings(url=settings.address.reveal()))
