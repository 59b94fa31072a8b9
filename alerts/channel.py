"""Ways to tell somebody: what a channel must do, and by which errors it says that it could not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from domain.errors import ServiceError

# By what the HTML of a mail names its chart.
CHART_CID: Final = "chart@soundings"


class Refused(ServiceError):
    """This message will never be taken; the same again is of no use. The text says who refuses it and why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a message for a chat: words that the channel escapes, and an address of ours behind them."""

    text: str
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told, in every shape that a channel may need. Made when it is sent, and kept nowhere.

    `subject` is one line. `text` and `html` are whole mails; in the HTML everything that people wrote is escaped, and
    the chart is `cid:` and CHART_CID. `lines` are for chats. `payload` is the body of a webhook. `chart` is a PNG.
    `unsubscribe` is the address of the page by which the recipient ends this.
    """

    subject: str
    text: str
    html: str
    lines: tuple[Line, ...]
    payload: Mapping[str, Any]
    recipient: str = ""
    chart: bytes | None = field(default=None, repr=False)
    unsubscribe: str = field(default="", repr=False)


class Channel(Protocol):
    """One way to tell somebody. Used by one thread at a time."""

    def send(self, message: Message, key: str) -> None:
        """Hand a message over; returns when the other side has taken it.

        Args:
            message: what is told.
            key: the same for every try of the same notification. The channel hands it on, so that the other side can
                tell a repeat: a message may come twice where a try was cut off after it was taken.

        Raises:
            RetryLater: it was not taken, or nobody knows; `after_seconds` is what the other side asks for, else 0.
            Refused: it never will be.
        """

    def close(self) -> None:
        """Let go of connections."""
