"""The one place that talks to Elasticsearch: requests over the official client's transport, errors as ours."""

from __future__ import annotations

import logging
import random
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import elastic_transport

from domain.clock import Clock, SystemClock
from domain.errors import AccessRefused, BackendDown, ConfigError, RetryLater
from domain.safe_text import safe
from search.elastic_settings import ElasticSettings, problems_of
from stream.codec import from_json, to_json

# The type of error while writes to an index are refused: a migration, or a disk that is full.
BLOCKED: Final = "cluster_block_exception"
# What is said of a month that cannot be written to, with its name before.
SEVERAL_INDICES: Final = (
    "is the name of several indices, of which none takes writes: a migration was cut off. `soundings migrate` mends it"
)
# Statuses by which a server, or a proxy before it, asks for patience.
IMPATIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
# Waits are drawn evenly between zero and these, doubling (full jitter): many workers do not come back at once.
FIRST_WAIT_SECONDS: Final = 0.2
MOST_WAIT_SECONDS: Final = 5.0
# What a caller is told to wait once our own patience is over.
LATER_SECONDS: Final = 5.0
# A person waits for a search: one more try, for a node that was just lost.
_READING_SECONDS: Final = 1.0
# After so long somebody who waits is told what for; once for each thing that is waited for.
TELL_AFTER_SECONDS: Final = 2.0
# Of a reason: enough to name an index and what stands in the way.
_MOST_REASON: Final = 300
# Where a reason of Elasticsearch goes on with the request, which may hold what people wrote.
_QUOTED: Final = re.compile(r"(?:source\[|request:? ?\[|containing \[|Preview of field).*", re.DOTALL)
_ACCESS_PAGE: Final = "docs/deploying.md"
_NDJSON: Final = "application/x-ndjson"
_JSON: Final = "application/json"
_NODES: Final = "elastic_transport.node_pool"

log = logging.getLogger(__name__)


class NoAnswer(RetryLater):
    """No whole answer came: nobody knows whether the request was carried out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: the status, and the body read as JSON (None where there is none)."""

    status: int
    body: Any

    @property
    def error_type(self) -> str:
        """The server's name of an error, "" where it gave none."""
        return str(self._error.get("type", ""))

    @property
    def said(self) -> str:
        """The server's type of error and its reason, cut and safe to show; never what a request held."""
        return said_of(self._error)

    @property
    def _error(self) -> Mapping[str, Any]:
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error if isinstance(error, dict) else {}


def said_of(error: Mapping[str, Any]) -> str:
    """Give an error of Elasticsearch as `type: reason`, cut and safe to show; never what a request held."""
    roots = error.get("root_cause")
    # "all shards failed" says nothing; the first of them does.
    if error.get("type") == "search_phase_execution_exception" and isinstance(roots, list) and roots:
        error = roots[0]
    kind, reason = str(error.get("type", "")), _QUOTED.sub("...", str(error.get("reason") or ""))
    reason = f"{reason[:_MOST_REASON]}..." if len(reason) > _MOST_REASON else reason
    return safe(f"{kind}: {reason}" if kind and reason else kind or reason or "nothing more")


class _Bytes(elastic_transport.Serializer):
    """Leaves bodies as they are: JSON is read and written in one place."""

    mimetype = _JSON

    def loads(self, data: bytes) -> Any:
        return data

    def dumps(self, data: Any) -> bytes:
        return bytes(data)


class _Lines(_Bytes):
    mimetype = _NDJSON


