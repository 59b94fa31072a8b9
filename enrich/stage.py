"""The enrich stage: matched posts in, mentions out. Language once, one model pass for a whole batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from domain import ids
from domain.brand import Brand
from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ServiceError
from domain.records import (
    SENTIMENTS,
    AuthorRetraction,
    BrandMatch,
    MatchedPost,
    Mention,
    Outcome,
    Post,
    Restoration,
    Retraction,
    Topic,
    Withdrawal,
)
from domain.text import index_token_texts
from enrich.engine import POINTS, Passage, Prediction, SentimentEngine, as_three
from enrich.language import Language, LanguageIdentifier
from enrich.naming import BrandPlaces
from enrich.signature import signature
from enrich.words import content_words
from stream.dead_letters import letter_of_record
from stream.protocol import LogRecord, OutRecord
from stream.stage import Finish, Handled

_LOG = logging.getLogger(__name__)

# A guess of English that is too weak to be named as `lang` still beats chance by far: among 10-character pieces of
# seven other languages none reaches it, and it saves most one-word English posts (`python -m bench.language`).
ENGLISH_ENOUGH = 0.3
# A brand that was removed is not known either, and its last posts must not ask each time.
_ASK_SECONDS = 1.0
_PASSING = (Retraction, AuthorRetraction, Restoration)
_Out: TypeAlias = Mention | Withdrawal | Retraction | AuthorRetraction | Restoration


def language_is_english(language: Language) -> bool:
    """Tell whether a text may be trusted to a model of English; False when there was nothing to read."""
    return language.guess == "en" and language.prob >= ENGLISH_ENOUGH


@dataclass(frozen=True, slots=True)
class _Feeling:
    """Feeling towards one brand, rounded; `value` and `expected` come from the probabilities before that."""

    probs: tuple[float, float, float]
    value: int
    expected: float


@dataclass(frozen=True, slots=True)
class _Scored:
    """What the engine found in one post: of the whole (-1, 0 or 1), and towards each of its brands."""

    value: int
    feelings: tuple[_Feeling, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read from a post without the engine."""

    language: Language
    tokens: str
    words: tuple[str, ...]
    signature: str


