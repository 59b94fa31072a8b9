"""A removal that a live source tells of, through every stage: search, counts, export, dead letters, the ledger."""

from __future__ import annotations

import io
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from domain.aggregation import Buckets, Terms
from domain.brand import Brand
from domain.clock import SystemClock
from domain.query.ast import Everything
from domain.records import Outcome, Topic
from enrich.language import FastTextLanguage
from enrich.stage import EnrichStage
from enrich.tiny_engine import TinyEngine
from ingest.live import listen
from ingest.matching import BrandMatcher
from ingest.normalise import NormaliserSettings
from ingest.source import AuthorRemoved, Content, Extent, Item, LiveReader, RawPost, Removed, Restored, Vitals
from ingest.stage import IngestStage
from ingest.status import SourceWatch
from search.export_file import write_lines
from search.stage import IndexStage
from search.store import SearchRequest, Store
from search.transfer import Transferable
from service.forgetting import Forgetting
from stream.embedded import EmbeddedLog
from stream.protocol import RETRACTED
from stream.worker import Worker

ACME = Brand(brand_id="acme", name="Acme", query="acme")
T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Scripted:
    """A live source that says what it is told to say, and its own reader."""

    name = key = "bluesky"
    normalise = NormaliserSettings(retention=timedelta(days=365_000))

    def __init__(self) -> None:
        self.says: deque[Item] = deque()
        self._number = 0

    def say(self, *contents: Content, raw: bytes = b"{}") -> None:
        for content in contents:
            self._number += 1
            number = str(self._number)
            self.says.append(Item(position=f"bluesky:{number}", cursor=number, raw=raw, content=content))

    def can_resume(self, cursor: str) -> bool:
        return True

    def open(self, cursor: str | None) -> LiveReader:
        return self

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        raise NotImplementedError

    def read(self, max_items: int) -> Sequence[Item]:
        given = [self.says.popleft() for _ in range(min(len(self.says), max_items))]
        if not given:
            threading.Event().wait(0.01)
        return given

    def vitals(self) -> Vitals:
        return Vitals(connected=True)

    def extent(self) -> Extent | None:
        return None

    def close(self) -> None:
        pass


