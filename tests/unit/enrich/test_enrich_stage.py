"""The enrich stage: one mention per brand, one call of the engine per batch, and bad posts parked alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fakes.clock import START, FakeClock

from domain import ids
from domain.brand import Brand
from domain.errors import BackendDown, BadReason, BadRecord
from domain.records import (
    AuthorRetraction,
    BrandMatch,
    Event,
    MatchedPost,
    Mention,
    Outcome,
    Post,
    Restoration,
    Retraction,
    Span,
    Topic,
    Withdrawal,
)
from domain.text import index_tokens
from enrich.engine import Passage, Prediction
from enrich.language import FastTextLanguage
from enrich.stage import EnrichStage
from enrich.tiny_engine import TinyEngine
from stream.codec import Record, decode, encode
from stream.protocol import LogRecord
from stream.stage import Handled

BRANDS = {
    "acme": Brand(brand_id="acme", name="Acme Air", query="acme"),
    "bolt": Brand(brand_id="bolt", name="Bolt", query="bolt"),
}
LANGUAGE = FastTextLanguage()


class WatchedEngine(TinyEngine):
    """The tiny engine, counting its calls, which fails on texts that hold a certain word."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.failure: Exception | None = None

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        self.calls.append(len(passages))
        if self.failure is not None and any("poison" in passage.text for passage in passages):
            raise self.failure
        return super().predict(passages)


@pytest.fixture
def engine() -> WatchedEngine:
    return WatchedEngine()


@pytest.fixture
def stage(engine: WatchedEngine) -> EnrichStage:
    return EnrichStage(engine, LANGUAGE, BRANDS, FakeClock())


def _matched(
    text: str, *brands: str, native_id: str = "1", withdrawn: tuple[str, ...] = (), **changed: Any
) -> MatchedPost:
    post = Post(
        post_id=ids.post_id("x", native_id),
        source="x",
        native_id=native_id,
        revision_ms=1_000,
        text=text,
        collected_at=START,
        routing_month="2026.01",
        **changed,
    )
    return MatchedPost(
        post=post,
        matches=tuple(BrandMatch(brand_id=b, query_revision=3, spans=(Span(0, 4),)) for b in brands),
        withdrawn=withdrawn,
    )


def _handle(stage: EnrichStage, *records: Record | bytes, run: str = "live") -> list[Handled]:
    given = []
    for offset, record in enumerate(records):
        value = record if isinstance(record, bytes) else encode(record)
        key = record.post.post_id if isinstance(record, MatchedPost) else "x:other"
        given.append(LogRecord(Topic.POSTS.value, 0, offset, key, value, run, START))
    return list(stage.handle(given))


def _outputs(handled: Handled) -> list[Record]:
    return [decode(output.value) for output in handled.outputs]


def _mentions(handled: Handled) -> list[Mention]:
    return [record for record in _outputs(handled) if isinstance(record, Mention)]


def test_a_post_that_names_two_brands_becomes_two_mentions(stage: EnrichStage) -> None:
    (handled,) = _handle(stage, _matched("Acme and Bolt were both late and rude today", "acme", "bolt"))
    assert handled.outcome is Outcome.OK
    first, second = _mentions(handled)
    assert (first.brand_id, first.brand, second.brand_id, second.brand) == ("acme", "Acme Air", "bolt", "Bolt")
    assert first.mention_id == ids.mention_id("x:1", "acme")
    assert first.mention_id != second.mention_id
    assert first.query_revision == 3
    assert first.spans == (Span(0, 4),)
    assert all(output.topic == Topic.MENTIONS.value and output.key == "x:1" for output in handled.outputs)


def test_a_brand_that_was_made_a_moment_ago_is_asked_for_and_one_that_is_gone_not_each_time(
    engine: WatchedEngine,
) -> None:
    clock = FakeClock()
    asked: list[str] = []

    def look() -> None:
        asked.append("look")
        stage.name_by({**BRANDS, "new": Brand(brand_id="new", name="Brand New", query="new")})

    stage = EnrichStage(engine, LANGUAGE, BRANDS, clock, unknown=look)
    (mention,) = _mentions(_handle(stage, _matched("new and shiny", "new"))[0])
    assert mention.brand == "Brand New"
    for _ in range(3):
        (mention,) = _mentions(_handle(stage, _matched("gone and forgotten", "gone"))[0])
        assert mention.brand == "gone"
    assert asked == ["look"]
    clock.sleep(1.0)
    _handle(stage, _matched("gone and forgotten", "gone"), _matched("acme", "acme"))
    assert asked == ["look", "look"]


def test_a_mention_carries_sentiment_language_tokens_and_version(stage: EnrichStage) -> None:
    text = "The crew of Acme was lovely and the food was delicious, thank you!"
    (mention,) = _mentions(_handle(stage, _matched(text, "acme", title="A kind review"))[0])
    assert (mention.sentiment, mention.sentiment_value, mention.post_sentiment) == ("positive", 1, "positive")
    probs = (mention.p_negative, mention.p_neutral, mention.p_positive)
    assert all(p is not None for p in probs)
    assert sum(p or 0 for p in probs) == pytest.approx(1, abs=1e-5)
    assert mention.sentiment_score == pytest.approx((mention.p_positive or 0) - (mention.p_negative or 0), abs=1e-6)
    assert (mention.lang, mention.sentiment_reliable, mention.model, mention.truncated) == ("en", True, "tiny", False)
    assert mention.tokens == index_tokens("A kind review", text)
    assert "crew" in mention.words
    assert mention.version == ids.version(1_000, 0)
    assert mention.enriched_at == START


