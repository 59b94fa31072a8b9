"""What the log over Kafka asks of a client. Two adapters answer, and the clients' own types and errors end there.

Every call may raise, and nothing else than:

    RetryLater       the broker does not answer, or asks for patience
    LostPartitions   (a RetryLater) the group has moved on without this member
    Rebalancing      (a LostPartitions) it is about to, perhaps: poll, and try again what is still ours
    ConfigError      the broker refuses: wrong user, missing right, missing topic
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

from domain.errors import RetryLater

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class LostPartitions(RetryLater):
    """What was polled belongs to another member of the group by now: it must be read again, by whoever owns it."""


class Rebalancing(LostPartitions):
    """The group is sharing out its partitions: nothing can be committed until a poll has seen the end of it."""


class Place(NamedTuple):
    """A partition of a topic, by its name on the broker."""

    topic: str
    partition: int


class ToSend(NamedTuple):
    """A record to append. `value` None deletes the key from a compacted topic."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class Fetched(NamedTuple):
    """A record as the broker keeps it."""

    place: Place
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


class Committed(NamedTuple):
    """The next offset that a group will read of a partition, and up to 4,096 characters kept with it."""

    offset: int
    metadata: str


class Change(NamedTuple):
    """Partitions that a member was given, or that were taken from it."""

    kind: Literal["assigned", "revoked"]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic on the broker. `topic_id` is another one after it was deleted and created again."""

    partitions: int
    topic_id: str


class Subscriber(Protocol):
    """One member of a consumer group. It is used by one thread at a time."""

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        """Give 1 or more records once there are some, or none after the timeout; keeps the membership.

        `max_records` is 1 or more. The first call joins the group.
        """

    def joined(self) -> bool:
        """Tell whether the group gave this member its share, which may be nothing."""

    def changes(self) -> Sequence[Change]:
        """Give what a call since the last one changed about who owns what, in order."""

    def pause(self, places: Iterable[Place]) -> None:
        """Stop giving records of partitions that this member owns."""

    def resume(self, places: Iterable[Place]) -> None:
        """Give records of paused partitions again."""

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Go on with these offsets in partitions that this member owns."""

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        """Commit in one request, as the member that this is; returns once the broker has it.

        Raises:
            Rebalancing: not now; nothing was committed.
            LostPartitions: the broker knows no such member any more; nothing was committed.
        """

    def close(self) -> None:
        """Leave the group."""


class Reader(Protocol):
    """Reads given partitions outside any group. It is used by one thread at a time."""

    def assign(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on."""

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        """Give 1 or more records once there are some, or none after the timeout."""

    def positions(self) -> Mapping[Place, int]:
        """Give the next offset of each partition, past holes that compaction left."""

    def close(self) -> None:
        """Release the connection."""


class Broker(Protocol):
    """The cluster: sending, and all that is no reading. Thread-safe."""

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        """Append in order, and give the offsets once every replica that must has them.

        When it raises, any of them may have been appended.
        """

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        """Give a member of a group that reads topics; new groups begin at the beginning."""

    def reader(self) -> Reader:
        """Give a reader."""

    def topics(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        """Give those of the topics that exist."""

    def ends(self, places: Iterable[Place]) -> Mapping[Place, int]:
        """Give the offset that the next record of each partition gets."""

    def beginnings(self, places: Iterable[Place]) -> Mapping[Place, int]:
        """Give the offset of the oldest record of each partition."""

    def offsets_at(self, places: Iterable[Place], timestamp_ms: int) -> Mapping[Place, int | None]:
        """Give the first offset with this timestamp or a later one; None when there is none."""

    def group_offsets(self, group: str) -> Mapping[Place, Committed]:
        """Give all that a group committed."""

    def create_topic(self, name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> bool:
        """Create a topic; False when it is there already. `replication` -1 is the broker's default."""

    def topic_configs(self, name: str) -> Mapping[str, str]:
        """Give the settings of a topic, defaults included."""

    def broker_configs(self) -> Mapping[str, str]:
        """Give the settings of one broker, defaults included; empty when we may not see them."""

    def delete_records(self, before: Mapping[Place, int]) -> None:
        """Drop the records before these offsets."""

    def close(self) -> None:
        """Release the connections."""
