"""Listen for a while to a server that fails all the time, killed now and then: the books must come out exact.

`python -m bench.live_soak --minutes 20`: `soundings up` listens to a Jetstream of our own, every twenty seconds one
fault. In the end every post that was said is in the books and in the store as it should be, or lies in a gap that is on
record; what a process heard again, since it could not know that the one before it had heard it, is told from what the
server was asked for. Exit code 1 at any difference.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fakes.live_worlds import Fault  # noqa: E402

from bench.soak_books import Expected, expect, hearing  # noqa: E402
from bench.soak_stream import Stream  # noqa: E402
from bench.soak_up import PATIENCE_SECONDS, Up, is_alive, megabytes, wait_for, wait_until  # noqa: E402
from domain.clock import to_ms  # noqa: E402
from domain.errors import ServiceError  # noqa: E402
from domain.records import Event, Outcome, Retraction, Topic  # noqa: E402
from ingest.jetstream import read_place  # noqa: E402
from ingest.runner import books_of, saved_cursor  # noqa: E402
from ingest.stage import PARKED_SPACE, parked_key  # noqa: E402
from search.embedded import TRUTH_FILE, EmbeddedStore  # noqa: E402
from search.truth import Truth  # noqa: E402
from service.data_folder import DataFolder  # noqa: E402
from stream.codec import decode  # noqa: E402
from stream.embedded import EmbeddedLog  # noqa: E402
from stream.protocol import LIVE_RUN  # noqa: E402

# The pipeline with the tiny engine, nine minutes and 167,000 posts after it was started: 347 MB; caches still filled.
MOST_MEGABYTES = 450.0
_TICK_SECONDS = 0.02
_USUAL_SECONDS = 20.0
_PAGE = 500


@dataclass
class Soak:
    """One run: the server says what is due, faults come when they are due; all in this thread."""

    stream: Stream
    up: Up
    rng: random.Random
    rate: float
    every: float
    # To come, in this order; then it ends. None: all of them over and over, in any order, until the time is up.
    planned: list[str] | None = None
    lives: list[int] = field(default_factory=lambda: [0])
    faults: Counter[str] = field(default_factory=Counter)
    peak: dict[str, float] = field(default_factory=dict)
    _coming: list[str] = field(default_factory=list)
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: int = 0
    _said: int = 0
    _pipeline: int = 0

    def run(self, seconds: float) -> None:
        """Say things and fail for so long, then wait until all that was said is settled."""
        self.up.start()
        wait_for(lambda: bool(self.stream.open), "the first connection")
        began = time.monotonic()
        fault_at, looked = began + self.every, 0.0
        while (now := time.monotonic()) < began + seconds and (self.planned != [] or now < fault_at):
            while self._said < (now - began) * self.rate:
                self.stream.say()
                self._said += 1
            while self._later and self._later[0][0] <= now:
                heapq.heappop(self._later)[2]()
            if now >= fault_at and not self._later and self.stream.open and "pipeline" in self.up.children():
                # A fault that meets nobody would be none.
                self._fail()
                fault_at = max(fault_at + self.every, now + self.every / 2)
            elif now > fault_at + PATIENCE_SECONDS:
                raise SystemExit(f"nobody listens any more:\n{self.up.told()[-3000:]}")
            if now - looked > 0.5:
                looked = now
                self._look()
            time.sleep(_TICK_SECONDS)
        while self._later:
            time.sleep(max(0.0, self._later[0][0] - time.monotonic()))
            heapq.heappop(self._later)[2]()
        self.stream.write(names=True)
        wait_for(self._is_done, "the end of what was said")

    def _look(self) -> None:
        """Note memory, and see that nothing ended that was not killed."""
        children = self.up.children()
        for role, pid in children.items():
            self.peak[role] = max(self.peak.get(role, 0.0), megabytes(pid))
        pid = children.get("pipeline", 0)
        if pid and self._pipeline and pid != self._pipeline:
            raise SystemExit(f"the pipeline ended, and nobody had killed it:\n{self.up.told()[-3000:]}")
        self._pipeline = pid or self._pipeline

    def settled(self) -> int:
        """Give how many events lie before the place that is durable."""
        with closing(EmbeddedLog.open(DataFolder(self.up.data).log, read_only=True)) as log:
            cursor, _ = saved_cursor(log, "bluesky")
        place = None if cursor is None else read_place(cursor)
        at = None if place is None else self.stream.place(place.seq)
        return 0 if at is None else at + 1

    def _is_done(self) -> bool:
        self._look()
        if self.settled() < len(self.stream.said):
            return False
        with closing(EmbeddedLog.open(DataFolder(self.up.data).log, read_only=True)) as log:
            topics = (("enrich", "posts"), ("index", "mentions"), ("events", "events"))
            return not any(log.lag(group, (topic,)) for group, topic in topics)

    # Faults.

    def _fail(self) -> None:
        if self.planned is not None:
            name = self.planned.pop(0)
        else:
            if not self._coming:
                self._coming = list(FAULTS)
                self.rng.shuffle(self._coming)
            name = self._coming.pop()
        self.faults[name] += 1
        what, meet = FAULTS[name]
        print(f"{datetime.now(UTC):%H:%M:%S} {len(self.stream.said):>9,} events; {what}", flush=True)
        meet(self)

    def _after(self, least: float, most: float, what: Callable[[], None]) -> None:
        """Do something in some seconds; in fewer where faults come more often than usual."""
        wait = self.rng.uniform(least, most) * min(1.0, self.every / _USUAL_SECONDS)
        self._numbers += 1
        heapq.heappush(self._later, (time.monotonic() + wait, self._numbers, what))

    def restart(self) -> None:
        self.stream.stop()
        self._after(0.5, 4.0, self.stream.start)

    def set_up_anew(self) -> None:
        self.stream.stop()
        self.stream.count_anew()
        self._after(0.5, 4.0, self.stream.start)

    def lose(self) -> None:
        def back() -> None:
            self.stream.forget()
            self.stream.start()

        self.stream.stop()
        self._after(2.0, 5.0, back)

    def malformed(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.stream.say_bad()

    def stall(self) -> None:
        pid = self.up.children()["pipeline"]
        os.kill(pid, signal.SIGSTOP)
        self._after(2.0, 6.0, lambda: os.kill(pid, signal.SIGCONT))

    def kill_pipeline(self) -> None:
        pid = self.up.children()["pipeline"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), "the end of the pipeline")
        self._died()

    def kill_page(self) -> None:
        if pid := self.up.children().get("web"):
            os.kill(pid, signal.SIGKILL)

    def kill_up(self) -> None:
        self.up.kill()
        self._died()
        self._after(0.5, 4.0, self.up.start)

    def kill_both(self) -> None:
        """Kill it while the server is set up anew: what is heard again is counted again."""
        self.stream.stop()
        self.up.kill()
        self._died()
        self.stream.count_anew()
        self.stream.start()
        self._after(0.5, 4.0, self.up.start)

    def _died(self) -> None:
        # Whoever asks from now on knows nothing but what is durable. Starting takes longer than what the server's
        # threads may still have to note of the one that is gone.
        time.sleep(0.1)
        self.lives.append(len(self.stream.asks))
        self._pipeline = 0


# Name -> what it is, and what is done.
FAULTS: dict[str, tuple[str, Callable[[Soak], None]]] = {
    "cut": ("connection cut in the middle of a message", lambda soak: soak.stream.fail(Fault.CUT)),
    "silent": ("connection that says nothing any more", lambda soak: soak.stream.fail(Fault.STALE)),
    "429-later": ("429 with Retry-After", lambda soak: soak.stream.fail(Fault.TOO_MANY)),
    "429": ("429 without Retry-After", lambda soak: soak.stream.fail(Fault.TOO_MANY_SILENT)),
    "503": ("503", lambda soak: soak.stream.fail(Fault.BROKEN)),
    "malformed": ("malformed frames", Soak.malformed),
    "again": ("50 events redelivered", lambda soak: soak.stream.say_again(50)),
    "order": ("posts and edits out of order", lambda soak: soak.stream.say_out_of_order(20)),
    "restart": ("server started again", Soak.restart),
    "anew": ("server set up anew, with other numbers", Soak.set_up_anew),
    "lose": ("server down, and it kept nothing of that time", Soak.lose),
    "stall": ("pipeline stopped for seconds (SIGSTOP)", Soak.stall),
    "kill-pipeline": ("pipeline killed", Soak.kill_pipeline),
    "kill-page": ("page killed", Soak.kill_page),
    "kill-up": ("all of it killed", Soak.kill_up),
    "kill-up-anew": ("all of it killed, and the server set up anew", Soak.kill_both),
}


@dataclass
class Found:
    """What log and store hold in the end. `letters`: payload -> how often it was parked.

    `bad_again` is how often what was parked came once more, which the books hold as duplicate.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    stages: dict[str, Counter[Outcome]] = field(default_factory=dict)
    letters: Counter[bytes] = field(default_factory=Counter)
    bad_again: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    stored_gaps: list[tuple[int, int]] = field(default_factory=list)
    texts: Counter[tuple[str, str]] = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)


