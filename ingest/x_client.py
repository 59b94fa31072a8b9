"""The only door to tweepy: X's endpoints as we use them, one try each, its errors as ours."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import tweepy

from domain.errors import ConfigError
from ingest.web import USER_AGENT, retry_after
from ingest.x_rules import XRule
from net.failure import UNEXPECTED, connection_failure

logger = logging.getLogger(__name__)

PAGE = "docs/sources/x.md"
TOKEN = "source.x.token"  # noqa: S105  # the name of a setting
# A post with all its fields is some KiB.
MAX_LINE_BYTES = 1024 * 1024
_TIMEOUT_SECONDS = 20.0
# X takes no more rules in one request.
_RULES_AT_ONCE = 100
# As tweepy: less than half a post, so that one is not held back until the next comes.
_CHUNK_BYTES = 512
# What X has sent and nobody took lies in the connection, and is paid for: some hundred posts, where a machine else
# gives a connection megabytes.
STREAM_BUFFER_BYTES = 64 * 1024
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_RCVBUF, STREAM_BUFFER_BYTES),
]
_FIELDS = (
    "attachments", "author_id", "conversation_id", "created_at", "edit_history_tweet_ids", "entities", "lang",
    "note_tweet", "possibly_sensitive", "public_metrics", "referenced_tweets",
)  # fmt: skip
_USER_FIELDS = ("name", "public_metrics", "username")


class FaultKind(Enum):
    """What kind of fault it was: X asks for another ladder of waits for each."""

    NETWORK = "network"
    HTTP = "http"
    LIMITED = "limited"


class XFault(Exception):
    """X cannot be reached, or asks for patience. `wait_seconds` is what it asks for itself, 0.0 when nothing."""

    def __init__(self, kind: FaultKind, message: str, wait_seconds: float = 0.0, status: int = 0) -> None:
        self.kind, self.wait_seconds, self.status = kind, wait_seconds, status
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class StreamLine:
    """One line of the stream; an empty one shows that it lives."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One page of recent search: posts with their authors as the stream gives them, newest first."""

    posts: Sequence[Mapping[str, Any]]
    next_token: str = ""


@dataclass(slots=True)
class XClient:
    """X's API v2 with one app's token. Not thread-safe, but for `hang_up`.

    Every method raises XFault when X cannot be reached or asks for patience, and ConfigError when it refuses us.
    """

    address: str
    token: str = field(repr=False)
    authors: bool = False
    silence_seconds: float = 20.0
    _stream: _Stream | None = None

    def rules(self) -> list[dict[str, Any]]:
        """Give the rules that the app has, as X writes them (`id`, `value`, `tag`)."""
        found = self._of_rules(lambda client: client.get_rules())
        return [rule for rule in _list(found) if isinstance(rule, dict) and isinstance(rule.get("id"), str)]

    def add_rules(self, rules: Sequence[XRule]) -> list[str]:
        """Add rules; gives a line for each that X does not take."""
        refused: list[str] = []
        for at in range(0, len(rules), _RULES_AT_ONCE):
            batch = [tweepy.StreamRule(value=rule.value, tag=rule.tag) for rule in rules[at : at + _RULES_AT_ONCE]]
            found = self._of_rules(partial(_Stream.add_rules, add=batch))
            errors = found.get("errors") if isinstance(found, dict) else None
            for error in errors if isinstance(errors, list) else []:
                title = error.get("title") if isinstance(error, dict) else None
                if title != "DuplicateRule":
                    value = error.get("value") if isinstance(error, dict) else ""
                    refused.append(f"X does not take the rule {ascii(str(value))[:80]} ({ascii(str(title))[:60]})")
        return refused

    def delete_rules(self, ids: Sequence[str]) -> None:
        """Take rules away by their ids."""
        for at in range(0, len(ids), _RULES_AT_ONCE):
            self._of_rules(partial(_Stream.delete_rules, ids=list(ids[at : at + _RULES_AT_ONCE])))

    def _of_rules(self, ask: Callable[[_Stream], Any]) -> Any:
        client = self._new_stream(StreamEvents())
        try:
            return ask(client)
        finally:
            client.session.close()

    def listen(self, events: StreamEvents) -> None:
        """Hold the stream; returns only when it was hung up, and raises in any other case."""
        self._stream = stream = self._new_stream(events)
        try:
            stream.filter(**self._fields())
        finally:
            stream.release()
        stream.check()

    def hang_up(self) -> None:
        """End the stream, from another thread."""
        if self._stream is not None:
            self._stream.hang_up()

    def search(
        self,
        query: str,
        *,
        since_id: str = "",
        until_id: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        next_token: str = "",
        most: int = 100,
    ) -> Page:
        """Give a page of recent search, newest first, at most `most` posts (10 to 100)."""
        asked: dict[str, Any] = {
            "since_id": since_id or None,
            "until_id": until_id or None,
            "start_time": _time(start),
            "end_time": _time(end),
            "next_token": next_token or None,
        }
        client = _Search(self.address, self.token)
        try:
            found = client.search_recent_tweets(
                query,
                max_results=max(10, min(100, most)),
                sort_order="recency",
                **{name: value for name, value in asked.items() if value is not None},
                **self._fields(),
            )
        finally:
            client.session.close()
        meta = found.get("meta") if isinstance(found, dict) else None
        token = meta.get("next_token") if isinstance(meta, dict) else None
        return Page(_with_authors(found), token if isinstance(token, str) else "")

    def create_job(self) -> dict[str, Any]:
        """Begin a job of batch compliance for posts."""
        return self._job(lambda client: client.create_compliance_job("tweets"))

    def job(self, job_id: str) -> dict[str, Any]:
        """Tell how a job of batch compliance stands."""
        return self._job(lambda client: client.get_compliance_job(job_id))

    def _job(self, ask: Callable[[_Search], Any]) -> dict[str, Any]:
        client = _Search(self.address, self.token)
        try:
            found = ask(client)
        finally:
            client.session.close()
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            raise XFault(FaultKind.HTTP, "X gave no compliance job")
        return data

    def _new_stream(self, events: StreamEvents) -> _Stream:
        return _Stream(self.address, self.token, events, self.silence_seconds)

    def _fields(self) -> dict[str, Any]:
        """Say what is wanted of each post. Authors cost extra, so they are asked for only where they are wanted."""
        fields: dict[str, Any] = {"tweet_fields": list(_FIELDS)}
        return fields | ({"expansions": ["author_id"], "user_fields": list(_USER_FIELDS)} if self.authors else {})


