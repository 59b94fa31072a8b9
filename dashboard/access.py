"""Who is let in: nobody is asked, a token is shown, or a trusted proxy says who asks.

A browser that showed the token gets a cookie that proves it until it expires. The cookie holds no token and nothing is
kept here, so the dashboard stays stateless; another token ends every session.
"""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, TypeAlias
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from alerts.links import PAGE
from dashboard.answers import ErrorAnswer, Problem
from domain.clock import Clock

Auth: TypeAlias = Literal["none", "token", "proxy"]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Names under which a browser on the same machine reaches us. A page of a stranger that resolves its own name to
# 127.0.0.1 (DNS rebinding) still sends its own name.
LOOPBACK_HOSTS: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")

SIGN_IN = "/sign-in"
# What is answered before anybody is signed in: files that hold nothing personal, and where signed links of messages
# lead to, for each proves what it is for.
_OPEN_PATHS = ("/static/", PAGE)

# A working week: whoever opens the page on Monday is not asked again before the next.
SESSION_SECONDS = 7 * 24 * 3600

# Wrong tokens that one address may show at once, and how long each takes to be forgiven. A token is 32 characters or
# more and cannot be guessed; this keeps the attempts from costing anything.
TRIES = 10
SECONDS_A_TRY = 6.0
# Addresses remembered, so that a flood of them fills no memory.
MAX_ADDRESSES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Who is let in and under which names.

    `hosts` are the names (IPv6 in brackets) under which we may be asked, with any port. `public_url` is the address
    under which people open the page, "" when it is the one we listen on. `proxies` are networks whose `proxy_header`
    is believed when `auth` is "proxy", and whose X-Forwarded-For tells addresses apart otherwise.
    """

    auth: Auth = "none"
    token: str = field(default="", repr=False)
    hosts: tuple[str, ...] = LOOPBACK_HOSTS
    public_url: str = ""
    proxies: tuple[Network, ...] = ()
    proxy_header: str = "X-Forwarded-User"

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies are sent over nothing else."""
        return self.public_url.startswith("https://")

    @property
    def public_origin(self) -> str:
        """Origin of a page of ours that was opened under `public_url`; "" when there is none."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower() if self.public_url else ""

    @property
    def cookie(self) -> str:
        """Name of the cookie. A browser takes one of the first name from this host and over TLS only."""
        return "__Host-soundings" if self.secure else "soundings"


class FailedTries:
    """Who showed wrong tokens lately. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # When the last of an address's tries will be forgiven; the longest untouched first.
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def wait_seconds(self, address: str) -> float:
        """Give how long an address must wait before it may try again; 0 when it need not."""
        with self._lock:
            left = self._free_at.get(address, 0.0) - self._clock.monotonic()
            return max(0.0, left - (TRIES - 1) * SECONDS_A_TRY)

    def failed(self, address: str) -> None:
        """Take note of a wrong token."""
        with self._lock:
            now = self._clock.monotonic()
            self._free_at[address] = max(self._free_at.pop(address, now), now) + SECONDS_A_TRY
            if len(self._free_at) > MAX_ADDRESSES:
                self._free_at.popitem(last=False)


