"""Removals and restorations of posts and authors in the ingest stage, on the real log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock

from domain.brand import Brand
from domain.errors import BackendDown
from domain.records import AuthorRetraction, MatchedPost, Outcome, Restoration, Retraction
from ingest.file_shape import FileSettings
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.removed_ring import REMOVALS_A_SLOT, SLOTS, RemovedRing
from ingest.source import AuthorRemoved, Content, Item, RawPost, Removed, Restored
from ingest.stage import IngestStage
from stream.codec import Record, decode
from stream.embedded import EmbeddedLog
from stream.protocol import Settlement

ACME = Brand(brand_id="acme", name="Acme", query="acme")
ZETA = Brand(brand_id="zeta", name="Zeta", query="zeta")
OK, DUPLICATE, FILTERED = Outcome.OK, Outcome.DUPLICATE, Outcome.FILTERED


class CrashingLog(EmbeddedLog):
    """The real log, whose machine dies when it is told to."""

    dies = False

    def settle(self, settlement: Settlement) -> None:
        if self.dies:
            raise BackendDown("the power went")
        super().settle(settlement)


class World:
    """A source that says something, and what comes of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, FakeClock()
        self.start()

    def start(self, *brands: Brand) -> None:
        opened = CrashingLog.open(self.path, clock=self.clock)
        assert isinstance(opened, CrashingLog)
        self.log = opened
        self.stage = IngestStage(self.log, BrandMatcher(brands or (ACME,)), self.clock)

    def restart(self, *brands: Brand) -> None:
        self.log.close()
        self.start(*brands)

    def says(self, *contents: Content) -> list[Outcome]:
        items = [
            Item(position=f"test:{number}", cursor=str(number), raw=b"{}", content=content)
            for number, content in enumerate(contents)
        ]
        normaliser = Normaliser("bluesky", FileSettings(path="-").normalise)
        return self.stage.handle(items, normaliser, source="bluesky", run="live").outcomes

    def sent(self) -> Sequence[Record]:
        consumer = self.log.consumer("test", ["posts"])
        found = [decode(record.value) for record in consumer.poll(1000, 0.0)]
        consumer.close()
        return found

    def sent_kinds(self) -> list[str]:
        return [type(record).__name__ for record in self.sent()]

    def counted(self) -> dict[Outcome, int]:
        return {count.outcome: count.number for count in self.log.counts() if count.stage == "ingest"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "log.sqlite")
    yield made
    made.log.close()


def at(hour: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)


def post(number: int = 1, author: str | None = "ann", hour: float = 0, text: str = "acme") -> RawPost:
    fields = {"id": str(number), "text": text, "author_id": author, "published_at": at(hour).isoformat()}
    return RawPost(fields={name: value for name, value in fields.items() if value is not None})


def gone(number: int = 1, hour: float = 1, *, addressed: bool = False) -> Removed:
    return Removed(native_id=str(number), removed_at=at(hour), addressed=addressed)


def author_gone(author: str = "ann", hour: float = 1, *, addressed: bool = False) -> AuthorRemoved:
    return AuthorRemoved(author_id=author, removed_at=at(hour), addressed=addressed)


def back(number: int = 1, hour: float = 2) -> Restored:
    return Restored(native_id=str(number), restored_at=at(hour))


def author_back(author: str = "ann", hour: float = 2) -> Restored:
    return Restored(author_id=author, restored_at=at(hour))


def test_an_author_that_is_gone_is_sent_on_and_nothing_of_theirs_is_taken(world: World) -> None:
    outcomes = world.says(post(1), author_gone(), author_gone(), post(1, hour=2), post(2, hour=2), post(3, "bob"))
    assert outcomes == [OK, OK, DUPLICATE, FILTERED, FILTERED, OK]
    world.restart()
    assert world.says(post(4), post(5, "bob"), post(6, None)) == [FILTERED, OK, OK]
    retraction = world.sent()[1]
    assert isinstance(retraction, AuthorRetraction)
    assert (retraction.author_key, retraction.source, retraction.retracted_at) == ("bluesky:ann", "bluesky", at(1))
    assert (retraction.asked_by, retraction.asked_at) == (None, world.clock.now())


