"""What a reader of X keeps in its cursor: how far it read, what it spent, and the posts whose removal it asks about."""

from __future__ import annotations

import json
import zlib
from array import array
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime

from domain.clock import from_ms, to_ms
from ingest.x_budget import Meter

# The newest posts, of which removals are asked for; about 9 bytes each in the cursor.
MAX_KEPT_IDS = 3_000
_VERSION = 1


@dataclass(slots=True)
class XState:
    """The cursor of X. Not thread-safe."""

    newest_id: int = 0
    heard_ms: int = 0
    checked_ms: int = 0
    meter: Meter = field(default_factory=Meter)
    # Ids of posts by which they are known, oldest first.
    ids: dict[int, None] = field(default_factory=dict)
    _packed: str | None = None

    @property
    def heard_at(self) -> datetime | None:
        """When something last came; None when nothing ever did."""
        return from_ms(self.heard_ms) if self.heard_ms else None

    def heard(self, now: datetime) -> None:
        """Something came."""
        self.heard_ms = to_ms(now)

    def keep(self, number: int) -> None:
        """Remember a post."""
        if number not in self.ids:
            self.ids[number] = None
            if len(self.ids) > MAX_KEPT_IDS:
                del self.ids[next(iter(self.ids))]
            self._packed = None

    def drop(self, number: int) -> None:
        """A post is gone."""
        if number in self.ids:
            del self.ids[number]
            self._packed = None

    def cursor(self) -> str:
        """Write it down."""
        if self._packed is None:
            self._packed = b64encode(zlib.compress(array("q", self.ids).tobytes(), 1)).decode("ascii")
        return json.dumps(
            {
                "v": _VERSION,
                "id": self.newest_id,
                "at": self.heard_ms,
                "checked": self.checked_ms,
                "day": self.meter.day,
                "spent": self.meter.spent,
                "ids": self._packed,
            },
            separators=(",", ":"),
        )


def read_state(cursor: str) -> XState | None:
    """Read what `XState.cursor` wrote; None for what it did not write."""
    try:
        found = json.loads(cursor)
        if found["v"] != _VERSION:
            return None
        state = XState(int(found["id"]), int(found["at"]), int(found["checked"]))
        state.meter = Meter(str(found["day"]), float(found["spent"]))
        ids = array("q")
        ids.frombytes(zlib.decompressobj().decompress(b64decode(found["ids"]), 8 * MAX_KEPT_IDS))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, zlib.error):
        return None
    state.ids = dict.fromkeys(ids)
    return state
