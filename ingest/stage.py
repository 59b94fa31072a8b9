"""The ingest stage: a batch of items from a source becomes one settlement, with exactly one outcome each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeAlias

from domain import ids
from domain.clock import Clock, to_ms
from domain.errors import BadRecord
from domain.records import BrandMatch, DeadLetter, Event, MatchedPost, Mention, Outcome, Post, Retraction, Topic
from ingest.ledger import LedgerPage, Seen
from ingest.normalise import Normaliser
from ingest.rematch import STAGE as STAGE
from ingest.rematch import Rematched, rematch
from ingest.source import AuthorRemoved, Gap, Item, RawPost, Removed, Restored
from stream.dead_letters import make_dead_letter
from stream.observer import Observer, SettledBatch
from stream.protocol import Count, Log, OutRecord, Settlement, StateWrite

# An item's content once it was normalised.
_Read: TypeAlias = Post | Removed | AuthorRemoved | Restored | Gap | BadRecord


class Matcher(Protocol):
    """What finds brands in posts: `ingest.matching.BrandMatcher`."""

    @property
    def queries(self) -> str:
        """Identify all brands and their queries; changes when any of them does."""

    @property
    def brand_ids(self) -> frozenset[str]:
        """The ids of all brands that are matched."""

    def match(self, post: Post) -> tuple[BrandMatch, ...]:
        """Give the brands that a post names, in the brands' order."""