class StreamEvents:
    """What is told of a stream, in its own thread. Subclass it."""

    def opened(self) -> None:
        """X took us: what comes from now on is given."""

    def line(self, line: StreamLine) -> None:
        """Something came."""


class _Requests:
    """The one request of tweepy's clients, to our address, with a timeout, its headers in no log."""

    address: str
    bearer_token: str
    session: Any

    def request(
        self, method: str, route: str, params: Any = None, json: Any = None, user_auth: bool = False
    ) -> _Answer:
        headers = {"Authorization": f"Bearer {self.bearer_token}", "User-Agent": USER_AGENT}
        self.session.trust_env = False
        try:
            with self.session.request(
                method,
                self.address + route,
                params=params,
                json=json,
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            ) as response:
                status, answered, body = response.status_code, _names(response.headers), response.content
        except OSError as exc:
            host = urlsplit(self.address).hostname
            raise XFault(FaultKind.NETWORK, f"{host} cannot be reached: {connection_failure(exc)}") from exc
        if not 200 <= status < 300:
            raise refusal(self.address, status, answered)
        return _Answer(body)


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise XFault(FaultKind.HTTP, "X gave something else than JSON") from exc


class _Search(_Requests, tweepy.Client):  # type: ignore[misc]  # tweepy has no types
    def __init__(self, address: str, token: str) -> None:
        tweepy.Client.__init__(self, token, return_type=dict)
        self.address = address


