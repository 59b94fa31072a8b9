"""Signatures: the documented form, and nothing else is believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domain.signature import WINDOW_SECONDS, BadSignature, check_signature, check_timestamp, sign

BODY = b'{"id": "1"}'
# printf '1700000000.{"id": "1"}' | openssl dgst -sha256 -hmac key
KNOWN = "v1=923091b592f2cdff7fd78ff04ec1cae2212f2d7a268954108e8655327c0b579b"


def test_a_signature_is_what_openssl_gives() -> None:
    assert sign("key", 1_700_000_000, BODY) == KNOWN


def test_each_of_several_secrets_is_believed_and_no_other() -> None:
    for secret in ("key", "old"):
        check_signature(("key", "old"), 1, sign(secret, 1, BODY), BODY)
    for secrets in (("other",), ()):
        with pytest.raises(BadSignature):
            check_signature(secrets, 1, sign("key", 1, BODY), BODY)


def test_time_and_body_are_both_signed() -> None:
    signature = sign("key", 12, b"3.body")
    for timestamp, body in ((1, b"2.3.body"), (13, b"3.body"), (12, b"3.bodY")):
        with pytest.raises(BadSignature):
            check_signature(("key",), timestamp, signature, body)


def test_a_secret_may_hold_anything() -> None:
    for secret in ("\u00e9\u4e2d", "\ud800", " "):
        check_signature((secret,), 1, sign(secret, 1, BODY), BODY)


def test_the_window_has_two_sides() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    at = int(now.timestamp())
    for timestamp in (at - WINDOW_SECONDS, at + WINDOW_SECONDS):
        assert check_timestamp(str(timestamp), KNOWN, now) == timestamp
    for timestamp in (at - WINDOW_SECONDS - 1, at + WINDOW_SECONDS + 1):
        with pytest.raises(BadSignature, match=f"{WINDOW_SECONDS + 1} s"):
            check_timestamp(str(timestamp), KNOWN, now)
