"""What a reader of Mastodon remembers: where each timeline was read to, what was given, and which post has which id."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

# A post that several instances give, or that is given again after a reconnection, is given once. A firehose of
# 20 posts/s fills this in an hour.
MAX_GIVEN = 65_536
# Local ids of posts that nobody listens for: their removals would be filtered anyway.
MAX_PASSING = 65_536
# Local ids of posts that name a brand, kept in the cursor too: about 40 bytes each when packed.
MAX_KEPT = 300
_MAX_CURSOR_BYTES = 1024 * 1024
_VERSION = 1

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class Position:
    """How far one timeline was read: the id of its newest post, and when something last came (ms since 1970)."""

    newest_id: str = ""
    heard_ms: int = 0


@dataclass(slots=True)
class Memory:
    """The positions of all timelines and the bounded maps. Not thread-safe."""

    positions: dict[str, Position] = field(default_factory=dict)
    _given: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)
    _passing: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _kept: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _packed: str | None = None

    def is_new(self, uri: str, revision: str) -> bool:
        """Tell whether this revision of a post was not given before, and remember it."""
        key = (uri, revision)
        if key in self._given:
            self._given.move_to_end(key)
            return False
        _put(self._given, key, None, MAX_GIVEN)
        return True

    def learn(self, host: str, local_id: str, uri: str, *, keep: bool) -> None:
        """Remember the id that an instance uses for a post; with `keep` across restarts."""
        name = f"{host}/{local_id}"
        if not keep:
            _put(self._passing, name, uri, MAX_PASSING)
        elif self._kept.get(name) != uri:
            _put(self._kept, name, uri, MAX_KEPT)
            self._packed = None

    def uri(self, host: str, local_id: str) -> str | None:
        """Give the address of a post by the id that an instance uses for it, where it is known."""
        name = f"{host}/{local_id}"
        return self._kept.get(name) or self._passing.get(name)

    def cursor(self) -> str:
        """Write it down, without what was given and what passes."""
        if self._packed is None:
            lines = "\n".join(f"{name} {uri}" for name, uri in self._kept.items())
            self._packed = b64encode(zlib.compress(lines.encode("utf-8", "replace"), 6)).decode("ascii")
        at = {key: [position.newest_id, position.heard_ms] for key, position in self.positions.items()}
        return json.dumps({"v": _VERSION, "at": at, "ids": self._packed}, separators=(",", ":"))


def _put(into: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    into[key] = value
    into.move_to_end(key)
    if len(into) > limit:
        into.popitem(last=False)


def read_cursor(cursor: str) -> Memory | None:
    """Read what `Memory.cursor` wrote; None for what it did not write."""
    try:
        found = json.loads(cursor)
        if found["v"] != _VERSION:
            return None
        memory = Memory()
        for key, (newest_id, heard_ms) in found["at"].items():
            memory.positions[str(key)] = Position(str(newest_id), int(heard_ms))
        unpacked = zlib.decompressobj().decompress(b64decode(found["ids"]), _MAX_CURSOR_BYTES)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
        return None
    for line in unpacked.decode("utf-8", "replace").splitlines():
        name, _, uri = line.partition(" ")
        host, _, local_id = name.rpartition("/")
        memory.learn(host, local_id, uri, keep=True)
    return memory