class Doorkeeper:
    """Decides about tokens and sessions."""

    def __init__(self, settings: AccessSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._digest = sha256(settings.token.encode()).digest()
        self._key = hmac.digest(settings.token.encode(), b"soundings session", "sha256")
        self._tries = FailedTries(clock)

    def try_token(self, token: str, address: str) -> Problem | None:
        """Say what is wrong with a token that `address` shows, or None when it is the right one."""
        wait = self._tries.wait_seconds(address)
        if wait > 0:
            return Problem(
                code="too_many_tries",
                found=f"more than {TRIES} wrong tokens from this address",
                expected="no more for a while",
                hint=f"try again in {wait + 1:.0f} s",
            )
        # Digests have one length, so that comparing takes the same time whatever was sent.
        if hmac.compare_digest(sha256(token.encode("utf-8", "surrogatepass")).digest(), self._digest):
            return None
        self._tries.failed(address)
        return Problem(
            code="wrong_token",
            found="another token" if token else "no token",
            expected="the token of this service",
            hint="whoever runs Soundings has it (SOUNDINGS_WEB_TOKEN)",
        )

    def new_session(self) -> str:
        """Give the value of a cookie that proves until it expires that the token was shown."""
        until = str(int(self._clock.now().timestamp()) + SESSION_SECONDS)
        return f"{until}.{self._seal(until)}"

    def is_session(self, value: str) -> bool:
        """Tell whether a cookie is one of ours and has not expired."""
        until, _, seal = value.partition(".")
        if not hmac.compare_digest(seal.encode("utf-8", "replace"), self._seal(until).encode()):
            return False
        return int(until) > self._clock.now().timestamp()

    def _seal(self, until: str) -> str:
        return hmac.new(self._key, until.encode("utf-8", "replace"), "sha256").hexdigest()

    def address_of(self, scope: Scope) -> str:
        """Give the address that a request comes from, as far as it can be believed; "" when it has none."""
        peer = _address(scope["client"][0] if scope.get("client") else "")
        if peer is None:
            return ""
        if self._is_proxy(peer):
            # The last entry is what the trusted proxy saw; what stands before it anybody may have written.
            forwarded = Headers(scope=scope).get("x-forwarded-for", "").rpartition(",")[2]
            peer = _address(forwarded.strip()) or peer
        if isinstance(peer, ipaddress.IPv6Address):
            # Whoever has one address of IPv6 has the whole network.
            return str(ipaddress.ip_network((peer, 64), strict=False))
        return str(peer)

    def is_from_proxy(self, scope: Scope) -> bool:
        """Tell whether a trusted proxy sent the request."""
        peer = _address(scope["client"][0] if scope.get("client") else "")
        return peer is not None and self._is_proxy(peer)

    def _is_proxy(self, peer: _Address) -> bool:
        return any(peer in network for network in self.settings.proxies)


def _address(text: str) -> _Address | None:
    try:
        found: _Address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Door:
    """Lets requests in, or answers them: pages with the way to the sign-in page, everything else with 401 or 403."""

    def __init__(self, app: ASGIApp, keeper: Doorkeeper) -> None:
        self._app, self._keeper = app, keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None = None
        if scope["type"] == "http":
            answer = self._by_proxy(scope) if self._keeper.settings.auth == "proxy" else self._by_token(scope)
        await (self._app if answer is None else answer)(scope, receive, send)

    def _by_proxy(self, scope: Scope) -> Response | None:
        header = self._keeper.settings.proxy_header
        if not self._keeper.is_from_proxy(scope):
            return refuse(
                403,
                Problem(
                    code="not_through_proxy",
                    found="a request that did not come through a trusted proxy",
                    expected="one from web.proxy_addresses",
                    hint="open the address that people use, not this one",
                ),
            )
        if not scope["path"].startswith(_OPEN_PATHS) and not Headers(scope=scope).get(header, "").strip():
            return refuse(
                401,
                Problem(code="not_signed_in", found=f"no {header} header", expected="the name of whoever asks"),
            )
        return None

    def _by_token(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if path == SIGN_IN or path.startswith(_OPEN_PATHS):
            return None
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            problem = self._keeper.try_token(token.strip(), self._keeper.address_of(scope))
            return None if problem is None else refuse_token(problem)
        session = cookie_parser(headers.get("cookie", "")).get(self._keeper.settings.cookie, "")
        if self._keeper.is_session(session):
            return None
        if (
            scope["method"] in ("GET", "HEAD")
            and not path.startswith("/api/")
            and "text/html" in headers.get("accept", "")
        ):
            asked = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': asked})}", 303)
        return refuse_token(
            Problem(
                code="not_signed_in",
                found="no token",
                expected="Authorization: Bearer TOKEN, or the cookie of the sign-in page",
                hint=f"open {SIGN_IN} in a browser",
            )
        )


def refuse(status: int, problem: Problem) -> Response:
    """Answer with a problem."""
    return JSONResponse(ErrorAnswer(error=problem).model_dump(mode="json", by_alias=True), status)


def refuse_token(problem: Problem) -> Response:
    """Answer whoever showed no token, a wrong one, or too many wrong ones."""
    if problem.code == "too_many_tries":
        answer = refuse(429, problem)
        answer.headers["Retry-After"] = str(int(SECONDS_A_TRY))
        return answer
    answer = refuse(401, problem)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="soundings"'
    return answer