class Elastic:
    """Requests to one Elasticsearch. Thread-safe."""

    def __init__(self, settings: ElasticSettings, clock: Clock | None = None) -> None:
        """Connect at the first request, not before.

        Raises:
            ConfigError: the settings cannot be used.
        """
        if problems := problems_of(settings):
            raise ConfigError(problems)
        self._settings, self._clock = settings, clock or SystemClock()
        # It warns of every node at every failure; what is waited for is told here, once.
        logging.getLogger(_NODES).setLevel(logging.ERROR)
        self._draw = random.Random()  # noqa: S311  # when to come back is no secret
        self._where = ", ".join(settings.hosts)
        self._headers = {"accept": _JSON, **_authorization(settings)}
        self._transport = elastic_transport.Transport(
            [_node(host, settings) for host in settings.hosts],
            serializers={_JSON: _Bytes(), _NDJSON: _Lines()},
            # Ours to decide: what may be repeated, and after what wait.
            max_retries=0,
            retry_on_status=(),
            # A node that comes back is used within a second, not after the client's minutes.
            dead_node_backoff_factor=1.0,
            max_dead_node_backoff=1.0,
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def once(self, method: str, path: str, body: bytes | None, *, lines: bool = False) -> Answer:
        """Send one request once, and give whatever status comes back.

        Args:
            method: of HTTP.
            path: with its parameters.
            body: JSON, or lines of it.
            lines: the body is lines.

        Raises:
            NoAnswer: no connection, a timeout, or an answer that is cut off or no JSON.
            BackendDown: the certificate is not trusted.
        """
        headers = {**self._headers, "content-type": _NDJSON if lines else _JSON}
        try:
            meta, raw = self._transport.perform_request(
                method, path, body=body, headers=headers, request_timeout=self._settings.request_timeout_seconds
            )
        except elastic_transport.TlsError as exc:
            raise BackendDown(
                f"no safe connection to Elasticsearch at {self._where}: {exc}. Check elastic.ca_file and the address"
            ) from exc
        except elastic_transport.TransportError as exc:
            raise NoAnswer(f"no answer from Elasticsearch at {self._where}: {exc}", LATER_SECONDS) from exc
        try:
            return Answer(meta.status, from_json(raw) if raw else None)
        except ValueError as exc:
            raise NoAnswer(f"an answer of Elasticsearch at {self._where} is cut off or no JSON", LATER_SECONDS) from exc

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
        patient: bool = False,
    ) -> Answer:
        """Send a request that may be repeated; give its answer, a success or one of the statuses in `also`.

        Args:
            method: of HTTP.
            path: without parameters.
            body: an object, or several for a body of lines.
            parameters: of the address.
            also: statuses that the caller understands.
            patient: try for `retry_seconds`, as a writer does; else once more.

        Raises:
            RetryLater: no answer, or the server asked for patience for too long.
            AccessRefused: it does not know us, or does not let us.
            BackendDown: it refused.
        """
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        lines = body is not None and not isinstance(body, Mapping)
        raw: bytes | None = None
        if isinstance(body, Mapping):
            raw = to_json(body)
        elif body is not None:
            raw = b"".join(to_json(line) + b"\n" for line in body)

        def attempt() -> Answer:
            answer = self.once(method, target, raw, lines=lines)
            if answer.status in IMPATIENT and answer.status not in also:
                raise self.impatient(answer)
            return answer

        answer = self.patiently(attempt, self._settings.retry_seconds if patient else _READING_SECONDS)
        if answer.status < 300 or answer.status in also:
            return answer
        raise self.refused(answer, f"{method} {path}")

    def patiently(self, attempt: Callable[[], Answer], seconds: float) -> Answer:
        """Try until it succeeds or the time is over, with waits of full jitter.

        Raises:
            RetryLater: the last one that `attempt` raised.
        """
        patience = self.patience(seconds)
        while True:
            try:
                return attempt()
            except RetryLater as exc:
                patience.wait(exc)

    def patience(self, seconds: float) -> Patience:
        """Give the waits of one thing that is tried for so long."""
        return Patience(self._clock, self._draw, seconds)

    def impatient(self, answer: Answer) -> RetryLater:
        """Give the error for a status that asks for patience."""
        return RetryLater(f"Elasticsearch at {self._where} says {answer.status}, {answer.said}", LATER_SECONDS)

    def refused(self, answer: Answer, doing: str) -> RetryLater | AccessRefused | BackendDown:
        """Give the error for a request that was refused; `doing` names it."""
        if answer.error_type == BLOCKED:
            return RetryLater(f"Elasticsearch at {self._where} refuses {doing} for now: {answer.said}", LATER_SECONDS)
        if answer.status in (401, 403):
            return self.no_access(answer.status, answer.said, doing)
        hint = "Run `soundings setup`" if answer.status == 404 else "See Elasticsearch's log; this may be a bug of ours"
        return BackendDown(f"Elasticsearch at {self._where} refused {doing}: {answer.status}, {answer.said}. {hint}")

    def no_access(self, status: int, said: str, doing: str) -> AccessRefused:
        """Give the error for who we are (401), or for what we may not do (403): it names the setting and the page."""
        settings = self._settings
        if settings.api_key:
            who, mend = "the key", "elastic.api_key"
        elif settings.user:
            who, mend = f"the user {settings.user}", "elastic.user and elastic.password"
        else:
            who, mend = "a request without a name", "elastic.user and elastic.password, or elastic.api_key"
        if status == 403:
            mend = f"the role behind {mend}"
        return AccessRefused(
            f"{mend}: Elasticsearch at {self._where} refuses {doing} to {who}: {status}, {said}. Mend it as "
            f"{_ACCESS_PAGE} says, and start again"
        )


class Patience:
    """The waits of one thing that is tried again: full jitter, doubling, until its time is over."""

    def __init__(self, clock: Clock, draw: random.Random, seconds: float) -> None:
        self._clock, self._draw, self._seconds = clock, draw, seconds
        self._since = clock.monotonic()
        self._most = FIRST_WAIT_SECONDS
        self._told = False

    def wait(self, trouble: RetryLater) -> None:
        """Wait before the next try; of a longer wait it is told what for.

        Raises:
            RetryLater: `trouble`, when the time is over.
        """
        wait = self._draw.uniform(0.0, self._most)
        passed = self._clock.monotonic() - self._since
        if passed + wait >= self._seconds:
            raise trouble
        if not self._told and passed + wait >= TELL_AFTER_SECONDS:
            log.warning("waits, for up to %.0f s: %s", self._seconds - passed, trouble)
            self._told = True
        self._clock.sleep(wait)
        self._most = min(2 * self._most, MOST_WAIT_SECONDS)


def _node(host: str, settings: ElasticSettings) -> elastic_transport.NodeConfig:
    parts = urlsplit(host)
    secure = parts.scheme == "https"
    return elastic_transport.NodeConfig(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or (443 if secure else 80),
        path_prefix=parts.path.rstrip("/"),
        connections_per_node=10,
        http_compress=False,
        verify_certs=settings.verify_certificates if secure else None,
        ca_certs=settings.ca_file or None if secure else None,
        ssl_show_warn=True,
    )


def _authorization(settings: ElasticSettings) -> dict[str, str]:
    if settings.api_key:
        return {"authorization": f"ApiKey {settings.api_key}"}
    if settings.user:
        pair = b64encode(f"{settings.user}:{settings.password}".encode()).decode("ascii")
        return {"authorization": f"Basic {pair}"}
    return {}
