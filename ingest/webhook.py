"""The webhook source: signed posts that others send, answered once they are durable."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from typing import Any

from domain.clock import Clock, to_ms
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from domain.records import Outcome
from domain.signature import (
    MIN_SECRET_CHARS,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    WINDOW_SECONDS,
    BadSignature,
    check_signature,
    check_timestamp,
)
from ingest.intake import Intake, Settled
from ingest.json_rows import json_type, parse_object, parse_value
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.rate import TokenBucket
from ingest.source import RAW_FIELDS, AuthorRemoved, Extent, Item, RawPost, Removed, Vitals
from ingest.webhook_server import Refused, Reply, Server, ServerSettings

logger = logging.getLogger(__name__)

PAGE = "docs/sources/webhook.md"
PATH = "/api/posts"
MAX_BODY_BYTES = 1024 * 1024
MAX_POSTS = 512
# Posts that wait to be read: some requests of the largest size. More are told to come again.
MAX_WAITING = 8 * MAX_POSTS
# Signatures of what was accepted, for as long as they are valid: more than the usual rate can make.
MAX_REMEMBERED = 20_000
_WAIT_SECONDS = 0.2
_PORT_SECONDS = 5.0
_COME_AGAIN_SECONDS = 5
_SHOWN_CHARS = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Where it listens and what it takes.

    `secrets`: a request is signed with one of them. `answer_seconds`: how long a request waits to be durable.
    `read_seconds`: how long one may take to arrive.
    """

    secrets: tuple[str, ...] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8010
    requests_per_minute: float = 600.0
    answer_seconds: float = 10.0
    read_seconds: float = 10.0
    max_connections: int = 32
    normalise: NormaliserSettings = field(default_factory=NormaliserSettings)


class WebhookSource:
    """`ingest.source.LiveSource` of what is sent to us. A cursor is a time: there is nothing to go back to.

    Raises:
        ConfigError: there is no secret, or one that can be guessed.
    """

    name = "webhook"
    key = "webhook"

    def __init__(self, settings: WebhookSettings, clock: Clock) -> None:
        secrets = [secret for secret in settings.secrets if secret]
        if not secrets:
            raise ConfigError(f"source.webhook.secret: is empty, expected what requests are signed with; see {PAGE}")
        if any(len(secret) < MIN_SECRET_CHARS for secret in secrets):
            raise ConfigError(
                f"source.webhook.secret: a secret is too short, expected {MIN_SECRET_CHARS} characters or more; "
                f"see {PAGE}"
            )
        self._settings, self._clock = replace(settings, secrets=tuple(secrets)), clock

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return cursor.isascii() and cursor.isdigit()

    def open(self, cursor: str | None) -> WebhookReader:
        return WebhookReader(self._settings, Normaliser(self.name, self.normalise), self._clock)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            value = parse_object(payload)
        except BadRecord as exc:
            raise ConfigError(f"found no post in the dead letter from {position}: {exc.detail}") from exc
        item = read_item(value, Normaliser(self.name, self.normalise), self._clock.now())
        return replace(item, position=position)


