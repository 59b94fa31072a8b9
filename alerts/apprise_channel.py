"""Chats and pagers through apprise: one address of its form, one place that is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final, Literal

import apprise
from apprise.attachment.memory import AttachMemory

from alerts.channel import Line, Message
from alerts.escaping import calls_nobody, markdown
from domain.errors import ConfigError, RetryLater

Text = Literal["plain", "raw", "markdown"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a service makes of a text.

    "plain": it shows what it is given, or apprise escapes it. "raw": it renders Markdown, and apprise hands on what it
    is given, so we escape. "markdown": apprise translates CommonMark to what the service has, so links stay links.
    `title`: it renders Markdown in the title too.
    """

    text: Text = "plain"
    title: bool = False


_PLAIN, _RAW, _RAW_WITH_TITLE = Dialect(), Dialect("raw"), Dialect("raw", title=True)
_MARKDOWN, _MARKDOWN_WITH_TITLE = Dialect("markdown"), Dialect("markdown", title=True)

# What may stand before "://" of a channel's address. Left out on purpose: mail and plain HTTP (ours are better), and
# all that runs, writes or shows something on this machine.
SCHEMES: Final[dict[str, Dialect]] = {
    "discord": _RAW_WITH_TITLE,
    "gchat": _MARKDOWN_WITH_TITLE,
    "gotify": _PLAIN,
    "gotifys": _PLAIN,
    "matrix": _PLAIN,
    "matrixs": _PLAIN,
    "mmost": _RAW_WITH_TITLE,
    "mmosts": _RAW_WITH_TITLE,
    "ntfy": _PLAIN,
    "ntfys": _PLAIN,
    "pagerduty": _PLAIN,
    "pover": _PLAIN,
    "signal": _PLAIN,
    "signals": _PLAIN,
    "slack": _PLAIN,
    "tgram": _PLAIN,
    "webex": _MARKDOWN_WITH_TITLE,
    "workflows": _MARKDOWN,
    "zulip": _RAW,
}
# Below the least that one of them takes, so that nothing is cut inside an escape, save for pagers.
MAX_CHARS: Final = 1_800


_FORMATS: Final = {
    "plain": apprise.NotifyFormat.TEXT,
    "raw": apprise.NotifyFormat.TEXT,
    "markdown": apprise.NotifyFormat.MARKDOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseSettings:
    """An address as apprise's documentation of the service gives it; it holds the secret."""

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        scheme = self.url.partition("://")[0].lower()
        if scheme not in SCHEMES:
            shown = scheme[:20] if "://" in self.url and scheme.isalnum() else "no scheme"
            raise ConfigError(
                f"address: found {shown!r}, expected one of {', '.join(f'{name}://' for name in SCHEMES)}"
            )


class AppriseChannel:
    """Tells one service. It says yes or no and nothing else, so every no is tried again until its time is over.

    No header carries the key there: a message that was cut off after it was taken comes twice.
    """

    def __init__(self, settings: AppriseSettings) -> None:
        self._dialect = SCHEMES[settings.url.partition("://")[0].lower()]
        self._scheme = settings.url.partition("://")[0].lower()
        # Its own name, and pictures that the service would fetch from elsewhere, stay out of our messages.
        asset = apprise.AppriseAsset(
            app_id="Soundings", app_desc="Soundings", app_url="", image_url_mask="", image_url_logo="", async_mode=False
        )
        self._apprise = apprise.Apprise(asset=asset)
        # Its lines would repeat ours, for every try, and an address that it cannot read stands in them with its tokens.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        if not self._apprise.add(settings.url):
            raise ConfigError(
                f"address: apprise cannot read this {self._scheme}:// address; see its page of the service"
            )

    def send(self, message: Message, key: str) -> None:
        title = calls_nobody(message.subject)
        title = markdown(title) if self._dialect.title else title
        attached = None
        if message.chart is not None:
            attached = apprise.AppriseAttachment()
            picture = AttachMemory(message.chart, "chart.png", "image/png")  # type: ignore[no-untyped-call]  # in part
            attached.add(picture)
        try:
            taken = self._apprise.notify(
                title=title,
                body=chat_text(message.lines, self._dialect.text),
                body_format=_FORMATS[self._dialect.text],
                attach=attached,
            )
        except (TypeError, apprise.exception.AppriseException) as exc:
            raise RetryLater(f"{self._scheme}: {type(exc).__name__}", 0.0) from exc
        if not taken:
            raise RetryLater(f"{self._scheme}: the service did not take it", 0.0)

    def close(self) -> None:
        """Nothing is kept open."""


def chat_text(lines: tuple[Line, ...], text: Text) -> str:
    """Write lines for a chat: escaped, nobody called by name, whole lines only up to MAX_CHARS."""
    written: list[str] = []
    size = 0
    for line in lines:
        words = calls_nobody(line.text)
        words = words if text == "plain" else markdown(words)
        link = f"<{line.link}>" if line.link and text == "markdown" else line.link
        whole = f"{words} {link}".strip()
        # Of CommonMark, two spaces at the end keep the next line from being joined to this one.
        whole += "  " if text == "markdown" else ""
        size += len(whole) + 1
        if size > MAX_CHARS:
            break
        written.append(whole)
    return "\n".join(written)
