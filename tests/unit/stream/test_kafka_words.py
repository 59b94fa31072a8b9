"""What is made of a client's own words about its connections."""

from __future__ import annotations

import pytest

from domain.errors import ConfigError, RetryLater
from stream.kafka_settings import KafkaSettings
from stream.kafka_words import Heard, unknown_user

SETTINGS = KafkaSettings(sasl_username="reader", sasl_password="hunter2")


def test_a_refusal_explains_a_silence_before_any_other_reason() -> None:
    heard = Heard(SETTINGS)
    heard.note("invalid credentials", unknown_user)
    heard.note("connection refused", None)
    said = heard.unanswered("asking for topics", "timed out")
    assert isinstance(said, ConfigError)
    assert "the user reader in, asking for topics (invalid credentials)" in str(said)
    # It was told once: what comes after it must be heard anew.
    again = heard.unanswered("asking for topics", "timed out")
    assert isinstance(again, RetryLater)
    assert "(timed out; connection refused)" in str(again)


def test_an_answer_ends_what_was_heard_before_it() -> None:
    heard = Heard(SETTINGS)
    heard.note("invalid credentials", unknown_user)
    heard.note("connection refused", None)
    heard.answered()
    heard.check("reading")
    assert "asking for topics (timed out)" in str(heard.unanswered("asking for topics", "timed out"))


def test_a_poll_that_gave_nothing_tells_a_refusal_from_the_beginning_from_one_that_came_later() -> None:
    heard = Heard(SETTINGS)
    heard.note("connection refused", None)
    heard.check("reading")
    heard.note("invalid credentials", unknown_user)
    with pytest.raises(ConfigError, match=r"check .* sasl_password"):
        heard.check("reading")
    heard.answered()
    heard.note("invalid credentials", unknown_user)
    with pytest.raises(RetryLater, match=r"reading \(invalid credentials\)"):
        heard.check("reading")
    heard.check("reading")