class _Stream(_Requests, tweepy.StreamingClient):  # type: ignore[misc]  # tweepy has no types
    """One connection of tweepy's, which would connect again by itself and sleep between: it is stopped before."""

    def __init__(self, address: str, token: str, events: StreamEvents, silence_seconds: float) -> None:
        tweepy.StreamingClient.__init__(self, token, return_type=dict, chunk_size=_CHUNK_BYTES, max_retries=0)
        self.address, self._events, self._silence_seconds = address, events, silence_seconds
        self._fault: Exception | None = None
        self._was_open = self._hung_up = False
        self._response: Any = None

    def _connect(self, method: str, endpoint: str, **options: Any) -> None:
        self.session.headers["Authorization"] = f"Bearer {self.bearer_token}"
        self.session.headers["Accept-Encoding"] = "identity"
        self.session.trust_env = False
        for scheme in ("https://", "http://"):
            self.session.get_adapter(scheme).init_poolmanager(1, 1, socket_options=_SOCKET_OPTIONS)
        self.session.hooks["response"].append(self._answered)
        self.user_agent = USER_AGENT
        url = f"{self.address}/2/tweets/{endpoint}/stream"
        tweepy.streaming.BaseStream._connect(self, method, url, timeout=self._silence_seconds, **options)

    def _answered(self, response: Any, **_: Any) -> None:
        self._response = response
        read = response.iter_content
        response.iter_content = lambda *args, **kwargs: _bounded(read(*args, **kwargs))

    def on_connect(self) -> None:
        if self._was_open:
            # Tweepy connects again by itself where a stream ended without a word.
            self._end(XFault(FaultKind.NETWORK, "X ended the stream"))
            return
        self._was_open = True
        self._events.opened()

    def on_data(self, raw_data: bytes) -> None:
        self._events.line(StreamLine(raw_data))

    def on_keep_alive(self) -> None:
        self._events.line(StreamLine(b""))

    def on_closed(self, response: Any) -> None:
        self._end(XFault(FaultKind.NETWORK, "X ended the stream"))

    def on_connection_error(self) -> None:
        host = urlsplit(self.address).hostname
        what = "the stream was cut off, or silent for too long" if self._was_open else f"{host} cannot be reached"
        self._end(XFault(FaultKind.NETWORK, what))

    def on_request_error(self, status_code: int) -> None:
        self._end(refusal(self.address, status_code, _names(self._response.headers)))

    def on_exception(self, exception: Exception) -> None:
        known = isinstance(exception, XFault | ConfigError)
        if not known:
            logger.error("the stream of X failed on something that it did not expect", exc_info=exception)
        self._end(exception if known else XFault(FaultKind.NETWORK, f"the stream {UNEXPECTED}"))

    def on_disconnect(self) -> None:
        """Say nothing: whoever reads it tells."""

    def _end(self, fault: Exception) -> None:
        self._fault = self._fault or fault
        # Before tweepy sleeps.
        self.running = False

    def hang_up(self) -> None:
        self._hung_up, self.running = True, False
        try:
            if self._response is not None:
                self._response.raw.shutdown()
        except (AttributeError, OSError, RuntimeError, ValueError):
            # It is not open any more, or it ends with its next sign of life.
            return

    def release(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            self._response.close()
        self.session.close()

    def check(self) -> None:
        """Raise what ended it."""
        if not self._hung_up:
            raise self._fault or XFault(FaultKind.NETWORK, "X ended the stream")


def refusal(address: str, status: int, headers: Mapping[str, str]) -> XFault | ConfigError:
    """Give the error for an answer that is none."""
    host = urlsplit(address).hostname
    if status in (401, 402, 403):
        why = {402: "wants to be paid first"}.get(status, "refuses it")
        return ConfigError(f"{TOKEN}: {host} {why} ({status}); see {PAGE}")
    kind = FaultKind.LIMITED if status in (420, 429) else FaultKind.HTTP
    return XFault(kind, f"{host} answers {status}", _asked_wait(headers), status)


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Give the wait that an answer asks for, at most a quarter of an hour: X's windows are no longer."""
    now = datetime.now(UTC)
    wait = retry_after(headers, now) or 0.0
    reset = headers.get("x-rate-limit-reset", "")
    if reset.isascii() and reset.isdigit() and len(reset) < 12:
        wait = max(wait, int(reset) - now.timestamp())
    return min(max(wait, 0.0), 900.0)


def _bounded(chunks: Any) -> Any:
    """Give chunks until a line is longer than any that X sends."""
    size = 0
    for chunk in chunks:
        cut = chunk.rfind(b"\n")
        size = size + len(chunk) if cut < 0 else len(chunk) - cut
        if size > MAX_LINE_BYTES:
            raise XFault(FaultKind.HTTP, f"X sent a line of more than {MAX_LINE_BYTES:,} bytes")
        yield chunk


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _list(found: Any) -> list[Any]:
    data = found.get("data") if isinstance(found, dict) else None
    return data if isinstance(data, list) else []


def _with_authors(found: Any) -> list[dict[str, Any]]:
    """Give each post of a page with its own author beside it, as the stream does."""
    includes = found.get("includes") if isinstance(found, dict) else None
    users = includes.get("users") if isinstance(includes, dict) else None
    by_id = {user.get("id"): user for user in users if isinstance(user, dict)} if isinstance(users, list) else {}
    posts = []
    for post in _list(found):
        author = by_id.get(post.get("author_id")) if isinstance(post, dict) else None
        posts.append({"data": post} if author is None else {"data": post, "includes": {"users": [author]}})
    return posts


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
