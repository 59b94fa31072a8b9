"""The channels of the configuration, built; nothing connects before a message is sent."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.channel import Channel
from alerts.delivery import Route
from domain.clock import Clock
from domain.errors import ConfigError
from service.alert_settings import ChannelSettings

# What servers listen on, by how they are talked to.
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def routes(channels: Sequence[ChannelSettings], clock: Clock) -> dict[str, Route]:
    """Give the channels by id, each with how patient we are with it.

    Raises:
        ConfigError: what keeps channels from being used, one line each.
    """
    built: dict[str, Route] = {}
    problems: list[str] = []
    for settings in channels:
        try:
            built[settings.channel_id] = Route(_build(settings, clock))
        except ConfigError as exc:
            problems += [f"channel {settings.channel_id}: {problem}" for problem in exc.problems]
    if problems:
        raise ConfigError(problems)
    return built


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