class WebhookReader:
    """As the protocol, `ingest.source.Acknowledged`, and the desk of its own server."""

    def __init__(self, settings: WebhookSettings, normaliser: Normaliser, clock: Clock) -> None:
        self._settings, self._normaliser, self._clock = settings, normaliser, clock
        self._intake = Intake(MAX_WAITING)
        per_second = settings.requests_per_minute / 60.0
        self._bucket = TokenBucket(per_second, max(1.0, settings.requests_per_minute / 10.0), clock)
        self._replays = _Replays(clock)
        self._server: Server | None = None
        self._lock = threading.Lock()
        self._event_at: datetime | None = None
        self._refusals: Counter[str] = Counter()

    def read(self, max_items: int) -> Sequence[Item]:
        if self._server is None:
            self._server = self._listen()
        return self._intake.take(max_items, _WAIT_SECONDS)

    def settled(
        self, outcomes: Sequence[Outcome], errors: Sequence[BadRecord], retracted: Collection[int] = ()
    ) -> None:
        self._intake.settled(outcomes, errors, retracted)

    def extent(self) -> Extent | None:
        return None

    def vitals(self) -> Vitals:
        with self._lock:
            refused = ", ".join(f"{number:,} {code}" for code, number in self._refusals.most_common(5))
            return Vitals(
                connected=self._server is not None,
                event_at=self._event_at,
                errors=self._refusals.total(),
                note=f"requests not taken: {refused}" if refused else "",
            )

    def close(self) -> None:
        self._intake.close()
        if self._server is not None:
            server, self._server = self._server, None
            server.close()

    def _listen(self) -> Server:
        settings = self._settings
        place = f"{settings.host}:{settings.port}"
        try:
            server = Server(
                ServerSettings(
                    host=settings.host,
                    port=settings.port,
                    path=PATH,
                    max_body_bytes=MAX_BODY_BYTES,
                    read_seconds=settings.read_seconds,
                    max_connections=settings.max_connections,
                ),
                self,
            )
        except (OSError, UnicodeError) as exc:
            if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
                # Perhaps our own predecessor, which is about to go.
                raise RetryLater(
                    f"{place}: another program listens there; see source.webhook.port", _PORT_SECONDS
                ) from exc
            why = exc.strerror if isinstance(exc, OSError) else "is no address"
            raise ConfigError(f"source.webhook.host: {place}: cannot listen there: {why}; see {PAGE}") from exc
        logger.info("source webhook listens on %s:%d", settings.host, server.port)
        if settings.host not in _LOOPBACK:
            logger.warning("source webhook: what is sent to %s is signed, not encrypted; see %s", place, PAGE)
        return server

    # --- the desk

    def look(self, headers: Mapping[str, str]) -> None:
        try:
            check_timestamp(*_signed(headers), self._clock.now())
        except BadSignature as exc:
            raise Refused(401, "bad_signature", str(exc)) from exc

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        timestamp, signature = _signed(headers)
        try:
            # Once more: the body may have taken its time.
            at = check_timestamp(timestamp, signature, self._clock.now())
            check_signature(self._settings.secrets, at, signature, body)
        except BadSignature as exc:
            raise Refused(401, "bad_signature", str(exc)) from exc
        if self._replays.knows(signature):
            raise Refused(409, "replayed", "this very request was accepted before; sign each try anew")
        if wait := self._bucket.take():
            allowed = f"expected at most {self._settings.requests_per_minute:g} requests a minute"
            raise Refused(429, "too_many", f"{allowed}; put more posts into one", retry_after=ceil(wait))
        values = _values(body)
        now = self._clock.now()
        items = [read_item(value, self._normaliser, now) for value in values]
        delivery = self._intake.offer(items)
        if delivery is None:
            raise Refused(503, "behind", "too many posts wait; send it again later", retry_after=_COME_AGAIN_SECONDS)
        if not self._intake.wait(delivery, self._settings.answer_seconds):
            message = "it is not known to be stored, some of it may be; send all of it again, what is known is dropped"
            raise Refused(503, "not_stored", message, retry_after=_COME_AGAIN_SECONDS)
        self._replays.remember(signature, at)
        with self._lock:
            self._event_at = now
        return _reply(values, delivery.results)

    def refused(self, code: str) -> None:
        with self._lock:
            self._refusals[code] += 1


