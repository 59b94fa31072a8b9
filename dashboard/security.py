"""What stands around every answer of the dashboard: who may ask, and what a browser may do with the answer.

Mention text is hostile and the dashboard listens on a loopback port that any web page can aim at, so the Host
and Origin headers are checked and the content security policy allows nothing but our own files.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.access import refuse
from dashboard.answers import Problem

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    # Nothing for other sites; a form of ours must carry its Origin, which `no-referrer` would take away.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def host_name(host: str) -> str:
    """Give the name in a Host header, lower-case, without its port; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        host = name
    return host.lower()


class Guard:
    """Checks Host and Origin before a request, sets the security headers on whatever answers it, and answers HEAD.

    Args:
        app: what to protect.
        allowed_hosts: names or addresses (IPv6 in brackets) under which we may be asked, with any port.
        public_origin: of our pages where a proxy in front tells us another Host; "" when there is none.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str], public_origin: str = "") -> None:
        self._app = app
        self._allowed = frozenset(name.lower() for name in allowed_hosts)
        self._public_origin = public_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        only_head = scope["method"] == "HEAD"
        if only_head:
            # Whatever can be read answers HEAD as it answers GET, without the body.
            scope = {**scope, "method": "GET"}

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS:
                    headers[name] = value
                # Answers hold personal text: no cache may keep them for others, and each use is checked again.
                headers.setdefault("Cache-Control", "private, no-cache")
            elif only_head:
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            await refuse(*refusal)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, Problem] | None:
        """Say why a request is refused, or None."""
        host = headers.get("host", "")
        if host_name(host) not in self._allowed:
            return 400, Problem(
                code="unknown_host",
                found=f"the Host header {host[:200]!r}",
                expected="one of " + ", ".join(sorted(self._allowed)),
                hint="open the address that the service printed when it started",
            )
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("origin", "")
        if not origin or origin not in (f"http://{host}", f"https://{host}", self._public_origin):
            return 403, Problem(
                code="foreign_origin",
                found=f"the Origin header {origin[:200]!r}",
                expected=f"the origin of this page, http://{host}",
                hint="send the request from a page of this service",
            )
        return None
