"""Rematching through the stage on the real log: whose posts are looked at, and what is settled with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.mentions import mention

from domain import ids
from domain.brand import Brand
from domain.records import MatchedPost, Mention, Post
from ingest.ledger import SPACE, Seen, Standing
from ingest.matching import BrandMatcher
from ingest.rematch import Rematched, retained_post
from ingest.stage import IngestStage
from stream.embedded import EmbeddedLog
from stream.protocol import Settlement, StateWrite

ACME = Brand(brand_id="acme", name="Acme", query="acme")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog.open(tmp_path / "log.sqlite", clock=FakeClock())
    yield opened
    opened.close()


def kept(number: int, text: str, revision_ms: int = 1_000) -> Mention:
    return mention(str(number), "globex", text=text, version=ids.version(revision_ms, 1))


def seen(log: EmbeddedLog, post: Post, **changed: object) -> None:
    row = Seen(revision_ms=1_000, brand_ids=("globex",), routing_month="2026.03", queries="q")
    row = replace(row, **changed)  # type: ignore[arg-type]
    log.settle(Settlement(state=[StateWrite(SPACE, post.post_id, row.to_bytes())]))


def rows(log: EmbeddedLog, *posts: Post) -> list[Seen]:
    found = log.state(SPACE, [post.post_id for post in posts])
    return [Seen.from_bytes(found[post.post_id]) for post in posts]


def told(log: EmbeddedLog) -> list[tuple[str, list[str], list[str], int, bool]]:
    consumer = log.consumer("test", ["posts"])
    found = [record.read() for record in consumer.poll(1_000, 0.0)]
    consumer.close()
    return [
        (
            one.post.post_id,
            [match.brand_id for match in one.matches],
            list(one.withdrawn),
            one.post.revision_ms,
            one.post.backfilled,
        )
        for one in found
        if isinstance(one, MatchedPost)
    ]


def rematch(log: EmbeddedLog, *mentions: Mention, source: str | None = None, brand: Brand = ACME) -> Rematched:
    def all_of(post_id: str) -> list[Mention]:
        return [one for one in mentions if one.post_id == post_id]

    stage = IngestStage(log, BrandMatcher((brand,)), FakeClock())
    posts = [retained_post(one) for one in mentions]
    return stage.rematch(brand.brand_id, BrandMatcher((brand,)), posts, all_of, run="r", source=source)


def test_only_the_posts_of_a_source_are_looked_at_for_its_owner(log: EmbeddedLog) -> None:
    mentions = [kept(1, "acme"), kept(2, "acme"), kept(3, "acme")]
    posts = [retained_post(one) for one in mentions]
    seen(log, posts[0])
    # Read from the webhook, whatever source the post names: its owner settles the row.
    seen(log, posts[1], reader="webhook")
    assert rematch(log, *mentions, source="webhook") == Rematched(looked=1, added=1)
    assert rematch(log, *mentions, source="x") == Rematched(looked=2, added=2)
    assert [row.brand_ids for row in rows(log, *posts)] == [("globex", "acme")] * 3
    assert sorted(post_id for post_id, *_ in told(log)) == ["x:1", "x:2", "x:3"]


def test_what_is_found_again_goes_on_above_what_was_withdrawn(log: EmbeddedLog) -> None:
    one = kept(1, "acme mug")
    seen(log, retained_post(one))
    other = replace(ACME, query="lid")
    for _ in range(2):
        rematch(log, one)
        rematch(log, one)
        rematch(log, one, brand=other)
        rematch(log, one, brand=other)
    assert told(log) == [
        ("x:1", ["acme"], [], 1_000, True),
        ("x:1", [], ["acme"], 1_000, True),
        ("x:1", ["acme"], [], 1_001, True),
        ("x:1", [], ["acme"], 1_001, True),
    ]
    (row,) = rows(log, retained_post(one))
    assert (row.revision_ms, row.next_ms, row.brand_ids) == (1_000, 1_002, ("globex",))


def test_a_post_whose_newest_text_is_not_kept_is_left_alone(log: EmbeddedLog) -> None:
    one = kept(1, "acme")
    seen(log, retained_post(one), revision_ms=2_000)
    assert rematch(log, one) == Rematched(looked=1, older=1)
    assert told(log) == []


def test_the_newer_text_of_another_brand_counts(log: EmbeddedLog) -> None:
    old, new = kept(1, "nobody"), replace(kept(1, "acme", 2_000), mention_id="other", brand_id="initech")
    seen(log, retained_post(old), revision_ms=2_000, brand_ids=("initech",), behind=("globex",))
    assert rematch(log, old, new) == Rematched(looked=2, added=1)
    assert told(log) == [("x:1", ["acme"], [], 2_000, True)]
    (row,) = rows(log, retained_post(old))
    assert row.behind == ("globex",)


def test_posts_that_were_imported_get_a_row(log: EmbeddedLog) -> None:
    one = kept(1, "acme")
    assert rematch(log, one) == Rematched(looked=1, added=1)
    (row,) = rows(log, retained_post(one))
    assert (row.revision_ms, row.brand_ids, row.routing_month) == (1_000, ("globex", "acme"), "2026.03")


def test_a_retracted_post_stays_away(log: EmbeddedLog) -> None:
    one = kept(1, "acme")
    seen(log, retained_post(one), standing=Standing(gone_ms=5))
    assert rematch(log, one) == Rematched(looked=1)
    assert told(log) == []


def test_a_kept_post_is_matched_as_it_was_when_it_came() -> None:
    one = replace(
        mention("1", text="@acme #fun mug", title="A title"), hashtags=("fun",), domains=("acme.example",), lang="sv"
    )
    for query in ("mug", "@acme", "#fun", "title", "domain:acme.example", "source:x", "lang:sv"):
        brand = replace(ACME, query=query if ":" not in query or query.startswith("domain") else f"mug {query}")
        assert BrandMatcher((brand,)).match(retained_post(one)), query
