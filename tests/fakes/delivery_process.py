"""A process of its own that delivers; started by tests that kill it.

Its arguments are the file of documents, the address of a webhook, and `die` or `go`: with `die` it says `sent` once the
first message was taken and waits, before that is noted, to be killed.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alerts.channel import Channel, Message
from alerts.delivery import Delivery, Patience, Route
from alerts.outbox import Outbox
from alerts.records import Notification
from alerts.webhook_channel import WebhookChannel, WebhookSettings
from search.sqlite_documents import SqliteDocuments

SECRET = "s" * 40


def compose(notification: Notification, now: datetime) -> Message:
    """Give a message that says whose it is."""
    return Message(
        subject="x", text="x", html="x", lines=(), payload={"id": notification.notification_id}, recipient=""
    )


class DiesAfterwards:
    """Sends, says so, and waits to be killed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, message: Message, key: str) -> None:
        self._channel.send(message, key)
        os.write(1, b"sent\n")
        time.sleep(600)

    def close(self) -> None:
        self._channel.close()


def main(path: str, url: str, how: str) -> None:
    """Deliver what is due, once."""
    documents = SqliteDocuments.open(Path(path))
    channel: Channel = WebhookChannel(WebhookSettings(url=url, secret=SECRET, allow_private=True))
    route = Route(DiesAfterwards(channel) if how == "die" else channel, Patience(claim_seconds=0.0))
    delivery = Delivery(Outbox(documents), {"hook": route}, compose)
    sent = delivery.send_due("hook")
    os.write(1, f"{sent}\n".encode())
    delivery.close()
    documents.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
