"""How the log lies on the broker: the names of its topics, and the partition that a key belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

from domain.errors import ConfigError
from domain.records import Topic
from stream.kafka_broker import Broker, Place, TopicInfo
from stream.kafka_settings import KafkaSettings

FLOW_TOPICS = tuple(topic.value for topic in Topic)
# Dead letters, in one partition: the number of a letter is its offset + 1.
DEAD = "dead"
# Compacted: state of the sources, and what the books need beside committed offsets.
SOURCES = "sources"
BOOKS = "books"
ALL_TOPICS = (*FLOW_TOPICS, DEAD, SOURCES, BOOKS)


class Layout:
    """The topics as they are on the broker. Both clients place keys by it: their own rules differ."""

    def __init__(self, settings: KafkaSettings, infos: Mapping[str, TopicInfo]) -> None:
        """Use `of_broker` instead."""
        self._prefix = settings.prefix
        self._infos = {name.removeprefix(self._prefix): info for name, info in infos.items()}

    @staticmethod
    def of_broker(broker: Broker, settings: KafkaSettings) -> Layout:
        """Ask the broker for the topics.

        Raises:
            ConfigError: some are missing.
            RetryLater: it does not answer.
        """
        infos = broker.topics(settings.prefix + topic for topic in ALL_TOPICS)
        missing = [settings.prefix + topic for topic in ALL_TOPICS if settings.prefix + topic not in infos]
        if missing:
            raise ConfigError(f"{settings.where} has no topic {', '.join(missing)}: `soundings setup` creates them")
        return Layout(settings, infos)

    def name(self, topic: str) -> str:
        """Give a topic's name on the broker.

        Raises:
            ValueError: the log has no such topic.
        """
        if topic not in self._infos:
            raise ValueError(f"found topic {topic!r}, expected one of {', '.join(self._infos)}")
        return self._prefix + topic

    def topic(self, place: Place) -> str:
        """Give the topic of a place in our words."""
        return place.topic.removeprefix(self._prefix)

    def topic_id(self, topic: str) -> str:
        """Give what tells a topic from an earlier one of its name."""
        return self._infos[topic].topic_id

    def places(self, topic: str) -> Sequence[Place]:
        """Give all partitions of a topic."""
        name = self.name(topic)
        return [Place(name, partition) for partition in range(self._infos[topic].partitions)]

    def place(self, topic: str, key: str) -> Place:
        """Give the partition of a key, always the same."""
        return Place(self.name(topic), crc32(key.encode("utf-8", "surrogatepass")) % self._infos[topic].partitions)

    def group(self, group: str) -> str:
        """Give a group's name on the broker."""
        return self._prefix + group
