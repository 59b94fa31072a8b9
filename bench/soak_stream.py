"""What the Jetstream of `bench.live_soak` says, and what it was asked for: all that the books are checked against.

One thread says everything; the server's threads only send it and note who asked for what.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from fakes.live_bluesky import SOMEBODY, JetstreamWorld, iso, now_micros, serve_jetstream, tid
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from ingest.jetstream import COLLECTION, MAX_FRAME_BYTES

BRANDS = ("acme", "globex")
_MOODS = ("love {b}, great", "{b} is terrible and broken", "a {b} stood there", "hate {b}", "{b} works fine")
_OTHERS = ("rain again today", "what a goal", "my cat sleeps", "nothing new here", "the train is late")
# Numbers of events: each time the server is set up anew, it counts in a range of its own below all former ones.
_FIRST_NUMBER = 10**12
_RANGE = 10**9

Said = Literal["create", "update", "delete", "identity", "bad"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was said: of post `n`, of the time `revision` (microseconds), sent at the time `micros`.

    Copies of an event have its `key`. Of a create or an update: `text`, and the `brands` that it names.
    """

    key: int
    kind: Said
    n: int
    micros: int
    revision: int = 0
    text: str = ""
    brands: tuple[str, ...] = ()
    payload: bytes = b""


@dataclass(slots=True)
class Ask:
    """Somebody asked for the stream after `cursor`: a number, or a time. `began`: the first event he was offered."""

    cursor: int
    began: int | None = None


@dataclass(slots=True)
class _Post:
    n: int
    created: int
    names: bool


