"""What signed links are for: looked at without changing anything, and done when somebody presses the button."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts.book import AlertBook
from alerts.links import BadLink, Links, Opened, Purpose
from alerts.recipients import Recipients
from alerts.records import Alert
from domain.errors import ConfigError

# Whoever follows a link that was posted to a chat.
SOMEBODY: Final = "somebody with the link"


@dataclass(frozen=True, slots=True)
class Errand:
    """What a signed link is for: `alert` where it is about one, and the address that it was sent to, `who`.

    `done`: it was done already; once more changes nothing. A link to mark an alert asks for a word.
    """

    purpose: Purpose
    who: str
    alert: Alert | None = None
    done: bool = False


class Errands:
    """Follows signed links. Thread-safe, as what it is made of."""

    def __init__(self, links: Links, book: AlertBook, recipients: Recipients) -> None:
        self._links, self._book, self._recipients = links, book, recipients

    def look(self, token: str, now: datetime) -> Errand:
        """Tell what a link is for; nothing is changed.

        Raises:
            BadLink: it cannot be followed.
            RetryLater, BackendDown: as the documents.
        """
        return self._errand(self._links.open(token, now))

    def run(self, token: str, word: str, now: datetime) -> Errand:
        """Do what a link is for, and give it as it is then. `word` is the mark that is given, else "".

        Raises:
            BadLink: it cannot be followed.
            ConfigError: the mark is another word.
            Conflict, RetryLater, BackendDown: as the documents.
        """
        opened = self._links.open(token, now)
        errand = self._errand(opened)
        if opened.purpose == "acknowledge":
            self._book.acknowledge(opened.subject, errand.who, now)
        elif opened.purpose == "mark":
            self._book.mark(opened.subject, word, errand.who, now)
        elif opened.purpose == "confirm":
            self._recipients.confirm(errand.who, now)
        else:
            self._recipients.leave(errand.who, now)
        return self._errand(opened)

    def _errand(self, opened: Opened) -> Errand:
        if opened.purpose in ("acknowledge", "mark"):
            alert = self._alert(opened.subject)
            done = bool(alert.mark) if opened.purpose == "mark" else alert.acknowledged_at is not None
            return Errand(opened.purpose, self._address(opened.who) or SOMEBODY, alert, done)
        known = self._recipients.find_id(opened.subject)
        if known is None:
            raise BadLink("nothing is known of the address that this link was sent to; nothing is sent there")
        wanted = "confirmed" if opened.purpose == "confirm" else "left"
        return Errand(opened.purpose, known.address, None, known.consent == wanted)

    def _alert(self, alert_id: str) -> Alert:
        try:
            return self._book.alert(alert_id)
        except ConfigError as exc:
            raise BadLink("the alert of this link is no longer kept") from exc

    def _address(self, name: str) -> str:
        known = self._recipients.find_id(name)
        return known.address if known is not None else ""
