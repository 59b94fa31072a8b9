"""What may be served: anything but loopback needs authentication, and one that protects nothing is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboard.access import LOOPBACK_HOSTS
from service.secrets import Secret
from service.settings import WebSettings
from service.web_access import access_notes, access_of, access_problems

TOKEN = Secret("0123456789abcdef0123456789abcdef")
PLAIN = WebSettings(host="127.0.0.1", port=8000)
WITH_TOKEN = replace(PLAIN, auth="token", token=TOKEN)
WITH_PROXY = replace(PLAIN, auth="proxy", proxy_addresses=("10.0.0.1",))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_address_is_served_without_authentication(host: str) -> None:
    assert access_problems(replace(PLAIN, host=host)) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", "example.org", "", "localhost.example.org"])
def test_another_address_needs_authentication(host: str) -> None:
    (problem,) = access_problems(replace(PLAIN, host=host))
    assert "expected a loopback address such as 127.0.0.1 while web.auth is none" in problem
    assert access_problems(replace(WITH_TOKEN, host=host)) == []
    assert access_problems(replace(WITH_PROXY, host=host)) == []


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        (replace(WITH_TOKEN, token=Secret()), "web.token: is not set while web.auth is token"),
        (replace(WITH_TOKEN, token=Secret("short")), "web.token: found 5 characters, expected 32 or more"),
        (replace(WITH_TOKEN, token=Secret(TOKEN.reveal() + " ")), "white space around it"),
        (replace(PLAIN, token=TOKEN), "web.token: is set while web.auth is none"),
        (replace(WITH_PROXY, token=TOKEN), "web.token: is set while web.auth is proxy"),
        (replace(WITH_PROXY, proxy_addresses=()), "web.proxy_addresses: is empty while web.auth is proxy"),
        (replace(WITH_PROXY, proxy_addresses=("0.0.0.0/0",)), "which is everybody"),
        (replace(WITH_PROXY, proxy_addresses=("::/0",)), "which is everybody"),
        (replace(WITH_PROXY, proxy_addresses=("proxy.example",)), "expected an address or a network"),
        (replace(WITH_PROXY, proxy_header="X User"), "web.proxy_header: found 'X User'"),
        (replace(PLAIN, public_url="ftp://example.org"), "web.public_url: found 'ftp://example.org'"),
        (replace(PLAIN, public_url="https://example.org/soundings"), "expected scheme and host alone"),
        (replace(PLAIN, public_url="https://a:b@example.org"), "expected scheme and host alone"),
        (replace(PLAIN, public_url="https://"), "expected scheme and host alone"),
        (replace(PLAIN, public_url="https://example.org:x"), "expected scheme and host alone"),
    ],
)
def test_what_would_not_protect_is_refused_in_one_line_without_the_secret(web: WebSettings, expected: str) -> None:
    (problem,) = access_problems(web)
    assert expected in problem
    assert TOKEN.reveal() not in problem


def test_it_answers_to_loopback_names_the_address_it_listens_on_and_the_public_one() -> None:
    access = access_of(replace(WITH_TOKEN, host="192.168.0.2", public_url="https://Soundings.example.org:8443"))
    assert set(access.hosts) == {*LOOPBACK_HOSTS, "192.168.0.2", "soundings.example.org"}
    assert access.secure
    assert set(access_of(replace(WITH_TOKEN, host="fd00::1")).hosts) == {*LOOPBACK_HOSTS, "[fd00::1]"}
    assert not access_of(replace(WITH_TOKEN, public_url="http://localhost")).secure


def test_a_token_that_travels_in_the_clear_is_told() -> None:
    (note,) = access_notes(replace(WITH_TOKEN, host="192.168.0.2"))
    assert "put TLS in front" in note
    assert access_notes(replace(WITH_TOKEN, host="192.168.0.2", public_url="https://example.org")) == []
    assert access_notes(PLAIN) == []