def test_the_ledger_is_told_which_source_asked_for_another_ones_post(world: World) -> None:
    removed = AuthorRemoved(author_id="ann", removed_at=at(1), source="x", addressed=True)
    assert world.says(removed) == [OK]
    (retraction,) = world.sent()
    assert isinstance(retraction, AuthorRetraction)
    assert (retraction.author_key, retraction.source, retraction.asked_by) == ("x:ann", "x", "bluesky")


def test_the_block_of_an_author_costs_nothing_for_posts_that_match_no_brand(world: World) -> None:
    asked: list[str] = []
    ask = world.log.state

    def watched(space: str, keys: Sequence[str]) -> object:
        asked.extend(key for key in keys if space == "author")
        return ask(space, keys)

    world.log.state = watched  # type: ignore[method-assign,assignment]
    world.says(post(1, "ann"), post(2, "bob", text="nobody"), post(3, "cid", text="nobody"))
    assert asked == ["bluesky:ann"]


def test_the_removal_of_an_author_who_never_wrote_of_a_brand_is_filtered(world: World) -> None:
    assert world.says(post(1, "bob", text="nobody"), author_gone("bob")) == [FILTERED, FILTERED]
    assert world.sent() == []


def test_an_author_that_is_back_is_taken_again_the_posts_that_went_too(world: World) -> None:
    assert world.says(post(1), author_gone(hour=1), author_back(hour=2)) == [OK, OK, OK]
    world.restart()
    assert world.says(post(1), post(1), post(2)) == [OK, DUPLICATE, OK]
    assert world.sent_kinds() == ["MatchedPost", "AuthorRetraction", "Restoration", "MatchedPost", "MatchedPost"]
    restoration = world.sent()[2]
    assert isinstance(restoration, Restoration)
    assert (restoration.author_key, restoration.restored_at) == ("bluesky:ann", at(2))


def test_a_post_that_is_back_is_taken_again_in_the_same_revision(world: World) -> None:
    assert world.says(post(), gone(), back(), post(), post()) == [OK, OK, OK, OK, DUPLICATE]
    sent = world.sent()
    assert isinstance(sent[-1], MatchedPost)
    assert isinstance(sent[0], MatchedPost)
    assert sent[-1].post.routing_month == sent[0].post.routing_month


@pytest.mark.parametrize("who", ["post", "author"])
def test_gone_back_gone_and_back_again_holds_and_what_is_older_changes_nothing(world: World, who: str) -> None:
    world.says(post())
    for hour in (1, 3):
        leaves, returns = (gone(hour=hour), back(hour=hour + 1)) if who == "post" else (
            author_gone(hour=hour),
            author_back(hour=hour + 1),
        )  # fmt: skip
        assert world.says(leaves)[0] is OK
        assert world.says(post(hour=hour))[0] is (DUPLICATE if who == "post" else FILTERED)
        assert world.says(returns, leaves, returns) == [OK, DUPLICATE, DUPLICATE]
        assert world.says(post(hour=hour)) == [OK]


def test_a_removal_that_is_redelivered_after_the_restoration_removes_nothing(world: World) -> None:
    world.says(post(), gone(hour=1), back(hour=2), post(hour=2))
    assert world.says(gone(hour=1), post(hour=2)) == [DUPLICATE, DUPLICATE]


def test_a_clock_that_runs_years_ahead_does_not_win_for_ever(world: World) -> None:
    now = world.clock.now()
    far = Removed(native_id="1", removed_at=now + timedelta(days=3_000))
    assert world.says(post(), far) == [OK, OK]
    world.clock.sleep(60)
    assert world.says(Restored(native_id="1", restored_at=now + timedelta(seconds=30)), post()) == [OK, OK]


