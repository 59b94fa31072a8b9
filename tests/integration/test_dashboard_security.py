"""Who may ask the dashboard, and what its answers let a browser do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes.dashboard_world import World, ask, open_world

from dashboard.access import AccessSettings
from dashboard.app import build_app
from dashboard.security import host_name
from domain.clock import SystemClock
from domain.errors import BackendDown
from search.store import SearchPage, SearchRequest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("security")) as world:
        yield world


@pytest.mark.parametrize(
    "path", ["/", "/?q=%28", "/brands?query=lid", "/api/mentions", "/api/docs", "/static/app.css", "/nowhere", "/api/x"]
)
def test_every_answer_carries_the_policy(world: World, path: str) -> None:
    headers = ask(world.app, path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/?q=lid+or", "/?q=%28", "/brands?query=lid+or", "/api/docs", "/nowhere"])
def test_pages_have_no_inline_script_or_style_and_load_only_our_files(world: World, path: str) -> None:
    shown = ask(world.app, path).text
    assert not re.search(r"<[^<>]*\s(style|on\w+)=", shown)
    assert "<style" not in shown
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", shown, re.DOTALL)
    assert [body for _, body in scripts] == [""]
    loaded = re.findall(r'<(?:script|link|img|use|iframe)[^>]*(?:src|href)="([^"]*)"', shown)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)


def test_static_files_are_cached_for_ever_and_nothing_else_is(world: World) -> None:
    shown = ask(world.app, "/")
    assert shown.headers["cache-control"] == "private, no-cache"
    (sheet,) = re.findall(r'href="(/static/app\.css\?v=\w+)"', shown.text)
    assert "immutable" in ask(world.app, sheet).headers["cache-control"]


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "%00", "app.css%00", "nothing.css", ""])
def test_only_our_static_files_are_served(world: World, name: str) -> None:
    assert ask(world.app, f"/static/{name}").status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:8000", "[::1]"])
def test_loopback_names_are_answered(world: World, host: str) -> None:
    assert ask(world.app, "/api/brands", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost:80:80", "", "::1", "localhost.", "x@localhost"]
)
def test_other_hosts_are_refused(world: World, host: str) -> None:
    answer = ask(world.app, "/api/mentions", headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unknown_host"


def test_a_host_that_the_operator_allows_is_answered(world: World) -> None:
    access = AccessSettings(hosts=("Soundings.example",))
    app = build_app(world.store, world.log, (), access=access, clock=SystemClock())
    assert ask(app, "/", headers={"host": "soundings.example:443"}).status_code == 200
    assert ask(app, "/", headers={"host": "127.0.0.1"}).status_code == 400


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:9", "http://127.0.0.1:8000.evil.example"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_change_asked_for_by_a_foreign_page_is_refused(world: World, method: str, origin: str | None) -> None:
    headers = {"host": "127.0.0.1:8000"} | ({} if origin is None else {"origin": origin})
    answer = ask(world.app, "/", method=method, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"


def test_a_change_asked_for_by_our_own_page_passes_the_guard(world: World) -> None:
    headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
    assert ask(world.app, "/", method="POST", headers=headers).status_code == 405


def test_a_change_from_the_public_address_passes_where_a_proxy_tells_another_host(world: World) -> None:
    app = build_app(world.store, world.log, (), access=AccessSettings(public_url="https://soundings.example"))
    for origin, status in (("https://soundings.example", 405), ("http://soundings.example", 403), ("", 403)):
        headers = {"host": "127.0.0.1:8000", "origin": origin}
        assert ask(app, "/", method="POST", headers=headers).status_code == status


def test_host_names_lose_their_port_only() -> None:
    assert [host_name(host) for host in ("A:1", "[::1]:80", "[::1]", "a:b", ":80")] == [
        "a",
        "[::1]",
        "[::1]",
        "a:b",
        "",
    ]


def test_a_store_that_does_not_answer_is_said_to_be_away(world: World) -> None:
    class Away:
        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def search(self, request: SearchRequest) -> SearchPage:
            raise BackendDown("the disk is gone")

    app = build_app(Away(), world.log, ())  # type: ignore[arg-type]
    for path in ("/", "/api/mentions"):
        answer = ask(app, path)
        assert answer.status_code == 503
        assert "the disk is gone" in answer.text
