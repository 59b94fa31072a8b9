"""Addresses of e-mail and whether they agreed: nobody gets an alert that he did not ask for himself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal

from alerts.ids import notification_id
from alerts.mail_channel import check_mail_address
from alerts.records import Notification, Telling
from domain.clock import from_ms, to_ms
from domain.documents import ABSENT, Change, Conflict, Documents

KIND: Final = "recipient"
# An address that does not answer is asked three times at most, a day apart: a form of ours must fill no mailbox.
MAX_ASKED: Final = 3
ASK_AGAIN: Final = timedelta(days=1)

Consent = Literal["asked", "confirmed", "left"]


def recipient_id(address: str) -> str:
    """Give the name of an address in links and documents, "" for none: a log of requests shows no address by it."""
    if not address:
        return ""
    return blake2b(address.strip().lower().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address and where it stands. `asked` is how often, `at` when that last changed."""

    address: str
    consent: Consent
    asked: int
    asked_at: datetime
    at: datetime
    revision: str = ABSENT


class Recipients:
    """Keeps who agreed. Addresses are compared without case: no mailbox of today tells them apart."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def find(self, address: str) -> Recipient | None:
        """Give what is known of an address."""
        return self.find_id(recipient_id(address))

    def find_id(self, name: str) -> Recipient | None:
        """Give what is known of an address by its `recipient_id`, as links hold it."""
        found = self._documents.get(KIND, [name]).get(name) if name else None
        return None if found is None else _read(found.body, found.revision)

    def agreed(self, address: str) -> bool:
        """Tell whether an address may be told of alerts."""
        found = self.find(address)
        return found is not None and found.consent == "confirmed"

    def ask(self, address: str, channel: str, now: datetime, *, anew: bool = False) -> Notification | None:
        """Note that an address is to be asked; gives the message that asks, to be put into the outbox.

        None where it agreed already, or was asked as often and as lately as we ask. Whoever left is asked only
        `anew`: where a person enters the address now. A configuration that still names it is no reason.

        Raises:
            ConfigError: it is no address.
        """
        check_mail_address(address)
        known = self.find(address)
        if known is not None:
            if known.consent == "confirmed" or (known.consent == "left" and not anew):
                return None
            # Whoever left and is entered again has said so himself a moment ago, and need not wait.
            if known.consent != "left" and now - known.asked_at < ASK_AGAIN:
                return None
            if known.consent == "asked" and known.asked >= MAX_ASKED:
                return None
        asked = 1 if known is None or known.consent == "left" else known.asked + 1
        if not self._put(Recipient(address, "asked", asked, now, now, known.revision if known else ABSENT)):
            return None
        return Notification(
            notification_id=notification_id(recipient_id(address), channel, Telling.CONFIRM.value, (), to_ms(now)),
            telling=Telling.CONFIRM,
            channel=channel,
            recipient=address,
            created_at=now,
        )

    def confirm(self, address: str, now: datetime) -> None:
        """The person pressed the button behind the link: from now on the address is told."""
        self._settle(address, "confirmed", now)

    def leave(self, address: str, now: datetime) -> None:
        """The person wants to hear no more: the address is told of nothing, whatever subscribes it."""
        self._settle(address, "left", now)

    def _settle(self, address: str, consent: Consent, now: datetime) -> None:
        for _ in range(5):
            known = self.find(address)
            asked, asked_at = (known.asked, known.asked_at) if known else (0, now)
            revision = known.revision if known else ABSENT
            if self._put(Recipient(address, consent, asked, asked_at, now, revision)):
                return
        raise Conflict(KIND, [recipient_id(address)])

    def _put(self, recipient: Recipient) -> bool:
        body = {
            "address": recipient.address,
            "consent": recipient.consent,
            "asked": recipient.asked,
            "asked_ms": to_ms(recipient.asked_at),
            "at_ms": to_ms(recipient.at),
        }
        try:
            self._documents.apply([Change(KIND, recipient_id(recipient.address), body, recipient.revision)])
        except Conflict:
            return False
        return True


def bar(recipients: Recipients, mail_channels: frozenset[str], notification: Notification) -> str:
    """Tell why a notification may not go out; "" where it may. `alerts.delivery.Bar` once its first two are given."""
    if notification.channel not in mail_channels or notification.telling is Telling.CONFIRM:
        return ""
    found = recipients.find(notification.recipient)
    if found is None or found.consent == "asked":
        return "the recipient has not confirmed the address"
    return "the recipient wants to hear no more" if found.consent == "left" else ""


def _read(body: Mapping[str, Any], revision: str) -> Recipient:
    return Recipient(
        address=body["address"],
        consent=body["consent"],
        asked=int(body["asked"]),
        asked_at=from_ms(body["asked_ms"]),
        at=from_ms(body["at_ms"]),
        revision=revision,
    )