@dataclass(slots=True)
class Handled:
    """What became of the items of one batch, in order; `brands` counts the mentions that go on, by brand.

    A gap is no record and has no outcome.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    brands: Counter[str] = field(default_factory=Counter)
    errors: list[BadRecord] = field(default_factory=list)


class IngestStage:
    """Normalises, drops repeats, matches and settles. Thread-safe: sources share one ledger.

    For each post: an unseen one that matches no brand is FILTERED and leaves no trace; one that matches is OK. Of a
    post seen before, the same or an older revision is a DUPLICATE, a newer one is OK with the brands it no longer
    matches in `withdrawn`; a brand that is not matched for now (paused, removed) keeps its mention. Where brands were
    added or changed since, a seen revision is OK once more with its new brands alone. A removal of a known post is OK
    and sent on; nothing brings the post back after it. The removal of an unknown post is FILTERED: a firehose deletes
    mostly what never was ours.
    """

    def __init__(self, log: Log, matcher: Matcher, clock: Clock, observer: Observer | None = None) -> None:
        self._log, self._matcher, self._clock, self._observer = log, matcher, clock, observer
        # Reading the ledger and settling belong together, or two sources both take the same post for new.
        self._lock = threading.Lock()

    def match_by(self, matcher: Matcher) -> None:
        """Match all that comes from now on by other brands; a batch under way ends with those that it began with."""
        self._matcher = matcher

    def rematch(
        self,
        brand_id: str,
        matcher: Matcher,
        retained: Sequence[Post],
        kept: Callable[[str], Sequence[Mention]],
        *,
        run: str,
        source: str | None = None,
        state: Callable[[Rematched], Sequence[StateWrite]] = lambda _: (),
    ) -> Rematched:
        """Hold posts that are kept against the query of one brand, and make what follows durable, all or nothing.

        A post that is found and lacks the brand gets its mention, marked as backfilled; one that is not found any more
        has it withdrawn. Doing it again changes nothing.

        Args:
            brand_id: the brand.
            matcher: of this brand alone.
            retained: posts as they are kept (`ingest.rematch.retained_post`), each once.
            kept: gives all mentions of a post that the ledger does not know, or knows in a newer revision.
            run: that it belongs to.
            source: whose posts alone are looked at, for their owner settles them where machines share a log; None
                looks at all.
            state: gives what must be durable together with it.

        Raises:
            RetryLater, BackendDown: nothing of it was settled.
        """
        since = self._clock.monotonic()
        with self._lock:
            page = LedgerPage(self._log, [post.post_id for post in retained])
            settlement, rematched = rematch(brand_id, matcher, retained, kept, page, run, source)
            settlement.source = source or ""
            settlement.state = [*page.writes(), *state(rematched)]
            self._log.settle(settlement)
        self._tell(settlement, since)
        return rematched

    def handle(
        self,
        items: Sequence[Item],
        normaliser: Normaliser,
        *,
        source: str,
        run: str,
        state: Sequence[StateWrite] = (),
    ) -> Handled:
        """Work on a batch and make it durable, all or nothing.

        Args:
            items: as a source gave them; may be empty.
            normaliser: of that source.
            source: its name, for dead letters and removals.
            run: the replay that it all belongs to, or `live`.
            state: what must be durable together with it: the cursor.

        Raises:
            BackendDown: nothing of it was settled.
        """
        now, since = self._clock.now(), self._clock.monotonic()
        read = [_read(item, normaliser, now) for item in items]
        batch = _Batch(self._matcher, source=source, run=run, now=now)
        with self._lock:
            page = LedgerPage(self._log, _post_ids(read, source))
            for item, content in zip(items, read, strict=True):
                batch.take(item, content, page)
            settlement = batch.settlement
            settlement.state = [*page.writes(), *state]
            self._log.settle(settlement)
        self._tell(settlement, since)
        return batch.handled

    def _tell(self, settlement: Settlement, since: float) -> None:
        if self._observer is not None and settlement.counts:
            self._observer.settled(SettledBatch(STAGE, settlement.counts, self._clock.monotonic() - since))

    def handle_again(
        self, item: Item, normaliser: Normaliser, letter: DeadLetter, *, source: str, state: Sequence[StateWrite]
    ) -> Handled:
        """Work on an item that was parked before: its outcome takes the place of PARKED in the books of its run.

        An item that is still bad settles nothing.

        Raises:
            BackendDown: nothing of it was settled.
        """
        now, since = self._clock.now(), self._clock.monotonic()
        content = _read(item, normaliser, now)
        batch = _Batch(self._matcher, source=source, run=letter.run, now=now)
        with self._lock:
            page = LedgerPage(self._log, _post_ids([content], source))
            batch.take(item, content, page)
            if batch.handled.outcomes != [Outcome.PARKED]:
                settlement = batch.settlement
                settlement.counts.append(Count(STAGE, letter.run, Outcome.PARKED, -1, letter.reason))
                settlement.state = [*page.writes(), *state]
                self._log.settle(settlement)
                self._tell(settlement, since)
        return batch.handled


class _Batch:
    """Collects what a batch leaves behind."""

    def __init__(self, matcher: Matcher, *, source: str, run: str, now: datetime) -> None:
        self._matcher, self._source, self._run, self._now = matcher, source, run, now
        self._outputs: list[OutRecord] = []
        self._dead: list[DeadLetter] = []
        self.handled = Handled()

    def take(self, item: Item, content: _Read, page: LedgerPage) -> None:
        """Decide on one item."""
        if isinstance(content, Gap):
            self._tell_gap(content)
            return
        if isinstance(content, BadRecord):
            outcome = self._park(item, content)
        elif isinstance(content, Removed):
            outcome = self._remove(content, page)
        elif isinstance(content, AuthorRemoved | Restored):
            outcome = Outcome.FILTERED
        else:
            outcome = self._take_post(content, page)
        self.handled.outcomes.append(outcome)

    @property
    def settlement(self) -> Settlement:
        numbers = Counter(outcome for outcome in self.handled.outcomes if outcome is not Outcome.PARKED)
        counts = [Count(STAGE, self._run, outcome, number) for outcome, number in numbers.items()]
        counts += [
            Count(STAGE, self._run, Outcome.PARKED, number, reason) for reason, number in self.handled.reasons.items()
        ]
        return Settlement(group=STAGE, source=self._source, outputs=self._outputs, dead=self._dead, counts=counts)

    def _park(self, item: Item, error: BadRecord) -> Outcome:
        letter = make_dead_letter(
            item.raw, error, stage=STAGE, position=item.position, at=self._now, source=self._source, run=self._run
        )
        if item.raw_bytes is not None and item.raw_sha256 is not None:
            letter = replace(letter, payload_bytes=item.raw_bytes, payload_sha256=item.raw_sha256)
        self._dead.append(letter)
        self.handled.reasons[letter.reason] += 1
        self.handled.errors.append(error)
        return Outcome.PARKED

    def _tell_gap(self, gap: Gap) -> None:
        detail: dict[str, str | int] = {"start_ms": to_ms(gap.start), "end_ms": to_ms(gap.end), "reason": gap.reason}
        if gap.recovered is not None:
            detail |= {"recovered": gap.recovered, "method": gap.method}
        event = Event(kind="gap", source=self._source, at=self._now, detail=detail)
        self._outputs.append(OutRecord.of(event, Topic.EVENTS.value, self._source, self._run))

    def _remove(self, removed: Removed, page: LedgerPage) -> Outcome:
        post_id = _removed_id(removed, self._source)
        seen = page.get(post_id)
        if seen is None:
            return Outcome.FILTERED
        if seen.gone:
            return Outcome.DUPLICATE
        page.put(post_id, replace(seen, gone=True))
        source = removed.source or self._source
        retraction = Retraction(post_id=post_id, source=source, retracted_at=removed.removed_at, reason=removed.reason)
        self._emit(post_id, retraction)
        return Outcome.OK

    def _take_post(self, post: Post, page: LedgerPage) -> Outcome:
        seen = page.get(post.post_id)
        queries = self._matcher.queries
        if seen is None:
            matches = self._matcher.match(post)
            if not matches:
                return Outcome.FILTERED
            new_row = Seen(
                revision_ms=post.revision_ms,
                brand_ids=_brand_ids(matches),
                routing_month=post.routing_month,
                queries=queries,
                lang=post.declared_lang,
                reader=self._source if self._source != post.source else None,
            )
            self._pass_on(post, matches, (), page, new_row)
            return Outcome.OK
        if seen.gone or post.revision_ms < seen.revision_ms:
            return Outcome.DUPLICATE
        if post.revision_ms == seen.revision_ms:
            if seen.queries == queries:
                return Outcome.DUPLICATE
            new = tuple(match for match in self._matcher.match(post) if match.brand_id not in seen.brand_ids)
            brand_ids = (*seen.brand_ids, *_brand_ids(new))
            post = replace(post, routing_month=seen.routing_month)
            if not new:
                page.put(post.post_id, replace(seen, queries=queries))
                return Outcome.DUPLICATE
            behind = tuple(brand_id for brand_id in seen.behind if brand_id not in brand_ids)
            self._pass_on(post, new, (), page, replace(seen, brand_ids=brand_ids, behind=behind, queries=queries))
            return Outcome.OK
        matches = self._matcher.match(post)
        brand_ids = _brand_ids(matches)
        lost = [brand_id for brand_id in (*seen.brand_ids, *seen.behind) if brand_id not in brand_ids]
        # Of a brand that is paused or removed nobody knows whether it would match: its mention stays as it is.
        withdrawn = tuple(brand_id for brand_id in lost if brand_id in self._matcher.brand_ids)
        post = replace(post, routing_month=seen.routing_month)
        now = replace(
            seen,
            revision_ms=post.revision_ms,
            brand_ids=brand_ids,
            behind=tuple(brand_id for brand_id in lost if brand_id not in withdrawn),
            queries=queries,
            shift=seen.shift_of(post.revision_ms),
            flips=0,
            lang=post.declared_lang,
        )
        if not matches and not withdrawn:
            page.put(post.post_id, now)
            return Outcome.FILTERED
        self._pass_on(post, matches, withdrawn, page, now)
        return Outcome.OK

    def _pass_on(
        self, post: Post, matches: tuple[BrandMatch, ...], withdrawn: tuple[str, ...], page: LedgerPage, row: Seen
    ) -> None:
        """Send a post on under the revision that its row says, and keep the row."""
        passed = replace(post, revision_ms=row.next_ms) if row.next_ms != post.revision_ms else post
        self._emit(post.post_id, MatchedPost(post=passed, matches=matches, withdrawn=withdrawn))
        page.put(post.post_id, replace(row, flips=row.flips + 1) if withdrawn else row)
        self.handled.brands.update(match.brand_id for match in matches)

    def _emit(self, post_id: str, content: MatchedPost | Retraction) -> None:
        self._outputs.append(OutRecord.of(content, Topic.POSTS.value, post_id, self._run))


def _read(item: Item, normaliser: Normaliser, now: datetime) -> _Read:
    content = item.content
    if not isinstance(content, RawPost):
        return content
    try:
        return normaliser.normalise(content, now)
    except BadRecord as exc:
        return exc


def _post_ids(read: Sequence[_Read], source: str) -> list[str]:
    """Give the ids of all posts that are spoken of."""
    named: list[str] = []
    for content in read:
        if isinstance(content, Post):
            named.append(content.post_id)
        elif isinstance(content, Removed):
            named.append(_removed_id(content, source))
    return named


def _removed_id(removed: Removed, source: str) -> str:
    return ids.post_id(removed.source or source, removed.native_id)


def _brand_ids(matches: Sequence[BrandMatch]) -> tuple[str, ...]:
    return tuple([match.brand_id for match in matches])
