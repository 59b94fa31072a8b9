"""Whether the dashboard may be served as configured, and whom it lets in."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from service.settings import WebSettings
from service.settings_checks import show

if TYPE_CHECKING:
    from dashboard.access import AccessSettings, Network

# Shorter ones can be guessed; `secrets.token_urlsafe(32)` gives 43.
MIN_TOKEN = 32


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def access_problems(web: WebSettings) -> list[str]:
    """Tell why the dashboard may not be served as configured, one line each; nothing when it may."""
    problems = []
    if web.auth == "none" and not is_loopback(web.host):
        problems.append(
            f"web.host: found {show(web.host)}, expected a loopback address such as 127.0.0.1 while web.auth is none: "
            "other machines are let in only with web.auth = token or proxy"
        )
    problems += _token_problems(web)
    problems += _proxy_problems(web)
    if wrong := _url_problem(web.public_url):
        problems.append(f"web.public_url: found {show(web.public_url)}, {wrong}")
    return problems


def _token_problems(web: WebSettings) -> list[str]:
    token = web.token.reveal()
    if web.auth != "token":
        # Whoever sets a token believes that it protects something.
        return [f"web.token: is set while web.auth is {web.auth}: set web.auth = token, or no token"] if token else []
    if not token:
        return ["web.token: is not set while web.auth is token: set SOUNDINGS_WEB_TOKEN, or web.token_file"]
    if len(token) < MIN_TOKEN:
        return [
            f"web.token: found {len(token)} characters, expected {MIN_TOKEN} or more; "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
        ]
    if token != token.strip() or not token.isprintable():
        return ["web.token: found white space around it or control characters, expected none: no browser could send it"]
    return []


def _proxy_problems(web: WebSettings) -> list[str]:
    problems = []
    for text in web.proxy_addresses:
        network = _network(text)
        if network is None:
            problems.append(
                f"web.proxy_addresses: found {show(text)}, expected an address or a network such as 10.0.0.0/24"
            )
        elif network.prefixlen == 0:
            problems.append(f"web.proxy_addresses: found {show(text)}, which is everybody, expected the proxies alone")
    if web.auth == "proxy" and not web.proxy_addresses:
        problems.append(
            "web.proxy_addresses: is empty while web.auth is proxy, expected the addresses of proxies: anybody else "
            "could write their header"
        )
    header = web.proxy_header
    if not header.isascii() or not header.replace("-", "").replace("_", "").isalnum():
        problems.append(
            f"web.proxy_header: found {show(header)}, expected the name of a header such as X-Forwarded-User"
        )
    return problems


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _url_problem(url: str) -> str:
    if not url:
        return ""
    expected = "expected scheme and host alone, such as https://soundings.example.org"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return expected
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return expected
    rest = parts.path.rstrip("/") or parts.query or parts.fragment or parts.username or parts.password
    return expected if rest or not url.isascii() or not url.isprintable() or " " in url else ""


def access_notes(web: WebSettings) -> list[str]:
    """Tell what is allowed and yet worth knowing before the dashboard is served, one line each."""
    notes = []
    if not is_loopback(web.host) and not web.public_url.startswith("https://"):
        notes.append(
            "web: what people wrote, and the token, travel readable to anybody on the way: put TLS in front and set "
            "web.public_url"
        )
    if web.host in ("0.0.0.0", "::") and not web.public_url:  # noqa: S104  compared, not listened on
        notes.append("web: asked under any name but a loopback one it answers 400: set web.public_url")
    return notes


def access_of(web: WebSettings) -> AccessSettings:
    """Give what the dashboard needs to know; the settings have no `access_problems`."""
    from dashboard.access import LOOPBACK_HOSTS, AccessSettings, Auth

    hosts = {*LOOPBACK_HOSTS, f"[{web.host}]" if ":" in web.host else web.host.lower()}
    if web.public_url:
        name = urlsplit(web.public_url).hostname or ""
        hosts.add(f"[{name}]" if ":" in name else name)
    return AccessSettings(
        auth=cast(Auth, web.auth),
        token=web.token.reveal(),
        hosts=tuple(sorted(hosts)),
        public_url=web.public_url,
        proxies=tuple(network for text in web.proxy_addresses if (network := _network(text)) is not None),
        proxy_header=web.proxy_header,
    )
