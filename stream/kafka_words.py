"""What is said when the broker does not do as asked: the same words for both clients."""

from __future__ import annotations

from domain.errors import ConfigError, RetryLater
from stream.kafka_broker import LostPartitions, Rebalancing
from stream.kafka_settings import MAX_RECORD_BYTES, KafkaSettings

# A worker waits longer by itself when it goes on.
RETRY_SECONDS = 1.0


def refused(settings: KafkaSettings, doing: str, said: str) -> ConfigError:
    """Say that our user may not, or is not who it says."""
    return ConfigError(
        f"{settings.where} refuses {doing} ({said}): check [kafka] security_protocol, sasl_*, ca_file, and the rights "
        f"of the user {settings.sasl_username or '(none)'}"
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
        f"{settings.where} did not answer, {doing} ({said}): check that it runs and that its address is right here",
        RETRY_SECONDS,
    )
