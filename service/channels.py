"""The channels of the configuration, built; nothing connects before a message is sent."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.channel import Channel
from alerts.delivery import Route
from domain.clock import Clock
from domain.errors import ConfigError
from service.alert_settings import ChannelSettings
from service.alert_tables import channel_secret

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
        try:
            _check(settings, public_url)
            built[settings.channel_id] = Route(_build(settings, clock))
        except ConfigError as exc:
            problems += [f"channel {settings.channel_id}: {problem}" for problem in exc.problems]
    if problems:
        raise ConfigError(problems)
    return built


def _check(settings: ChannelSettings, public_url: str) -> None:
    """See that a channel has what it needs from elsewhere.

    Raises:
        ConfigError: it has not.
    """
    name = _NEEDED.get(settings.type)
    if name and not getattr(settings, name):
        raise ConfigError(
            f"needs a secret: set {channel_secret(settings.channel_id, name)}, or name its file as {name}_file; see "
            "docs/alerts.md"
        )
    if settings.type == "email" and not public_url:
        raise ConfigError(
            "e-mail needs `web.public_url`, the address under which people open the dashboard: its links lead there"
        )


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