class Flow:
    """All stages over a real log and a real store."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store, self.clock = store, SystemClock()
        self.log = EmbeddedLog.open(folder / "log.sqlite", clock=self.clock)
        self.source = Scripted()
        self.enrich = EnrichStage(TinyEngine(), FastTextLanguage(), {"acme": ACME}, self.clock)
        self.index = IndexStage(store, self.clock)
        self.forgetting = Forgetting(self.log, store, self.clock)
        self.ingest = IngestStage(self.log, BrandMatcher((ACME,)), self.clock)
        self.taken = 0

    def pass_on(self, *contents: Content, raw: bytes = b"{}") -> None:
        """Listen until all of it is settled, then work it off."""
        self.source.say(*contents, raw=raw)
        self.taken += len(contents)
        stop = threading.Event()
        watch = SourceWatch("bluesky", self.clock)
        thread = threading.Thread(
            target=listen,
            args=(self.source, self.ingest, self.log, self.clock),
            kwargs={"stop": stop, "watch": watch},
        )
        thread.start()
        while sum(count.number for count in self.log.counts() if count.stage == "ingest") < self.taken:
            threading.Event().wait(0.01)
        stop.set()
        thread.join()
        self.work()

    def work(self) -> None:
        for stage in (self.enrich, self.index):
            worker = Worker(self.log, stage, clock=self.clock)
            worker.drain()
            worker.close()
        self.forgetting.step()

    def texts(self) -> set[str]:
        self.store.refresh()
        return {one.text for one in self.store.search(SearchRequest()).mentions}

    def counted(self) -> dict[object, int]:
        self.store.refresh()
        buckets = self.store.aggregate(Everything(), {"by": Terms("author_handle")})["by"]
        assert isinstance(buckets, Buckets)
        return {bucket.key: bucket.count for bucket in buckets.buckets}

    def exported(self) -> bytes:
        file = io.BytesIO()
        write_lines(cast(Transferable, self.store).dump(), file)
        return file.getvalue()


@pytest.fixture
def flow(tmp_path: Path, store: Store) -> Iterator[Flow]:
    made = Flow(tmp_path, store)
    yield made
    made.log.close()


def post(number: int, author: str, text: str) -> RawPost:
    at = (T0 + timedelta(minutes=number)).isoformat()
    fields = {"id": f"post-number-{number}", "text": f"acme {text}", "author_id": f"did:{author}"}
    return RawPost(fields={**fields, "author_handle": author, "published_at": at})


def bad(number: int, author: str) -> tuple[RawPost, bytes]:
    """Give a post that cannot be read, and what came of it."""
    raw = {"id": f"post-number-{number}", "did": f"did:{author}", "text": 7, "secret": "what only this one said"}
    return RawPost(fields={"id": f"post-number-{number}", "text": ""}), json.dumps(raw).encode()


def test_a_removal_and_a_removed_author_reach_every_place_and_a_late_replay_resurrects_nothing(flow: Flow) -> None:
    flow.pass_on(post(1, "ann", "first"), post(2, "ann", "second"), post(3, "bob", "third"), post(4, "cid", "fourth"))
    for number, author in ((3, "bob"), (8, "ann"), (9, "cid")):
        content, raw = bad(number, author)
        flow.pass_on(content, raw=raw)
    assert flow.texts() == {"acme first", "acme second", "acme third", "acme fourth"}
    assert len(flow.log.dead_letters()) == 3
    old = flow.log.consumer("old", [Topic.MENTIONS.value])
    before = old.poll(100, 1.0)
    old.close()

    gone = Removed(native_id="post-number-3", removed_at=T0 + timedelta(hours=1))
    author_gone = AuthorRemoved(author_id="did:ann", removed_at=T0 + timedelta(hours=1))
    flow.pass_on(gone, author_gone)
    assert flow.texts() == {"acme fourth"}
    assert flow.counted() == {"cid": 1}
    exported = flow.exported()
    assert not any(text in exported for text in (b"first", b"second", b"third"))
    assert b"fourth" in exported
    letters = flow.log.dead_letters(unresolved_only=False)
    assert [(letter.resolution, bool(letter.letter.payload)) for letter in letters] == [
        (RETRACTED, False),
        (RETRACTED, False),
        (None, True),
    ]
    rows = {row.key: row for row in flow.store.retractions()}
    assert {key: (row.asked_by, row.mentions) for key, row in rows.items()} == {
        "bluesky:post-number-3": ("bluesky", 1),
        "bluesky:did:ann": ("bluesky", 2),
    }
    assert all(row.done_at is not None and row.done_at >= row.asked_at for row in rows.values())

    # What the log still has, by a worker that starts at the beginning; and what the source tells once more.
    assert {handled.outcome for handled in flow.index.handle(before)} == {Outcome.OK}
    flow.pass_on(post(1, "ann", "first"), post(3, "bob", "third"), post(7, "ann", "new"))
    assert flow.texts() == {"acme fourth"}
    books = {(count.stage, count.outcome): count.number for count in flow.log.counts()}
    # Four posts, three letters, two removals; then one repeat of what is gone, and two of an author who is.
    assert {outcome: books["ingest", outcome] for outcome in (Outcome.OK, Outcome.PARKED)} == {
        Outcome.OK: 6,
        Outcome.PARKED: 3,
    }
    assert books["enrich", Outcome.OK] == books["index", Outcome.OK] == 6

    back = Restored(author_id="did:ann", restored_at=T0 + timedelta(hours=2))
    flow.pass_on(back, post(11, "ann", "here again"))
    assert flow.texts() == {"acme fourth", "acme here again"}
    flow.index.handle(before)
    assert flow.texts() == {"acme fourth", "acme here again"}


def test_a_retraction_whose_worker_dies_before_it_settles_is_done_again_and_counted_once(flow: Flow) -> None:
    flow.pass_on(post(1, "ann", "first"), post(2, "bob", "second"))
    flow.source.say()
    flow.ingest.forget(source="bluesky", author_id="did:ann", asked_by="Ada", reason="asked us")
    worker = Worker(flow.log, flow.enrich, clock=flow.clock)
    worker.drain()
    worker.close()
    dying = flow.log.consumer("index", [Topic.MENTIONS.value])
    flow.index.handle(dying.poll(100, 1.0))
    dying.close()
    flow.work()
    assert flow.texts() == {"acme second"}
    (row,) = flow.store.retractions()
    assert (row.asked_by, row.reason, row.mentions) == ("Ada", "asked us", 1)


def test_a_letter_that_is_parked_after_its_post_is_gone_is_forgotten_too(flow: Flow) -> None:
    flow.pass_on(post(3, "bob", "third"), Removed(native_id="post-number-3", removed_at=T0 + timedelta(hours=1)))
    content, raw = bad(3, "bob")
    flow.pass_on(content, raw=raw)
    (letter,) = flow.log.dead_letters(unresolved_only=False)
    assert (letter.resolution, letter.letter.payload) == (RETRACTED, b"")
