"""Why something failed, in words of people."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from net.failure import connection_failure


class ReadTimeout(Exception):
    """As clients name theirs."""


class RemoteProtocolError(Exception):
    """As clients name theirs."""


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused(OSError("x"), socket.gaierror(-2, "Name or service not known")), "its name cannot be looked up"),
        (caused(Exception("x"), ConnectionRefusedError(111, "Connection refused")), "nobody listens there"),
        (ConnectionResetError(), "the connection was cut off"),
        (TimeoutError("timed out"), "no answer in time"),
        (ReadTimeout("sent: Bearer canary"), "no answer in time"),
        (RemoteProtocolError("canary"), "the answer does not keep to the protocol"),
        (OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)), "network is unreachable"),
        (ssl.SSLError(1, "wrong version"), "no encrypted connection could be made"),
        (ZeroDivisionError("canary"), "the connection failed"),
    ],
)
def test_a_failure_is_told_in_words_of_people(error: BaseException, words: str) -> None:
    assert connection_failure(error) == words


def test_a_certificate_that_is_not_trusted_says_why() -> None:
    error = ssl.SSLCertVerificationError(1, "canary")
    error.verify_message = "self-signed certificate"
    assert connection_failure(caused(Exception(), error)) == "its certificate is not trusted (self-signed certificate)"