class _Replays:
    """Signatures of accepted requests while they are valid; the oldest go first when they are too many. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._until: OrderedDict[bytes, int] = OrderedDict()

    def knows(self, signature: str) -> bool:
        with self._lock:
            return _digest(signature) in self._until

    def remember(self, signature: str, at: int) -> None:
        now = int(self._clock.now().timestamp())
        with self._lock:
            self._until[_digest(signature)] = at + WINDOW_SECONDS
            while self._until and (len(self._until) > MAX_REMEMBERED or next(iter(self._until.values())) < now):
                self._until.popitem(last=False)


def _digest(signature: str) -> bytes:
    return hashlib.blake2b(signature.encode(), digest_size=16).digest()


def _signed(headers: Mapping[str, str]) -> tuple[str, str]:
    return headers.get(TIMESTAMP_HEADER.lower(), "").strip(), headers.get(SIGNATURE_HEADER.lower(), "").strip()


def _values(body: bytes) -> list[Any]:
    """Give what a body holds: one value, or those of a list."""
    try:
        value = parse_value(body, "body")
    except BadRecord as exc:
        raise Refused(400, exc.reason.value, exc.detail) from exc
    values = value if isinstance(value, list) else [value]
    if not values or not isinstance(value, (list, dict)):
        found = "an empty list" if value == [] else json_type(value)
        raise Refused(400, "no_posts", f"found {found}, expected a post or a list of posts")
    if len(values) > MAX_POSTS:
        raise Refused(413, "too_many_posts", f"found {len(values):,} posts, expected at most {MAX_POSTS}")
    return values


def read_item(value: object, normaliser: Normaliser, now: datetime) -> Item:
    """Make an item of what somebody sent as a post or a removal."""
    name = _shown(value.get("id")) if isinstance(value, dict) else None
    return Item(
        position=f"webhook:{'-' if name is None else ascii(name)[1:-1][:60]}",
        cursor=str(to_ms(now)),
        raw=json.dumps(value).encode(),
        content=_content(value, normaliser, now),
    )


def _content(value: object, normaliser: Normaliser, now: datetime) -> RawPost | Removed | AuthorRemoved | BadRecord:
    if not isinstance(value, dict):
        return BadRecord(BadReason.NOT_AN_OBJECT, f"found {json_type(value)}, expected a post")
    fields = {name: value[name] for name in RAW_FIELDS if name in value}
    deleted = value.get("deleted", False)
    if deleted is False or deleted is None:
        attrs = {name: entry for name, entry in value.items() if name not in fields and name != "deleted"}
        return RawPost(fields=fields, attrs=attrs)
    if deleted is not True:
        return BadRecord(BadReason.WRONG_TYPE, f"deleted: found {json_type(deleted)}, expected true or false")
    try:
        if "id" in value or "author_id" not in value:
            source, native_id = normaliser.identify(RawPost(fields=fields))
            return Removed(native_id=native_id, removed_at=now, source=source, addressed=True)
        # An id as any other, of an author.
        source, author_id = normaliser.identify(RawPost(fields={**fields, "id": value["author_id"]}))
        return AuthorRemoved(author_id=author_id, removed_at=now, source=source, addressed=True)
    except BadRecord as exc:
        return exc


def _reply(values: Sequence[Any], results: Sequence[Settled]) -> Reply:
    entries: list[dict[str, Any]] = []
    for value, result in zip(values, results, strict=True):
        entry: dict[str, Any] = {"outcome": _told(result)}
        if isinstance(value, dict) and (name := _shown(value.get("id"))) is not None:
            entry["id"] = name
        if result.error is not None:
            entry |= {"reason": result.error.reason.value, "detail": result.error.detail[:_SHOWN_CHARS]}
        entries.append(entry)
    outcomes = Counter(map(_told, results))
    return Reply(202, {"outcomes": dict(sorted(outcomes.items())), "posts": entries})


def _told(result: Settled) -> str:
    """Name an outcome to whoever sent it: in the books what is kept out is a duplicate or filtered."""
    return "retracted" if result.retracted else result.outcome.value


def _shown(value: object) -> str | None:
    """Give an id as it may be shown; None for what is none."""
    return str(value)[:_SHOWN_CHARS] if isinstance(value, str | int) and not isinstance(value, bool) else None