def find(data: Path) -> Found:
    """Read what is durable; nothing else has the folder open."""
    found = Found()
    with closing(EmbeddedLog.open(DataFolder(data).log, read_only=True)) as log:
        found.outcomes = Counter(books_of(log, LIVE_RUN).outcomes)
        for count in log.counts():
            found.stages.setdefault(count.stage, Counter())[count.outcome] += count.number
        number = 0
        while rows := log.dead_letters(after=number, limit=_PAGE, unresolved_only=False):
            number = rows[-1].number
            found.letters.update(row.letter.payload for row in rows)
        names = [parked_key(sha256(payload).hexdigest(), "bluesky") for payload in found.letters]
        found.bad_again = sum(map(int, log.state(PARKED_SPACE, names).values()))
        for record in log.records_of(Topic.EVENTS.value, "bluesky"):
            event = record.read()
            if isinstance(event, Event) and event.kind == "gap":
                found.gaps.append((int(event.detail["start_ms"] or 0), int(event.detail["end_ms"] or 0)))
    with closing(EmbeddedStore.open(DataFolder(data).store, read_only=True)) as store:
        everything = store.gaps(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        found.stored_gaps = [(to_ms(gap.start), to_ms(gap.end)) for gap in everything]
    with closing(Truth(DataFolder(data).store / TRUTH_FILE, read_only=True)) as truth:
        for kept in truth.mentions():
            mention = decode(kept.json)
            found.texts[mention.mention_id, mention.text] += 1  # type: ignore[union-attr]
        found.gone = {one.post_id for one in truth.tombstones() if isinstance(one, Retraction)}
    return found


def differences(expected: Expected, found: Found, said: int, shown: int) -> list[str]:
    """Compare; one line for each difference."""
    lines = list(expected.problems)

    def same(what: str, wanted: object, is_found: object) -> None:
        if wanted != is_found:
            lines.append(f"{what}: expected {wanted}, found {is_found}")

    books = found.outcomes - Counter({Outcome.DUPLICATE: found.bad_again})
    for outcome in (Outcome.OK, Outcome.FILTERED, Outcome.DUPLICATE):
        same(outcome.value, expected.outcomes[outcome], books[outcome])
    same("frames parked twice", len(found.letters), found.letters.total())
    same("parked", found.letters.total(), found.outcomes[Outcome.PARKED])
    for payload, number in found.letters.items():
        if payload not in expected.bad:
            lines.append(f"a frame of {len(payload)} bytes was parked {number} times, and was never sent as one")
    unseen = [key for payload, key in expected.bad.items() if payload not in found.letters]
    for key in unseen:
        if key not in expected.missed:
            lines.append(f"malformed frame {key} was neither parked nor lost")
    same("gaps", sorted(set(expected.gaps)), sorted(found.gaps))
    same("gaps in the store", sorted(set(expected.gaps)), sorted(found.stored_gaps))
    wanted = Counter(expected.texts.items())
    same("mentions missing", [], list((wanted - found.texts).items())[:5])
    same("mentions too many, or twice", [], list((found.texts - wanted).items())[:5])
    same("posts deleted", [], sorted(expected.gone ^ found.gone)[:5])
    same("mentions on the page", len(expected.texts), shown)
    for stage in ("enrich", "index"):
        same(f"{stage}, parked", 0, found.stages[stage][Outcome.PARKED])
    same("enrich, in", found.outcomes[Outcome.OK], found.stages["enrich"].total())
    first = expected.outcomes - expected.again
    lost = expected.missed - {expected.bad[payload] for payload in found.letters if payload in expected.bad}
    same("sent", said, first.total() + len(found.letters) + len(lost))
    return lines


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Give a folder: the one to be kept, or one that goes."""
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="soundings-soak-") as name:
        yield Path(name)


def summary(expected: Expected, found: Found, said: int, soak: Soak) -> dict[str, object]:
    """Give the figures."""
    first, again = expected.outcomes - expected.again, expected.again
    lost = said - first.total() - len(found.letters)
    return {
        "faults": soak.faults.total(),
        "connections": len(soak.stream.asks),
        "kills": len(soak.lives) - 1,
        "sent": said,
        "matched": first[Outcome.OK],
        "filtered": first[Outcome.FILTERED],
        "duplicate": first[Outcome.DUPLICATE],
        "parked": len(found.letters),
        "in_gaps": lost,
        "gaps": len(found.gaps),
        "again_filtered": again[Outcome.FILTERED],
        "again_duplicate": again[Outcome.DUPLICATE] + again[Outcome.OK],
        "again_parked": found.bad_again,
        "mentions": len(expected.texts),
        "deleted": len(expected.gone),
        "peak_mb": round(max(soak.peak.values(), default=0.0)),
        "pipeline_mb": round(soak.peak.get("pipeline", 0.0)),
    }


def main(argv: Sequence[str]) -> int:
    """Soak; 0 when the books were exact."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--every", type=float, default=_USUAL_SECONDS, help="seconds from fault to fault")
    parser.add_argument("--faults", help=f"these and no others, once, by commas, then end: {', '.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep what it wrote in this new folder")
    args = parser.parse_args(argv)
    if unknown := set((args.faults or "cut").split(",")) - set(FAULTS):
        parser.error(f"--faults: there is no {', '.join(sorted(unknown))}")

    # Asked to end, it takes with it what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    with folder_of(args.folder) as folder:
        rng = random.Random(args.seed)
        stream = Stream(rng=random.Random(args.seed))
        stream.start()
        up = Up(folder, stream.address)
        planned = None if args.faults is None else args.faults.split(",")
        soak = Soak(stream, up, rng, args.rate, args.every, planned)
        try:
            soak.run(60 * args.minutes)
            expected = expect(stream, hearing(stream, soak.lives, soak.settled()))
            shown = wait_until(up.total, len(expected.texts))
            if code := up.stop():
                raise SystemExit(f"soundings up ended with {code}:\n{up.told()[-3000:]}")
        finally:
            if up.process is not None and up.process.poll() is None:
                up.process.kill()
                up.process.wait()
            stream.stop()
        found = find(up.data)
    said = len({event.key for event in stream.said if event.kind != "identity"})
    figures = summary(expected, found, said, soak)
    wrong = differences(expected, found, said, shown)
    if soak.peak.get("pipeline", 0.0) > MOST_MEGABYTES:
        wrong.append(f"memory of the pipeline: {soak.peak['pipeline']:.0f} MB, wanted: under {MOST_MEGABYTES:.0f}")
    for name, number in soak.faults.items():
        print(f"{number:>6} {FAULTS[name][0]}")
    if wrong:
        print(f"seed {args.seed}:", *wrong, sep="\n  ")
    print(json.dumps(figures | {"books": "wrong" if wrong else "exact"}))
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServiceError as exc:
        sys.exit(str(exc))
