"""Signatures of HTTP bodies: HMAC-SHA256 over a time and the body, with a secret that both sides know."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime

TIMESTAMP_HEADER = "Soundings-Timestamp"
SIGNATURE_HEADER = "Soundings-Signature"
# A request that was signed longer ago, or later than now by so much, is refused: the clocks of both sides may differ.
WINDOW_SECONDS = 300
# `openssl rand -hex 32` gives 64.
MIN_SECRET_CHARS = 32

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v1=[0-9a-f]{64}", re.ASCII)


class BadSignature(Exception):
    """A body that is not from who it should be, or not from now. The message tells the sender what to mend."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Give the signature of a body: `v1=` and the hex digest of "<timestamp>.<body>".

    Args:
        secret: known to both sides; its UTF-8 bytes are the key.
        timestamp: seconds since 1970, sent beside it.
        body: exactly the bytes that are sent.
    """
    digest = hmac.new(secret.encode("utf-8", "surrogatepass"), str(timestamp).encode() + b"." + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


def check_timestamp(timestamp: str, signature: str, now: datetime) -> int:
    """Check what can be checked before the body is there; gives the time of the signature (seconds since 1970).

    Raises:
        BadSignature: a header is missing or has another form, or the time is outside the window.
    """
    if not timestamp or not signature:
        raise BadSignature(f"expected the headers {TIMESTAMP_HEADER} and {SIGNATURE_HEADER}")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature(f"{TIMESTAMP_HEADER}: expected whole seconds since 1970")
    if not _SIGNATURE.fullmatch(signature):
        raise BadSignature(f"{SIGNATURE_HEADER}: expected v1= and 64 hex digits in lower case")
    ahead = int(timestamp) - int(now.timestamp())
    if abs(ahead) > WINDOW_SECONDS:
        raise BadSignature(
            f"{TIMESTAMP_HEADER}: is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} our clock, expected at "
            f"most {WINDOW_SECONDS}; sign each try anew, and see that the clock is right"
        )
    return int(timestamp)


def check_signature(secrets: Sequence[str], timestamp: int, signature: str, body: bytes) -> None:
    """See that a body was signed with one of the secrets, in a time that does not tell with which.

    Raises:
        BadSignature: with none of them.
    """
    fits = [hmac.compare_digest(sign(secret, timestamp, body), signature) for secret in secrets]
    if not any(fits):
        raise BadSignature(
            f'{SIGNATURE_HEADER}: does not fit; expected HMAC-SHA256 of "<timestamp>.<body>" with the secret, over '
            "exactly the bytes that are sent"
        )
