"""The signed webhook: a POST of JSON that the other side can trust, and tell a repeat of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from alerts.channel import Message, Refused
from domain.clock import Clock, SystemClock
from domain.errors import ConfigError, RetryLater
from domain.signature import MIN_SECRET_CHARS, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from net.fetch import Answer, Fetcher, NotAllowed, TooLarge, is_web, retry_after, shown

KEY_HEADER: Final = "Idempotency-Key"
# A receiver puts it into a queue and answers; what takes longer is better asked again.
TIMEOUT_SECONDS: Final = 10.0
# Nothing is read of an answer but its status; a page of an error is no fault.
MAX_ANSWER_BYTES: Final = 256 * 1024
# "Come again": timed out, too early, too many; everything from 500 on.
_AGAIN: Final = (408, 425, 429)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Where messages are posted to, and the secret that both sides know."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    allow_private: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        problems = []
        if not is_web(self.url):
            problems.append("url: expected an address that begins with https:// or http://")
        if len(self.secret) < MIN_SECRET_CHARS:
            problems.append(f"secret: expected {MIN_SECRET_CHARS} characters or more, such as `openssl rand -hex 32`")
        if problems:
            raise ConfigError(problems)


class WebhookChannel:
    """Posts messages, signed as docs/sources/webhook.md tells it of what comes in: time and body, HMAC-SHA256.

    Each try is signed anew, since a signature holds for minutes only; the key stays. No redirect is followed: a signed
    message goes where the configuration says. Private addresses are refused unless allowed.
    """

    def __init__(self, settings: WebhookSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._fetcher = Fetcher(
            allow_private=settings.allow_private,
            timeout_seconds=settings.timeout_seconds,
            setting="allow_private of this channel",
        )

    def send(self, message: Message, key: str) -> None:
        body = json.dumps(message.payload, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            KEY_HEADER: key,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: sign(self._settings.secret, timestamp, body),
        }
        try:
            answer = self._fetcher.get(
                self._settings.url,
                method="POST",
                body=body,
                headers=headers,
                max_bytes=MAX_ANSWER_BYTES,
                redirects=0,
            )
        except RetryLater as exc:
            raise RetryLater(str(exc), 0.0) from exc
        except NotAllowed as exc:
            raise Refused(str(exc)) from exc
        except TooLarge as exc:
            raise RetryLater(f"{self._host}: answers more than {MAX_ANSWER_BYTES:,} bytes", 0.0) from exc
        self._judge(answer)

    def close(self) -> None:
        self._fetcher.close()

    @property
    def _host(self) -> str:
        return urlsplit(self._settings.url).hostname or ""

    def _judge(self, answer: Answer) -> None:
        if 200 <= answer.status < 300:
            return
        if answer.status in _AGAIN or answer.status >= 500:
            wait = retry_after(answer.headers, self._clock.now())
            raise RetryLater(f"{self._host} answers {answer.status}", wait or 0.0)
        if 300 <= answer.status < 400:
            target = answer.headers.get("location", "")
            raise Refused(f"{self._host} answers {answer.status} and names {shown(target)}; put the address there is")
        raise Refused(f"{self._host} answers {answer.status}")
