"""Removals of what we never had, remembered for a while: a post or author that comes after its removal stays away.

A firehose deletes two hundred posts a second, nearly all of them never ours, so none of them gets a row of its own: a
hash of eight bytes goes into a ring of rows, of which the oldest is written over (decision 0017).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from stream.protocol import Log, StateWrite

SPACE = "removed"
# 131,072 removals: eleven minutes of a source that deletes 200 a second, and 1 MB; hours or days of any other.
SLOTS = 512
REMOVALS_A_SLOT = 256
_HASH_BYTES = 8
_NUMBER_BYTES = 8


class RemovedRing:
    """The ring of one source, of which only its reader may write. Not thread-safe.

    What was noted is durable once `writes` is settled; where that failed, the ring must be read again.
    """

    def __init__(self, log: Log, source: str) -> None:
        self._source = source
        # In which row, by its number, each was noted last.
        self._noted: dict[int, int] = {}
        rows = log.state(SPACE, [self._key(slot) for slot in range(SLOTS)]).values()
        self._rows = dict(sorted(_read(raw) for raw in rows))
        self._number = max(self._rows, default=0)
        for number, marks in self._rows.items():
            for mark in marks:
                self._apply(number, mark)
        self._changed: set[int] = set()

    def add(self, kind: Literal["post", "author"], key: str) -> None:
        """Note a removal."""
        mark = _mark(kind, key)
        if mark not in self._noted:
            self._append(mark)

    def discard(self, kind: Literal["post", "author"], key: str) -> None:
        """Note that it was taken back."""
        mark = _mark(kind, key)
        if mark in self._noted:
            self._append(mark | 1)

    def holds(self, kind: Literal["post", "author"], key: str) -> bool:
        """Tell whether a removal is remembered."""
        return _mark(kind, key) in self._noted

    def __len__(self) -> int:
        return len(self._noted)

    def writes(self) -> list[StateWrite]:
        """Give what must be settled since the last call."""
        writes = [
            StateWrite(SPACE, self._key(number % SLOTS), _written(number, self._rows[number]))
            for number in sorted(self._changed)
            if number in self._rows
        ]
        self._changed.clear()
        return writes

    def _append(self, mark: int) -> None:
        if len(self._rows.get(self._number, ())) >= REMOVALS_A_SLOT:
            self._number += 1
            for old in self._rows.pop(self._number - SLOTS, ()):
                if self._noted.get(old) == self._number - SLOTS:
                    del self._noted[old]
        self._rows.setdefault(self._number, []).append(mark)
        self._changed.add(self._number)
        self._apply(self._number, mark)

    def _apply(self, number: int, mark: int) -> None:
        if mark & 1:
            self._noted.pop(mark ^ 1, None)
        else:
            self._noted[mark] = number

    def _key(self, slot: int) -> str:
        return f"{self._source}/{slot}"


def _mark(kind: str, key: str) -> int:
    """Give an even number for a removal; the odd one after it takes it back."""
    digest = blake2b(f"{kind}\n{key}".encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big") & ~1


def _written(number: int, marks: list[int]) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + b"".join(mark.to_bytes(_HASH_BYTES, "big") for mark in marks)


def _read(raw: bytes) -> tuple[int, list[int]]:
    places = range(_NUMBER_BYTES, len(raw), _HASH_BYTES)
    marks = [int.from_bytes(raw[place : place + _HASH_BYTES], "big") for place in places]
    return int.from_bytes(raw[:_NUMBER_BYTES], "big"), marks