@dataclass
class Stream(JetstreamWorld):
    """A server of version 2 that is heard for long: it keeps what it said, and what it was asked for.

    Say things from one thread alone.
    """

    versions: tuple[int, ...] = (2,)
    seq: int = _FIRST_NUMBER
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    said: list[Event] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    _starts: list[int] = field(default_factory=lambda: [_FIRST_NUMBER])
    _serving: ExitStack = field(default_factory=ExitStack)
    _named: deque[_Post] = field(default_factory=lambda: deque(maxlen=2_000))
    _other: deque[_Post] = field(default_factory=lambda: deque(maxlen=500))
    _last: int = 0
    _posts: int = 0
    _keys: int = 0

    # Serving.

    def start(self) -> None:
        """Serve, on the same port as before."""
        port = int(self.address.rpartition(":")[2] or 0)
        self._serving.enter_context(serve_jetstream(self, port))

    def stop(self) -> None:
        """Hear nobody any more; whoever listened is cut off."""
        self._serving.close()

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        asked = parse_qs(urlsplit(request.path).query).get("cursor", ["0"])
        with self.changed:
            self.asks.append(Ask(int(asked[0])))
        return super().admit(connection, request)

    def _start(self, cursor: int) -> tuple[int, str]:
        at, notice = super()._start(cursor)
        self.asks[-1].began = at
        return at, notice

    def place(self, number: int) -> int | None:
        """Give which event had this number, also before the server counted anew; None for a time."""
        if number >= 10**15:
            return None
        start = next(start for start in self._starts if start < number < start + _RANGE)
        return number - start - 1

    def count_anew(self) -> None:
        """Be set up anew: the same events get other numbers."""
        with self.changed:
            self._starts.append(self._starts[-1] - _RANGE)
            for event in self.happened:
                event.seq -= _RANGE
            self.seq -= _RANGE

    def forget(self) -> None:
        """Keep nothing of what was said until now."""
        self.floor = self._tick()

    # Saying.

    def _tick(self) -> int:
        self._last = max(self._last + 1, now_micros())
        return self._last

    def _key(self) -> int:
        self._keys += 1
        return self._keys

    def say(self) -> None:
        """Have something happen as it does on the network."""
        dice = self.rng.random()
        pool = self._named if self.rng.random() < 0.8 else self._other
        if dice >= 0.08 or not pool:
            self.write(names=self.rng.random() < 0.055)
        elif dice < 0.045:
            self._edit(self.rng.choice(pool))
        elif dice < 0.07:
            self._delete(pool)
        else:
            self._rename()

    def write(self, *, names: bool, early: int = 0) -> None:
        """Have a post appear; `early`: by so many microseconds it is older than what was said before it."""
        self._posts += 1
        micros = self._tick() - early
        text, brands = self._text(self._posts, names=names)
        self.post(self._posts, {"text": text}, micros=micros)
        self._note("create", self._posts, micros, micros, text, brands)
        post = _Post(self._posts, micros, names)
        (self._named if names else self._other).append(post)

    def _text(self, n: int, *, names: bool) -> tuple[str, tuple[str, ...]]:
        if not names:
            return f"{self.rng.choice(_OTHERS)} number {n}.{self._keys}", ()
        brands = self.rng.choice(((BRANDS[0],), (BRANDS[1],), BRANDS))
        said = ". ".join(self.rng.choice(_MOODS).format(b=brand.capitalize()) for brand in brands)
        return f"{said} number {n}.{self._keys}", brands

    def _edit(self, post: _Post, *, names: bool | None = None, revision: int | None = None) -> None:
        micros = self._tick()
        text, brands = self._text(post.n, names=self.rng.random() < 0.7 if names is None else names)
        record = {"text": text, "createdAt": iso(post.created)}
        revision = revision or micros
        self.post(post.n, record, operation="update", micros=micros, rev=tid(revision))
        # An edit counts as a millisecond later than its post at least.
        self._note("update", post.n, micros, max(revision, post.created + 1_000), text, brands)

    def _delete(self, pool: deque[_Post]) -> None:
        post = self.rng.choice(pool)
        pool.remove(post)
        for _ in range(2 if self.rng.random() < 0.1 else 1):
            micros = self._tick()
            self.post(post.n, None, operation="delete", micros=micros)
            self._note("delete", post.n, micros, micros)

    def _rename(self) -> None:
        micros = self._tick()
        self.happen("identity", {"did": SOMEBODY, "time": iso(micros), "handle": "somebody.example.com"}, micros=micros)
        self.said.append(Event(self._key(), "identity", 0, micros))

    def _note(
        self, kind: Said, n: int, micros: int, revision: int, text: str = "", brands: tuple[str, ...] = ()
    ) -> None:
        self.said.append(Event(self._key(), kind, n, micros, revision, text, brands))

    def say_bad(self) -> None:
        """Have a frame sent that no event can be read from; no two are the same."""
        number = self._key()
        payload = self.rng.choice((
            b'{"$type": "message", "payload": {"seq": %d, "did": "did:plc:' % number,
            b"[%d]" % number,
            b'{"$type": "message", "payload": {"number": %d}}' % number,
            b'{"kind": "commit", "time_us": "soon", "number": %d}' % number,
            b'{"number": %d, "padding": "%s"}' % (number, b"x" * MAX_FRAME_BYTES),
        ))  # fmt: skip
        micros = self._tick()
        self.frame(payload)
        self.said.append(Event(number, "bad", 0, micros, payload=payload))

    def say_again(self, number: int) -> None:
        """Have events of the last seconds come once more, as new ones."""
        recent = range(max(0, len(self.said) - 2_000), len(self.said))
        for at in sorted(self.rng.sample(recent, min(number, len(recent)))):
            event, happened = self.said[at], self.happened[at]
            if event.kind not in ("bad", "identity"):
                self.happen(happened.kind, happened.detail, did=happened.did, micros=happened.micros)
                self.said.append(event)

    def say_out_of_order(self, number: int) -> None:
        """Have posts come later than younger ones, and edits after the edits that replaced them."""
        for _ in range(number):
            self.write(names=self.rng.random() < 0.5, early=self.rng.randrange(1_000, 400_000))
        settled = [post for post in self._named if self._last - post.created > 2_000_000]
        for post in self.rng.sample(settled, min(number, len(settled))):
            self._edit(post, names=True)
            self._edit(post, names=True, revision=self.said[-1].revision - 50_000)


def micros_of(events: Sequence[Event], at: int) -> int:
    """Give the time of the first event from `at` on that can be read."""
    return next(event.micros for event in events[at:] if event.kind != "bad")


__all__ = ["BRANDS", "COLLECTION", "SOMEBODY", "Ask", "Event", "Stream", "micros_of"]
