"""E-mail over SMTP: one message to one recipient, with its chart inside."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, parseaddr
from typing import Final, Literal

from alerts.channel import CHART_CID, Message, Refused
from alerts.escaping import one_line
from domain.clock import Clock, SystemClock
from domain.errors import ConfigError, RetryLater

Security = Literal["starttls", "tls", "none"]
# A server that looks into mails for a while before it takes them is not slow yet.
TIMEOUT_SECONDS: Final = 30.0
MAX_ADDRESS: Final = 254
MAX_LINE: Final = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """The server that takes mails for us, and who they come from (`Soundings <alerts@acme.example>`)."""

    host: str
    sender: str
    port: int = 587
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        problems: list[str] = []
        if not self.sender.isprintable():
            problems.append("sender: found a line break or a control character, expected one line")
        else:
            try:
                check_mail_address(parseaddr(self.sender)[1], "sender")
            except ConfigError as exc:
                problems += exc.problems
        if self.user and self.security == "none":
            problems.append("security: found none beside a user, expected starttls or tls: the password is sent")
        if problems:
            raise ConfigError(problems)


def check_mail_address(address: str, what: str = "recipient") -> str:
    """Give an address of e-mail as it is used: one mailbox, no name, no list, nothing that could begin a header.

    Raises:
        ConfigError: it is none.
    """
    try:
        if len(address) > MAX_ADDRESS or not address.isprintable() or " " in address:
            raise ValueError
        found = Address(addr_spec=address)
        if not found.username or not (found.domain == "localhost" or "." in found.domain.strip(".")):
            raise ValueError
    except (ValueError, IndexError, MessageError):
        shown = one_line(address, 60)
        raise ConfigError(f"{what}: found {shown!r}, expected an address such as ann@acme.example") from None
    return address


class _OfMails(EmailPolicy):
    """What mails are written by: every header begins on the line of its name.

    A value that fits into one line, but not beside its name, is put on the next one by the library, and most who read
    it take the space there for a part of it.
    """

    def fold_binary(self, name: str, value: str) -> bytes:
        """Give a header as it is sent."""
        folded = super().fold_binary(name, value)
        beginning = f"{name}:".encode()
        first, _, rest = folded.partition(b"\r\n ")
        if first.strip() != beginning:
            return folded
        line = beginning + b" " + rest
        cut = line.rfind(b" ", len(beginning) + 2, MAX_LINE + 1)
        return line if cut < 0 else line[:cut] + b"\r\n" + line[cut:]


_POLICY: Final = _OfMails(linesep="\r\n", max_line_length=MAX_LINE)


class MailChannel:
    """Sends mails, each over a connection of its own: there are few, and servers close those that wait.

    The Message-ID is made of the key, so that it is the same for every try; most mailboxes show one mail then. What
    the server says of the recipient or the mail for good (5xx) is `Refused`; what it says of us, of the sender or the
    password, can be mended here, so it is tried again.
    """

    def __init__(self, settings: MailSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._sender = parseaddr(settings.sender)[1]

    def send(self, message: Message, key: str) -> None:
        mail = self._mail(message, key)
        recipient = message.recipient
        try:
            server = self._connect()
            try:
                server.send_message(mail, self._sender, [recipient])
            finally:
                # It is taken, or is not; a server that hangs up now changes nothing of it.
                with suppress(smtplib.SMTPException, OSError):
                    server.quit()
        except smtplib.SMTPRecipientsRefused as exc:
            code, words = exc.recipients.get(recipient, (450, b""))
            raise self._answered(code, words, "the recipient") from exc
        except smtplib.SMTPSenderRefused as exc:
            said = _said(exc.smtp_code, exc.smtp_error)
            raise RetryLater(f"{self._settings.host} refuses the sender: {said}", 0.0) from exc
        except smtplib.SMTPAuthenticationError as exc:
            raise RetryLater(f"{self._settings.host} refuses user or password ({exc.smtp_code})", 0.0) from exc
        except smtplib.SMTPDataError as exc:
            raise self._answered(exc.smtp_code, exc.smtp_error, "the message") from exc
        except smtplib.SMTPNotSupportedError as exc:
            if not recipient.isascii():
                raise Refused(f"{self._settings.host} takes no addresses beyond ASCII") from exc
            raise RetryLater(f"{self._settings.host}: {one_line(str(exc), 200)}", 0.0) from exc
        except (smtplib.SMTPException, OSError) as exc:
            why = one_line(f"{type(exc).__name__}: {exc}", 200)
            raise RetryLater(f"{self._settings.host} cannot be reached: {why}", 0.0) from exc

    def close(self) -> None:
        """Nothing is kept open."""

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=settings.timeout_seconds, context=context
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_seconds)
        try:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.user:
                server.login(settings.user, settings.password)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, message: Message, key: str) -> EmailMessage:
        try:
            check_mail_address(message.recipient)
        except ConfigError as exc:
            raise Refused(str(exc)) from exc
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self._settings.sender
        mail["To"] = message.recipient
        mail["Subject"] = one_line(message.subject, 200)
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = f"<{key}@{self._sender.rpartition('@')[2]}>"
        mail["Idempotency-Key"] = key
        # No out-of-office answers; a machine wrote it.
        mail["Auto-Submitted"] = "auto-generated"
        if message.unsubscribe:
            mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
        mail.set_content(message.text)
        mail.add_alternative(message.html, subtype="html")
        if message.chart is not None:
            page = mail.get_body(("html",))
            if isinstance(page, EmailMessage):
                page.add_related(
                    message.chart, "image", "png", cid=f"<{CHART_CID}>", filename="chart.png", disposition="inline"
                )
        return mail

    def _answered(self, code: int, words: bytes | str, what: str) -> RetryLater | Refused:
        said = f"{self._settings.host} refuses {what}: {_said(code, words)}"
        return Refused(said) if 500 <= code < 600 else RetryLater(said, 0.0)


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {one_line(text, 200)}"
