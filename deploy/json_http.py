"""One JSON request over HTTP or HTTPS, with the standard library alone. TLS is always verified."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from domain.errors import BackendDown, ConfigError

_SECONDS: Final = 30.0
# Too many requests, or a server that is still starting: worth asking again.
_LATER: Final = frozenset({429, 502, 503, 504})
_PAUSE_SECONDS: Final = 2.0


class Refused(ConfigError):
    """The server understood and said no. `status` is HTTP's."""

    def __init__(self, problem: str, status: int) -> None:
        self.status = status
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask, and as whom. `authority` is the file of the CA that signed its certificate."""

    name: str
    url: str
    user: str
    password: str = field(repr=False)
    authority: Path | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        patience_seconds: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Any:
        """Send a request and give the answer's JSON; {} for an empty one.

        Args:
            method: the HTTP method.
            path: path and query, from the first slash.
            body: sent as JSON; nothing when None.
            raw: sent as it is instead, with `headers` saying what it is.
            headers: more headers.
            patience_seconds: for how long a server that is away or still starting is asked again.
            sleep: waits between two tries.

        Raises:
            Refused: the server refuses the request; its words are in the message, the password never is.
            ConfigError: its certificate is not to be trusted.
            BackendDown: it could not be reached, or could not answer, within the patience.
        """
        request = Request(  # noqa: S310  # the address is the operator's own
            self.url.rstrip("/") + path, data=raw if body is None else json.dumps(body).encode(), method=method
        )
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                return self._once(request)
            except BackendDown:
                if time.monotonic() >= deadline:
                    raise
                sleep(_PAUSE_SECONDS)

    def _once(self, request: Request) -> Any:
        what = f"{self.name} at {self.url}: {request.get_method()} {request.selector}"
        # No proxy: a password for a server beside us must not travel through another machine.
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=self._context()))
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                content = answer.read()
        except HTTPError as exc:
            said = exc.read().decode("utf-8", "replace")[:1000]
            if exc.code in _LATER:
                raise BackendDown(f"{what}: status {exc.code}: {said}") from exc
            raise Refused(f"{what}: status {exc.code}: {said}", exc.code) from exc
        except URLError as exc:
            if isinstance(exc.reason, ssl.SSLCertVerificationError):
                raise ConfigError(
                    f"{what}: its certificate is not signed by {self.authority or 'a known CA'}: {exc}"
                ) from exc
            raise BackendDown(f"{what}: cannot be reached: {exc.reason}") from exc
        except (OSError, HTTPException) as exc:
            raise BackendDown(f"{what}: cannot be reached: {exc}") from exc
        try:
            return json.loads(content) if content.strip() else {}
        except ValueError as exc:
            raise BackendDown(f"{what}: the answer is not JSON: {content[:200]!r}") from exc

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"{self.authority}: cannot be read as the certificate of a CA: {exc}") from exc
