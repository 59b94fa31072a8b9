"""A broker that dies on command: the process is gone before or after what it was about to do, as far as Kafka knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from stream.kafka_broker import Broker, Committed, Place, Subscriber, ToSend

When = Literal["before", "after"]


class Cut(Exception):
    """The process is dead. Nothing in the code under test catches this."""


class CuttingBroker:
    """Passes everything on to a real broker until a step it was told of: then raises `Cut` before or after it.

    Steps are named: appending by the topic's name without its prefix, and `commit`.
    """

    def __init__(self, broker: Broker, prefix: str) -> None:
        self._broker, self._prefix = broker, prefix
        self._met: Counter[str] = Counter()
        self._at = ("", 0, "before")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def cut(self, step: str, when: When = "after", *, nth: int = 1) -> None:
        """Die at the nth step of this name from now on."""
        self._met.clear()
        self._at = (step, nth, when)

    def mend(self) -> None:
        self._at = ("", 0, "before")

    def step(self, name: str, call: Callable[[], Any]) -> Any:
        self._met[name] += 1
        here = (name, self._met[name]) == self._at[:2]
        if here and self._at[2] == "before":
            raise Cut
        result = call()
        if here:
            raise Cut
        return result

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        if not records:
            return []
        return self.step(records[0].place.topic.removeprefix(self._prefix), lambda: self._broker.send(records))

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        return _CuttingSubscriber(self, self._broker.subscriber(group, topics))  # type: ignore[return-value]


class _CuttingSubscriber:
    def __init__(self, broker: CuttingBroker, subscriber: Subscriber) -> None:
        self._broker, self._subscriber = broker, subscriber

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscriber, name)

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        self._broker.step("commit", lambda: self._subscriber.commit(offsets))
