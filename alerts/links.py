"""Addresses in messages: of pages of ours, and signed ones that say who may do what until when.

A signed link opens a page with a button and does nothing by itself: mail servers and chats open every link they see.
"""

from __future__ import annotations

import binascii
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from domain.clock import from_ms, to_ms
from domain.documents import ABSENT, Change, Conflict, Documents
from domain.errors import ConfigError, ServiceError

Purpose = Literal["acknowledge", "mark", "confirm", "unsubscribe"]
# An alert is over long before; a mail that asks is read within days; who wants to hear no more may come late.
LIFETIMES: Final[Mapping[Purpose, timedelta]] = {
    "acknowledge": timedelta(days=7),
    "mark": timedelta(days=30),
    "confirm": timedelta(days=3),
    "unsubscribe": timedelta(days=365),
}
# Where the page of signed links is, below the public address; the rest of the path is the token.
PAGE: Final = "/told/"
KIND: Final = "key"
_MAX_TOKEN: Final = 2_000


class BadLink(ServiceError):
    """A signed link that is not ours, was changed, or is too old. The text is for the person who opened it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a signed link says: what it is for, of what, and whom it was sent to.

    `subject` is the id of an alert, or a `recipient_id`; `who` is the `recipient_id` of the reader, "" for a chat.
    """

    purpose: Purpose
    subject: str
    who: str = ""


def shared_key(documents: Documents) -> bytes:
    """Give the key that links are signed with: made once, the same for all processes and after restarts.

    It lies where the alerts lie. Who can read them needs no link, and whoever deletes it ends all links.
    """
    found = documents.get(KIND, ["links"]).get("links")
    if found is None:
        # Another process may make one at the same moment; then that one holds.
        with suppress(Conflict):
            documents.apply([Change(KIND, "links", {"hex": secrets.token_hex(32)}, ABSENT)])
        found = documents.get(KIND, ["links"])["links"]
    return bytes.fromhex(found.body["hex"])


def check_public_url(public_url: str) -> str:
    """Give the address under which people open our pages, without a slash at its end.

    Raises:
        ConfigError: there is none, or it is no address: nothing can be linked to, so no mail is sent.
    """
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(
            f"web.public_url: found {public_url!r}, expected the address under which people open the dashboard, such "
            "as https://soundings.acme.example; mails need it for their links"
        )
    return public_url.rstrip("/")


class Links:
    """Makes addresses of our pages. `public_url` "" makes none: every method gives "" then."""

    def __init__(self, public_url: str, key: bytes) -> None:
        self._root = check_public_url(public_url) if public_url else ""
        self._key = key

    def alert(self, alert_id: str) -> str:
        """Give the page of an alert."""
        return f"{self._root}/alerts/{quote(alert_id, safe='')}" if self._root else ""

    def page(self, path: str) -> str:
        """Give a page by its path, which begins with a slash."""
        return f"{self._root}{path}" if self._root else ""

    def mentions(
        self, brand_id: str, start: datetime, end: datetime, *, query: str = "", sentiments: Sequence[str] = ()
    ) -> str:
        """Give the page of a brand's mentions of a span, as the dashboard's addresses have it."""
        if not self._root:
            return ""
        pairs = [("q", query), ("brand", brand_id), *(("sentiment", each) for each in sentiments)]
        pairs += [("from", _moment(start)), ("to", _moment(end))]
        return f"{self._root}/?{urlencode([(name, value) for name, value in pairs if value])}"

    def signed(self, purpose: Purpose, subject: str, now: datetime, who: str = "") -> str:
        """Give the address of a page on which whoever has it may do something, as long as the purpose allows."""
        if not self._root:
            return ""
        until = to_ms(now + LIFETIMES[purpose])
        claims = json.dumps([purpose, subject, who, until], separators=(",", ":"), ensure_ascii=True).encode()
        return f"{self._root}{PAGE}{_text(claims)}.{_text(self._seal(claims))}"

    def open(self, token: str, now: datetime) -> Opened:
        """Read the token of a signed link: what stands behind PAGE.

        Raises:
            BadLink: it is not ours, or its time is over.
        """
        left, _, right = token.partition(".")
        try:
            if len(token) > _MAX_TOKEN:
                raise ValueError
            claims, seal = _bytes(left), _bytes(right)
        except (ValueError, binascii.Error):
            raise BadLink("this link is not whole; copy all of it from the message") from None
        if not hmac.compare_digest(seal, self._seal(claims)):
            raise BadLink("this link is not one of ours, or was changed on its way")
        purpose, subject, who, until = json.loads(claims)
        if now >= from_ms(until):
            raise BadLink(f"this link was good until {from_ms(until):%d %B %Y}; open the page instead")
        return Opened(purpose, subject, who)

    def _seal(self, claims: bytes) -> bytes:
        return hmac.digest(self._key, b"soundings link\0" + claims, "sha256")


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    raw = text.encode("ascii")
    return urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