def test_what_comes_after_its_removal_stays_away_also_after_a_kill(world: World) -> None:
    assert world.says(gone(1), author_gone("bob"), gone(2)) == [FILTERED] * 3
    world.restart()
    assert world.says(post(1), post(7, "bob"), post(3)) == [FILTERED, FILTERED, OK]
    # Ours after all: kept for good.
    world.says(*(gone(number) for number in range(100, 200)))
    assert world.says(post(1, hour=3), post(8, "bob")) == [DUPLICATE, FILTERED]
    assert world.sent_kinds() == ["MatchedPost"]


def test_a_removal_that_was_not_settled_is_not_remembered_and_comes_again(world: World) -> None:
    world.log.dies = True
    with pytest.raises(BackendDown):
        world.says(gone(1))
    world.log.dies = False
    assert world.says(gone(1)) == [FILTERED]
    world.restart()
    assert world.says(post(1)) == [FILTERED]


def test_what_is_back_before_it_came_is_taken(world: World) -> None:
    world.says(gone(1), author_gone("bob"), back(1), author_back("bob"))
    world.restart()
    assert world.says(post(1), post(2, "bob")) == [OK, OK]


def test_what_is_said_to_us_is_kept_for_good_and_sent_on(world: World) -> None:
    assert world.says(gone(1, addressed=True), author_gone("bob", addressed=True)) == [OK, OK]
    world.restart()
    assert world.says(post(1), post(2, "bob")) == [DUPLICATE, FILTERED]
    assert world.sent_kinds() == ["Retraction", "AuthorRetraction"]
    assert world.says(back(1), post(1)) == [OK, OK]
    matched = world.sent()[-1]
    assert isinstance(matched, MatchedPost)
    assert matched.post.routing_month == "2026.01"


def test_a_person_may_ask_for_what_is_known_or_not_and_again(world: World) -> None:
    world.says(post(1))
    forget = world.stage.forget
    assert forget(source="bluesky", native_id="1", asked_by="Ada", reason="asked us") == "bluesky:1"
    assert forget(source="bluesky", native_id="1", asked_by="Eve", reason="asked us") == "bluesky:1"
    assert forget(source="bluesky", author_id="bob", asked_by="Ada", reason="asked us") == "bluesky:bob"
    world.restart()
    assert world.says(post(1, hour=5), post(2, "bob")) == [DUPLICATE, FILTERED]
    sent = [record for record in world.sent() if isinstance(record, Retraction | AuthorRetraction)]
    assert [(record.asked_by, record.reason) for record in sent] == [
        ("Ada", "asked us"),
        ("Eve", "asked us"),
        ("Ada", "asked us"),
    ]
    # A request is no item of a source.
    assert world.counted() == {OK: 1, DUPLICATE: 1, FILTERED: 1}


def test_an_edit_away_from_the_brand_and_brands_that_changed_still_work_for_known_authors(world: World) -> None:
    world.says(post(1))
    world.restart(ACME, ZETA)
    assert world.says(post(1, text="acme zeta")) == [OK]
    assert world.says(post(1, hour=1, text="nobody")) == [OK]
    last = world.sent()[-1]
    assert isinstance(last, MatchedPost)
    assert last.withdrawn == ("acme", "zeta")


def test_the_ring_forgets_the_oldest_and_never_grows_beyond_its_size(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path / "log.sqlite")
    ring = RemovedRing(log, "bluesky")
    most = SLOTS * REMOVALS_A_SLOT
    for number in range(most + 1_000):
        ring.add("post", str(number))
    log.settle(Settlement(group="ingest", state=ring.writes()))
    again = RemovedRing(log, "bluesky")
    for one in (ring, again):
        assert most - REMOVALS_A_SLOT <= len(one) <= most
        assert one.holds("post", str(most + 999))
        assert not one.holds("post", "5")
        assert not one.holds("author", str(most + 999))
    assert not RemovedRing(log, "mastodon").holds("post", str(most + 999))
    log.close()
