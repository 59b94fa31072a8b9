"""Going on in a stream of Jetstream: from where to ask, what of the overlap is known, and what was missed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from ingest.jetstream import Place, StreamEvent, micros_of, moment_of
from ingest.source import Gap

# A server of version 1 starts at what it still has without a word. Events that are further apart than this, when they
# come from what it kept, are a hole; so is what lies behind anything older than servers are known to keep.
HOLE_MICROS = 60 * 10**6
KEPT_MICROS = 24 * 3600 * 10**6
_BACKLOG_MICROS = 2 * 10**6
# A place further ahead of our clock than this is a mistake of somebody's clock: nothing before it is taken for known.
_AHEAD_MICROS = 2 * 10**6
# Twenty minutes of Bluesky as it is; more than the rewind even at 2,000 events a second.
RECENT_EVENTS = 65_536


class Recent:
    """The events that were seen last, to tell repeats."""

    def __init__(self, most: int = RECENT_EVENTS) -> None:
        self._most = most
        self._keys: set[int] = set()
        self._order: deque[int] = deque()

    def add(self, key: int) -> bool:
        """Take an event in; False when it is known."""
        if key in self._keys:
            return False
        self._keys.add(key)
        self._order.append(key)
        if len(self._order) > self._most:
            self._keys.discard(self._order.popleft())
        return True


@dataclass(slots=True)
class Resume:
    """How one connection goes on after `place`.

    `cursor` is what the server is asked for. `by_seq`: the number of the last event is asked for, which comes once more
    and shows that the server counts as it did. `is_same`: the server is the one that the place is of.
    """

    place: Place
    server: str = ""
    cursor: int = 0
    by_seq: bool = False
    is_same: bool = False
    version: int = 2
    connected_micros: int = 0
    # The server has said that it keeps nothing so old, or its number for our place is of no use.
    is_outdated: bool = False
    distrusts_seq: bool = False
    _is_first: bool = True
    _in_overlap: bool = True
    _is_over: bool = False
    _met: int = 0

    def again(self, place: Place, server: str, version: int, now: datetime, rewind_seconds: float) -> Resume:
        """Give how the next connection goes on, with what this one has learnt."""
        micros = micros_of(now)
        # What was learnt is about this very place at this very server.
        learnt = self.place == place and self.server == server
        distrusts, outdated = learnt and self.distrusts_seq, learnt and self.is_outdated
        by_seq = place.server == server and place.seq > 0 and not distrusts
        # A server that counts anew may have seen everything at another time, too.
        is_same = by_seq or (place.server == server and place.seq == 0 and place.version == version)
        is_same = is_same and (by_seq or place.micros <= micros + _AHEAD_MICROS)
        if by_seq:
            cursor = place.seq
        elif is_same:
            cursor = place.micros
        else:
            cursor = max(1, min(place.micros, micros) - int(rewind_seconds * 10**6))
        return Resume(place, server, cursor, by_seq, is_same, version, micros, outdated, distrusts)

    def take_notice(self, name: str) -> bool:
        """Hear what the server says of the place that was asked for; True: connect again, by time."""
        if name in ("OutdatedCursor", "CursorTooOld"):
            self.is_outdated = True
        if self.by_seq and name in ("FutureCursor", "CursorTooOld"):
            self.distrusts_seq = True
            return True
        return False

    def is_lost(self, event: StreamEvent) -> bool:
        """Tell whether the first event shows that the server no longer counts as it did: connect again, by time."""
        if not (self._is_first and self.by_seq):
            return False
        self._is_first = False
        if (event.seq, event.micros) == (self.place.seq, self.place.micros):
            return False
        self.distrusts_seq = True
        return True

    def covers(self, event: StreamEvent) -> bool:
        """Tell whether an event lies before the place, and so is known."""
        if not self._in_overlap:
            return False
        place = self.place
        if event.micros <= place.micros:
            # The server reaches back to the place, so nothing is missing after it: also where it kept less than the
            # rewind asked for.
            self._is_over = True
        if self.by_seq:
            known = event.seq <= place.seq
        elif not self.is_same:
            known = event.micros < self.cursor
        elif event.micros == place.micros and self._met < place.nth:
            self._met += 1
            return True
        else:
            known = event.micros < place.micros
        self._in_overlap = known
        return known

    def gap(self, event: StreamEvent) -> Gap | None:
        """Give the gap before the first event that is new; None where there is none, and after that."""
        if self._is_over:
            return None
        self._is_over = True
        start, end = self.place.micros, event.micros
        if end <= start:
            return None
        if self.is_outdated:
            reason = "the server no longer kept what came before"
        elif self.version == 1 and not self.by_seq and end - start > HOLE_MICROS and self._is_hole(start, end):
            reason = "the server gave nothing of it"
        else:
            return None
        return Gap(start=moment_of(start), end=moment_of(end), reason=reason)

    def _is_hole(self, start: int, end: int) -> bool:
        from_backlog = end < self.connected_micros - _BACKLOG_MICROS
        return from_backlog or self.connected_micros - start > KEPT_MICROS