def test_the_title_counts_for_the_sentiment(stage: EnrichStage) -> None:
    matched = _matched("Acme opened a second hall on Monday.", "acme", title="Terrible, awful, useless")
    (mention,) = _mentions(_handle(stage, matched)[0])
    assert mention.sentiment == "negative"


def test_a_post_in_another_language_is_not_reliable(stage: EnrichStage) -> None:
    matched = _matched("Der Flug mit Acme war leider wieder viel zu spät und niemand wusste etwas.", "acme")
    (mention,) = _mentions(_handle(stage, matched)[0])
    assert (mention.lang, mention.sentiment_reliable) == ("de", False)


def test_everything_the_post_knows_reaches_the_mention(stage: EnrichStage) -> None:
    known: dict[str, Any] = {
        "kind": "reply",
        "title": "News",
        "url": "https://example.org/1",
        "author_id": "7",
        "author_handle": "ann",
        "author_name": "Ann",
        "author_followers": 12,
        "reply_to": "x:0",
        "thread_id": "t",
        "published_at": START,
        "edited_at": START,
        "hashtags": ("late",),
        "links": ("https://example.org/2",),
        "domains": ("example.org",),
        "campaigns": ("spring",),
        "likes": 1,
        "reposts": 2,
        "replies": 3,
        "views": 4,
        "engagement_at": START,
        "location": "Oslo",
        "backfilled": True,
        "attrs": {"tier": "gold"},
    }
    (mention,) = _mentions(_handle(stage, _matched("Acme was late", "acme", **known))[0])
    assert {name: getattr(mention, name) for name in known} == known


def test_a_whole_batch_is_one_call_of_the_engine(stage: EnrichStage, engine: WatchedEngine) -> None:
    records = [_matched(f"Acme post {i}", "acme", "bolt", native_id=str(i)) for i in range(20)]
    handled = _handle(stage, *records)
    assert engine.calls == [20]
    assert [len(h.outputs) for h in handled] == [2] * 20


@pytest.mark.parametrize(
    "failure", [BadRecord(BadReason.ENGINE_FAILED, "cannot"), RuntimeError("bug in: poison"), ValueError("poison")]
)
def test_one_bad_post_is_parked_and_the_others_go_on(
    stage: EnrichStage, engine: WatchedEngine, failure: Exception
) -> None:
    engine.failure = failure
    records = [_matched(f"Acme {'poison' if i == 5 else 'fine'} {i}", "acme", native_id=str(i)) for i in range(9)]
    handled = _handle(stage, *records)
    assert [h.outcome for h in handled] == [Outcome.PARKED if i == 5 else Outcome.OK for i in range(9)]
    letter = handled[5].letter
    assert letter is not None
    assert (letter.reason, letter.stage, letter.post_id) == ("engine_failed", "enrich", "x:5")
    assert "poison" not in letter.detail


def test_an_engine_that_is_down_is_not_the_posts_fault(stage: EnrichStage, engine: WatchedEngine) -> None:
    engine.failure = BackendDown("no memory")
    with pytest.raises(BackendDown):
        _handle(stage, _matched("Acme poison", "acme"))


@pytest.mark.parametrize(
    "retraction",
    [
        Retraction(post_id="x:other", source="x", retracted_at=START),
        AuthorRetraction(author_key="x:other", source="x", retracted_at=START, asked_by="Ada", asked_at=START),
        Restoration(author_key="x:other", source="x", restored_at=START, taken_from=START),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_retraction_passes_through_unchanged(
    stage: EnrichStage, engine: WatchedEngine, retraction: Retraction | AuthorRetraction | Restoration
) -> None:
    (handled,) = _handle(stage, retraction, run="replay-1")
    assert _outputs(handled) == [retraction]
    assert (handled.outputs[0].key, handled.outputs[0].run) == ("x:other", "replay-1")
    assert engine.calls == []


def test_a_brand_that_was_edited_away_is_withdrawn(stage: EnrichStage, engine: WatchedEngine) -> None:
    (handled,) = _handle(stage, _matched("nothing to see", withdrawn=("bolt",)))
    assert _outputs(handled) == [
        Withdrawal(
            mention_id=ids.mention_id("x:1", "bolt"), post_id="x:1", brand_id="bolt", version=ids.version(1_000, 0)
        )
    ]
    assert engine.calls == []


def test_a_post_without_any_brand_is_filtered(stage: EnrichStage) -> None:
    (handled,) = _handle(stage, _matched("nothing to see"))
    assert (handled.outcome, handled.outputs) == (Outcome.FILTERED, ())


def test_a_brand_that_is_no_longer_configured_keeps_its_id_as_name(stage: EnrichStage) -> None:
    (mention,) = _mentions(_handle(stage, _matched("Gone was late", "gone"))[0])
    assert mention.brand == "gone"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_an_object"),
        (b'{"type": "matched_post"}', "bad_schema"),
        (encode(Event(kind="heartbeat", source="x", at=START)), "bad_schema"),
    ],
)
def test_a_record_of_another_kind_is_parked(stage: EnrichStage, value: bytes, reason: str) -> None:
    good = _matched("Acme was great", "acme")
    handled = _handle(stage, value, good)
    assert [h.outcome for h in handled] == [Outcome.PARKED, Outcome.OK]
    assert handled[0].letter is not None
    assert handled[0].letter.reason == reason


def test_a_revision_out_of_range_is_parked(stage: EnrichStage) -> None:
    good = _matched("Acme was great", "acme")
    value = encode(good).replace(b'"revision_ms":1000', b'"revision_ms":-1')
    handled = _handle(stage, value, good)
    assert [h.outcome for h in handled] == [Outcome.PARKED, Outcome.OK]
