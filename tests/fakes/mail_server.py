"""A real SMTP server on loopback that keeps what it takes, and fails by script."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

# "taken, then reset": the mail is kept and the connection is cut before that is said.
Fault = Literal["busy", "no such mailbox", "no such sender", "spam", "taken, then reset", "cut", "hang"]


class MailServer:
    """What it took, in order, and what goes wrong next: one fault for each mail that is tried."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.faults: deque[Fault] = deque()
        self.port = 0

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._is_next("no such sender"):
            return "553 5.7.1 not you"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._is_next("busy"):
            return "451 4.7.1 greylisted, come again"
        if self._is_next("no such mailbox"):
            return "550 5.1.1 no such mailbox"
        if self._is_next("hang"):
            await asyncio.sleep(3600)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._is_next("spam"):
            return "554 5.7.1 this looks like spam"
        if self._is_next("cut"):
            return self._cut(server)
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        if self._is_next("taken, then reset"):
            return self._cut(server)
        return "250 OK"

    @staticmethod
    def _cut(server: SMTP) -> str:
        transport: Any = server.transport
        transport.abort()
        return "421 gone"

    def _is_next(self, fault: Fault) -> bool:
        if self.faults and self.faults[0] == fault:
            self.faults.popleft()
            return True
        return False


@contextmanager
def serve_mail(certificate: Path | None = None, password: str = "") -> Iterator[MailServer]:
    """Serve until the block ends, on a free port of loopback.

    With a certificate (and its key, in one file) nothing but STARTTLS is taken, and a password for `soundings`.
    """
    made = MailServer()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    tasks: list[asyncio.Server] = []

    secured: dict[str, Any] = {}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        secured = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": lambda server, session, envelope, mechanism, given: AuthResult(
                success=(given.login, given.password) == (b"soundings", password.encode()), handled=False
            ),
        }

    def run() -> None:
        asyncio.set_event_loop(loop)
        listening = loop.run_until_complete(
            loop.create_server(lambda: SMTP(made, enable_SMTPUTF8=False, loop=loop, **secured), "127.0.0.1", 0)
        )
        tasks.append(listening)
        made.port = listening.sockets[0].getsockname()[1]
        started.set()
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(tasks[0].close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
