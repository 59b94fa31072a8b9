"""What is said when the broker does not do as asked: the same words for both clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from domain.errors import ConfigError, RetryLater
from stream.kafka_broker import LostPartitions, Rebalancing
from stream.kafka_settings import MAX_RECORD_BYTES, KafkaSettings

# A worker waits longer by itself when it goes on.
RETRY_SECONDS = 1.0

# Settings, what we were doing, what the client says: one of the three below.
Refusal: TypeAlias = Callable[[KafkaSettings, str, str], ConfigError]


def refused(settings: KafkaSettings, doing: str, said: str) -> ConfigError:
    """Say that our user may not."""
    return ConfigError(
        f"{settings.where} refuses {doing} ({said}): check the rights of the user {settings.sasl_username or '(none)'}"
    )


def unknown_user(settings: KafkaSettings, doing: str, said: str) -> ConfigError:
    """Say that our user is not who it says."""
    return ConfigError(
        f"{settings.where} does not let the user {settings.sasl_username or '(none)'} in, {doing} ({said}): check "
        "[kafka] sasl_username, sasl_password and sasl_mechanism"
    )


def untrusted(settings: KafkaSettings, doing: str, said: str) -> ConfigError:
    """Say that one of us does not take the other's certificate."""
    return ConfigError(
        f"{settings.where}: no TLS connection, {doing} ({said}): check that [kafka] ca_file holds who signed the "
        "brokers' certificates, that these are good for the names in bootstrap_servers, and, where brokers ask for it, "
        "certificate_file and key_file"
    )


def missing(settings: KafkaSettings, doing: str, said: str) -> ConfigError:
    """Say that a topic is not there."""
    return ConfigError(f"{settings.where}, {doing}: {said}; `soundings setup` creates the topics")


def too_large(settings: KafkaSettings) -> ConfigError:
    """Say that the broker takes no records of our greatest size."""
    return ConfigError(
        f"{settings.where} takes no records of {MAX_RECORD_BYTES} bytes: raise max.message.bytes of the topics "
        "(`soundings setup` tells which)"
    )


def lost(settings: KafkaSettings, doing: str, said: str) -> LostPartitions:
    """Say that we are no member any more, or not of this generation."""
    return LostPartitions(f"{settings.where}, {doing}: the group has moved on ({said})", 0.0)


def rebalancing(settings: KafkaSettings, doing: str, said: str) -> Rebalancing:
    """Say that the group shares out its partitions."""
    return Rebalancing(f"{settings.where}, {doing}: the group shares out its partitions ({said})", 0.0)


def unanswered(settings: KafkaSettings, doing: str, said: str) -> RetryLater:
    """Say that there was no answer, or one that asks for patience."""
    return RetryLater(
        f"{settings.where} did not answer, {doing} ({said}): check that it runs, that its address is right here, and "
        "that [kafka] security_protocol is what it speaks there",
        RETRY_SECONDS,
    )


class Heard:
    """Why connections of one client failed since the broker last did as asked.

    A client tells it beside the call, in a thread of its own; the call itself only runs out of time.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._refusal: tuple[Refusal, str] | None = None
        self._trouble = ""
        self._answered = False

    def note(self, said: str, refusal: Refusal | None) -> None:
        """Keep the last of each: a name with two addresses may be refused at one and find nobody at the other."""
        if refusal is not None:
            self._refusal = refusal, said
        else:
            self._trouble = said

    def answered(self) -> None:
        """Forget all: the broker did as asked."""
        self._refusal, self._trouble, self._answered = None, "", True

    def unanswered(self, doing: str, said: str) -> Exception:
        """Give the error for a call that ran out of time, with what is behind it."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            says, reason = refusal
            return says(self.settings, doing, reason)
        return unanswered(self.settings, doing, f"{said}; {self._trouble}" if self._trouble else said)

    def check(self, doing: str) -> None:
        """Look whether there is more behind a poll that gave nothing than that there is nothing.

        Raises:
            ConfigError: brokers refuse us, and did from the beginning.
            RetryLater: one of them does, to which we may have been known a while ago.
        """
        if self._refusal is None:
            return
        if not self._answered:
            raise self.unanswered(doing, "")
        (_, reason), self._refusal = self._refusal, None
        raise unanswered(self.settings, doing, reason)
