"""Who is let into the dashboard, over real HTTP: by a token, by the cookie for it, or by a trusted proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from fakes.clock import FakeClock
from fakes.dashboard_world import BRANDS, World, open_world
from fakes.serving import serve

from dashboard.access import MAX_ADDRESSES, SECONDS_A_TRY, SESSION_SECONDS, TRIES, AccessSettings, FailedTries
from dashboard.app import build_app

TOKEN = "a-token-of-more-than-thirty-two-characters"
BY_TOKEN = AccessSettings(auth="token", token=TOKEN, hosts=("127.0.0.1", "soundings.example"))
BY_PROXY = AccessSettings(
    auth="proxy", proxies=(ipaddress.ip_network("127.0.0.1/32"),), hosts=("127.0.0.1",), proxy_header="X-Auth-User"
)
PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("access")) as world:
        yield world


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@contextmanager
def served(world: World, access: AccessSettings, clock: FakeClock) -> Iterator[httpx.Client]:
    """Serve the dashboard with this access; gives a client that follows nothing and keeps cookies."""
    app = build_app(world.store, world.log, BRANDS, access=access, clock=clock)
    with serve(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        client.headers["origin"] = address
        yield client


def sign_in(client: httpx.Client, token: str = TOKEN, destination: str = "/") -> httpx.Response:
    return client.post("/sign-in", data={"token": token, "next": destination})


@pytest.mark.parametrize("path", ["/api/mentions", "/api/books", "/api/openapi.json", "/api/nowhere", "/nowhere", "/"])
def test_without_a_token_nothing_is_told(world: World, clock: FakeClock, path: str) -> None:
    with served(world, BY_TOKEN, clock) as client:
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["code"] == "not_signed_in"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert client.post(path).status_code == 401


def test_a_program_shows_the_token_with_each_request(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        assert client.get("/api/mentions", headers={"authorization": f"Bearer {TOKEN}"}).json()["total"] > 0
        assert client.get("/api/mentions", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200
        for wrong in (TOKEN[:-1], TOKEN + "x", "é"):
            answer = client.get("/api/mentions", headers={"authorization": f"Bearer {wrong}".encode()})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_token")
            assert TOKEN not in answer.text
        assert client.get("/api/mentions", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401


def test_a_browser_signs_in_and_comes_back_to_where_it_was(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        sent_on = client.get("/?q=mug&brand=cuppelo", headers=PAGE)
        assert sent_on.status_code == 303
        form = client.get(sent_on.headers["location"])
        assert form.status_code == 200
        assert 'name="next" value="/?q=mug&amp;brand=cuppelo"' in form.text
        answer = sign_in(client, destination="/?q=mug&brand=cuppelo")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?q=mug&brand=cuppelo")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie
        assert TOKEN not in cookie
        page = client.get("/?q=mug", headers=PAGE)
        assert page.status_code == 200
        assert "Sign out" in page.text
        assert client.post("/sign-out").headers["location"] == "/sign-in"
        assert client.get("/", headers=PAGE).status_code == 303


def test_under_https_the_cookie_travels_over_tls_alone(world: World, clock: FakeClock) -> None:
    access = replace(BY_TOKEN, public_url="https://soundings.example")
    with served(world, access, clock) as client:
        client.headers["origin"] = "https://soundings.example"
        cookie = sign_in(client).headers["set-cookie"]
        assert cookie.startswith("__Host-soundings=")
        assert "; Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    "destination", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "", "/\tevil", "evil"]
)
def test_signing_in_leads_nowhere_else(world: World, clock: FakeClock, destination: str) -> None:
    with served(world, BY_TOKEN, clock) as client:
        assert sign_in(client, destination=destination).headers["location"] == "/"
        form = client.get("/sign-in", params={"next": destination})
        assert 'name="next" value="/"' in form.text


def test_a_session_expires_and_another_token_ends_it(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        sign_in(client)
        (session,) = client.cookies.values()
        clock.advance(SESSION_SECONDS - 1)
        assert client.get("/api/brands").status_code == 200
        clock.advance(2)
        assert client.get("/api/brands").status_code == 401
    clock.advance(-SESSION_SECONDS)
    with served(world, replace(BY_TOKEN, token=TOKEN + "2"), clock) as client:
        assert client.get("/api/brands", headers={"cookie": f"soundings={session}"}).status_code == 401


@pytest.mark.parametrize("value", ["", ".", "9999999999", "9999999999.0", "x.y", "\xff.\xff", "." * 5000])
def test_a_made_up_cookie_is_no_session(world: World, clock: FakeClock, value: str) -> None:
    with served(world, BY_TOKEN, clock) as client:
        assert client.get("/api/brands", headers={"cookie": f"soundings={value}".encode("latin-1")}).status_code == 401


def test_a_session_cannot_be_prolonged_by_its_owner(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        sign_in(client)
        until, _, seal = str(client.cookies["soundings"]).partition(".")
        longer = f"soundings={int(until) + 1}.{seal}"
        client.cookies.clear()
        assert client.get("/api/brands", headers={"cookie": longer}).status_code == 401


def test_signing_in_from_a_foreign_page_is_refused(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        for origin in ("https://evil.example", "null", ""):
            answer = client.post("/sign-in", data={"token": TOKEN}, headers={"origin": origin})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
            assert client.post("/sign-out", headers={"origin": origin}).status_code == 403


def test_the_host_is_checked_before_the_token(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        headers = {"host": "evil.example", "authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/brands", headers=headers).json()["error"]["code"] == "unknown_host"


def test_too_many_wrong_tokens_make_an_address_wait_and_no_session_suffers(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        sign_in(client)
        for _ in range(TRIES):
            assert sign_in(client, "wrong").status_code == 401
        answer = client.get("/api/brands", headers={"authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_tries")
        assert int(answer.headers["retry-after"]) > 0
        assert sign_in(client).status_code == 429
        assert client.get("/api/brands").status_code == 200
        clock.advance(SECONDS_A_TRY)
        assert client.get("/api/brands", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_behind_a_trusted_proxy_each_client_has_its_own_tries(world: World, clock: FakeClock) -> None:
    with served(world, replace(BY_TOKEN, proxies=BY_PROXY.proxies), clock) as client:

        def tried(token: str, forwarded: str) -> int:
            headers = {"authorization": f"Bearer {token}", "x-forwarded-for": forwarded}
            return client.get("/api/brands", headers=headers).status_code

        for number in range(TRIES):
            # What stands before the last address was written by the client itself.
            assert tried("wrong", f"10.9.9.{number}, 10.0.0.1") == 401
        assert tried(TOKEN, "10.0.0.1") == 429
        assert tried(TOKEN, "10.0.0.2") == 200


def test_an_unknown_proxy_tells_no_addresses_apart(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        for number in range(TRIES):
            client.get("/api/brands", headers={"authorization": "Bearer x", "x-forwarded-for": f"10.0.0.{number}"})
        answer = client.get("/api/brands", headers={"authorization": "Bearer x", "x-forwarded-for": "10.0.0.99"})
        assert answer.status_code == 429


def test_failed_tries_are_forgotten_before_they_fill_the_memory(clock: FakeClock) -> None:
    tries = FailedTries(clock)
    for _ in range(TRIES):
        tries.failed("first")
    assert tries.wait_seconds("first") > 0
    for number in range(MAX_ADDRESSES):
        tries.failed(str(number))
    assert tries.wait_seconds("first") == 0


def test_what_the_sign_in_page_is_made_of_is_open_and_nothing_else(world: World, clock: FakeClock) -> None:
    with served(world, BY_TOKEN, clock) as client:
        assert client.get("/static/app.css").status_code == 200
        assert client.get("/static/../api/brands").status_code == 401
        assert client.get("/sign-in/").status_code == 401
        assert client.get("/sign-inside").status_code == 401


@pytest.mark.parametrize(
    "body", [b"", b"token=%", b"token", b"&" * 100, b"token=" + b"x" * 20_000, b"\xff=\xff", b"token=%ff%00"]
)
def test_a_broken_form_is_a_wrong_token(world: World, clock: FakeClock, body: bytes) -> None:
    with served(world, BY_TOKEN, clock) as client:
        answer = client.post("/sign-in", content=body)
        assert answer.status_code == 401
        assert "Found " in answer.text


def test_who_a_trusted_proxy_names_is_let_in(world: World, clock: FakeClock) -> None:
    with served(world, BY_PROXY, clock) as client:
        assert client.get("/api/brands", headers={"x-auth-user": "ann"}).status_code == 200
        for headers in ({}, {"x-auth-user": ""}, {"x-forwarded-user": "ann"}):
            answer = client.get("/api/brands", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
        assert client.get("/sign-in", headers={"x-auth-user": "ann"}).status_code == 404
        assert "Sign out" not in client.get("/", headers={"x-auth-user": "ann", **PAGE}).text


def test_the_header_is_believed_from_the_proxy_alone(world: World, clock: FakeClock) -> None:
    elsewhere = replace(BY_PROXY, proxies=(ipaddress.ip_network("10.0.0.0/8"),))
    with served(world, elsewhere, clock) as client:
        headers = {"x-auth-user": "ann", "x-forwarded-for": "10.0.0.1"}
        answer = client.get("/api/brands", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_through_proxy")


def test_without_authentication_there_is_nothing_to_sign_into(world: World, clock: FakeClock) -> None:
    with served(world, AccessSettings(), clock) as client:
        assert client.get("/", headers=PAGE).status_code == 200
        assert client.get("/sign-in").status_code == 404