class EnrichStage:
    """One mention for each brand of a post, tagged with language and sentiment. See `stream.stage.Stage`.

    A post that the engine cannot read is parked alone. Retractions and restorations pass through, withdrawn brands
    become withdrawals. A brand that is no longer configured keeps its id as its name.
    """

    name = "enrich"
    group = "enrich"
    topics: tuple[str, ...] = (Topic.POSTS.value,)

    def __init__(
        self,
        engine: SentimentEngine,
        language: LanguageIdentifier,
        brands: Mapping[str, Brand],
        clock: Clock,
        unknown: Callable[[], None] | None = None,
    ) -> None:
        """Build the stage.

        Args:
            engine: gives the sentiment; called once a batch.
            language: gives the language of each post.
            brands: by brand id.
            clock: for `enriched_at`.
            unknown: called, once a second at most, before a post of a brand that is not known: it may call `name_by`.
        """
        self._engine = engine
        self._language = language
        self._unknown = unknown
        self._asked_at: float | None = None
        self.name_by(brands)
        self._clock = clock
        # The engine computes outside Python's lock: what it does not need is read from the posts meanwhile.
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    def name_by(self, brands: Mapping[str, Brand]) -> None:
        """Call brands so from now on; a batch under way keeps the places that it began with."""
        self._brands, self._places = brands, BrandPlaces(brands)

    def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
        return self.begin(records)()

    def begin(self, records: Sequence[LogRecord]) -> Finish:
        outcomes: list[Handled | None] = [None] * len(records)
        matched: dict[int, MatchedPost] = {}
        for place, record in enumerate(records):
            try:
                content = record.read()
                if isinstance(content, MatchedPost):
                    matched[place] = content
                elif isinstance(content, _PASSING):
                    outcomes[place] = Handled(Outcome.OK, (self._out(record, content),))
                else:
                    raise BadRecord(
                        BadReason.BAD_SCHEMA, f"found a {type(content).__name__}, expected a matched post or retraction"
                    )
            except BadRecord as error:
                outcomes[place] = self._parked(record, error)
        self._know(matched.values())
        passages = {
            place: self._places.passage(content.post, content.matches)
            for place, content in matched.items()
            if content.matches
        }
        scores = self._beside.submit(self._scores, list(passages.values()))

        def finish() -> Sequence[Handled]:
            # First all languages: the identifier's tables are in reach of the processor then, which halves its time.
            languages = {place: self._language.identify(passage.text) for place, passage in passages.items()}
            read = {place: _read(matched[place].post, language) for place, language in languages.items()}
            scored: dict[int, _Scored | BadRecord | None] = dict(zip(passages, scores.result(), strict=True))
            for place, content in matched.items():
                outcomes[place] = self._enriched(records[place], content, scored.get(place), read.get(place))
            return [outcome for outcome in outcomes if outcome is not None]

        return finish

    def _know(self, matched: Iterable[MatchedPost]) -> None:
        """See to it that brands are known that were made a moment ago."""
        if self._unknown is None or all(match.brand_id in self._brands for one in matched for match in one.matches):
            return
        now = self._clock.monotonic()
        if self._asked_at is None or now - self._asked_at >= _ASK_SECONDS:
            self._asked_at = now
            self._unknown()

    def _enriched(
        self, record: LogRecord, matched: MatchedPost, scored: _Scored | BadRecord | None, read: _Read | None
    ) -> Handled:
        if isinstance(scored, BadRecord):
            return self._parked(record, scored)
        try:
            version = self._version(matched)
            outputs = [self._out(record, withdrawal) for withdrawal in _withdrawals(matched, version)]
            if scored is not None and read is not None:
                outputs += [
                    self._out(record, self._mention(matched, match, scored, feeling, read, version))
                    for match, feeling in zip(matched.matches, scored.feelings, strict=True)
                ]
        except BadRecord as error:
            return self._parked(record, error)
        return Handled(Outcome.OK if outputs else Outcome.FILTERED, tuple(outputs))

    def _scores(self, passages: Sequence[Passage]) -> list[_Scored | BadRecord]:
        """Score all posts in one call; when that fails, halve until the bad post is alone."""
        if not passages:
            return []
        try:
            found = self._engine.predict(passages)
        except BadRecord as error:
            failure = error
        except ServiceError:
            raise
        except Exception as exc:  # an engine's own bug may hang on one text; the others must not suffer
            # Its message may quote the text, and details end up in logs.
            _LOG.debug("%s failed on %d posts", self._engine.name, len(passages), exc_info=True)
            failure = BadRecord(BadReason.ENGINE_FAILED, f"{self._engine.name}: {type(exc).__name__}; more at DEBUG")
        else:
            return _scored(passages, found, self._engine.decimals)
        if len(passages) == 1:
            return [failure]
        middle = len(passages) // 2
        return self._scores(passages[:middle]) + self._scores(passages[middle:])

    def _mention(
        self,
        matched: MatchedPost,
        match: BrandMatch,
        scored: _Scored,
        feeling: _Feeling,
        read: _Read,
        version: int,
    ) -> Mention:
        post = matched.post
        negative, neutral, positive = feeling.probs
        brand = self._brands.get(match.brand_id)
        return Mention(
            mention_id=ids.mention_id(post.post_id, match.brand_id),
            post_id=post.post_id,
            brand_id=match.brand_id,
            brand=brand.name if brand is not None else match.brand_id,
            query_revision=match.query_revision,
            version=version,
            source=post.source,
            kind=post.kind,
            text=post.text,
            tokens=read.tokens,
            collected_at=post.collected_at,
            enriched_at=self._clock.now(),
            routing_month=post.routing_month,
            spans=match.spans,
            words=read.words,
            title=post.title,
            url=post.url,
            domains=post.domains,
            lang=read.language.lang,
            author_id=post.author_id,
            author_handle=post.author_handle,
            author_name=post.author_name,
            author_followers=post.author_followers,
            reply_to=post.reply_to,
            thread_id=post.thread_id,
            published_at=post.published_at,
            edited_at=post.edited_at,
            sentiment=SENTIMENTS[feeling.value + 1],
            sentiment_value=feeling.value,
            sentiment_expected=feeling.expected,
            sentiment_score=round(positive - negative, self._engine.decimals),
            p_negative=negative,
            p_neutral=neutral,
            p_positive=positive,
            sentiment_reliable=language_is_english(read.language),
            post_sentiment=SENTIMENTS[scored.value + 1],
            model=self._engine.name,
            truncated=scored.truncated,
            hashtags=post.hashtags,
            links=post.links,
            campaigns=post.campaigns,
            likes=post.likes,
            reposts=post.reposts,
            replies=post.replies,
            views=post.views,
            engagement_at=post.engagement_at,
            signature=read.signature,
            location=post.location,
            backfilled=post.backfilled,
            attrs=post.attrs,
        )

    def _version(self, matched: MatchedPost) -> int:
        try:
            return ids.version(matched.post.revision_ms, self._engine.epoch)
        except ValueError as exc:
            raise BadRecord(BadReason.BAD_SCHEMA, str(exc)) from exc

    def _out(self, record: LogRecord, content: _Out) -> OutRecord:
        return OutRecord.of(content, Topic.MENTIONS.value, record.key, record.run)

    def _parked(self, record: LogRecord, error: BadRecord) -> Handled:
        letter = letter_of_record(record, error, stage=self.name, at=self._clock.now())
        return Handled(Outcome.PARKED, letter=letter)


def _read(post: Post, language: Language) -> _Read:
    texts = index_token_texts(post.title, post.text)
    tokens = " ".join(texts)
    return _Read(language, tokens, content_words(texts), signature(tokens, post.domains).pack())


def _scored(passages: Sequence[Passage], found: Prediction, decimals: int) -> list[_Scored | BadRecord]:
    three = as_three(found.towards)
    rows = zip(three.tolist(), three.argmax(axis=1).tolist(), (found.towards @ POINTS).tolist(), strict=True)
    feelings = iter(
        [
            _Feeling((round(a, decimals), round(b, decimals), round(c, decimals)), best - 1, round(expected, decimals))
            for (a, b, c), best, expected in rows
        ]
    )
    whole = zip(passages, found.probs.argmax(axis=1).tolist(), found.truncated.tolist(), strict=True)
    return [
        _Scored(best - 1, tuple(islice(feelings, len(passage.brands))), truncated) for passage, best, truncated in whole
    ]


def _withdrawals(matched: MatchedPost, version: int) -> list[Withdrawal]:
    post_id = matched.post.post_id
    return [
        Withdrawal(mention_id=ids.mention_id(post_id, brand_id), post_id=post_id, brand_id=brand_id, version=version)
        for brand_id in matched.withdrawn
    ]
