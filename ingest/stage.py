"""The ingest stage: a batch of items from a source becomes one settlement, with exactly one outcome each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol, TypeAlias

from domain import ids
from domain.clock import Clock, to_ms
from domain.errors import BadRecord
from domain.records import (
    AuthorRetraction,
    BrandMatch,
    DeadLetter,
    Event,
    MatchedPost,
    Mention,
    Outcome,
    Post,
    Restoration,
    Retraction,
    Topic,
)
from ingest.ledger import NEVER_GONE, AuthorRow, LedgerPage, Seen, Standing, unseen
from ingest.normalise import Normaliser
from ingest.rematch import STAGE as STAGE
from ingest.rematch import Rematched, rematch
from ingest.removed_ring import RemovedRing
from ingest.source import AuthorRemoved, Gap, Item, RawPost, Removed, Restored
from stream.dead_letters import make_dead_letter
from stream.observer import Observer, SettledBatch
from stream.protocol import LIVE_RUN, Count, Log, OutRecord, Settlement, StateWrite

# What a source dates further ahead than this is taken as of now: a wrong clock must not win for ever.
_MAX_AHEAD = timedelta(minutes=5)

# What was parked live, by name, and how often it came again.
PARKED_SPACE = "parked"

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

    A gap is no record and has no outcome. `retracted` are places in `outcomes`: of posts that were kept out because
    they or their authors are gone.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    brands: Counter[str] = field(default_factory=Counter)
    errors: list[BadRecord] = field(default_factory=list)
    retracted: set[int] = field(default_factory=set)


class IngestStage:
    """Normalises, drops repeats, matches and settles. Thread-safe: sources share one ledger.

    For each post: an unseen one that matches no brand is FILTERED and leaves no trace; one that matches is OK. Of a
    post seen before, the same or an older revision is a DUPLICATE, a newer one is OK with the brands it no longer
    matches in `withdrawn`; a brand that is not matched for now (paused, removed) keeps its mention. Where brands were
    added or changed since, a seen revision is OK once more with its new brands alone.

    A removal of a known post or author is OK and sent on; until a later restoration, which is OK and sent on too,
    repeats of the post are DUPLICATE and posts of the author FILTERED. The removal of what is unknown is FILTERED, for
    a firehose deletes mostly what never was ours, and what comes after it is FILTERED while it is remembered; one that
    is addressed to us is kept for good. What is older than the last word by the source's clock is DUPLICATE.
    """

    def __init__(self, log: Log, matcher: Matcher, clock: Clock, observer: Observer | None = None) -> None:
        self._log, self._matcher, self._clock, self._observer = log, matcher, clock, observer
        # Reading the ledger and settling belong together, or two sources both take the same post for new.
        self._lock = threading.Lock()
        self._rings: dict[str, RemovedRing] = {}

    def took_over(self, source: str) -> None:
        """Forget what is remembered of a source: it may have been read elsewhere since."""
        with self._lock:
            self._rings.pop(source, None)

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
        with self._lock:
            page = LedgerPage(self._log, _post_ids(read, source))
            batch = _Batch(self._matcher, page, self._ring(source), source=source, run=run, now=now)
            batch.read_ahead(read)
            if run == LIVE_RUN:
                parked = self._log.state(PARKED_SPACE, _parked_keys(items, read, source))
                batch.parked = {key: int(times) for key, times in parked.items()}
            for item, content in zip(items, read, strict=True):
                batch.take(item, content)
            settlement = batch.settlement
            settlement.state += state
            self._settle(settlement)
        self._tell(settlement, since)
        return batch.handled

    def forget(
        self, *, source: str, native_id: str | None = None, author_id: str | None = None, asked_by: str, reason: str
    ) -> str:
        """Retract a post or an author because a person asks for it, known or not; gives its id.

        It is no item of a source and stands in no books of this stage. Asked for again it goes on again, for the
        ledger of the store has a row for each time.

        Raises:
            RetryLater, BackendDown: nothing was settled.
        """
        now = self._clock.now()
        with self._lock:
            page = LedgerPage(self._log, [] if native_id is None else [ids.post_id(source, native_id)])
            batch = _Batch(self._matcher, page, self._ring(source), source=source, run=LIVE_RUN, now=now)
            if native_id is not None:
                key = batch.retract(source, ids.post_id(source, native_id), now, reason, asked_by)
            else:
                key = batch.retract_author(source, ids.author_key(source, author_id or ""), now, reason, asked_by)
            self._settle(batch.settlement)
        return key

    def _ring(self, source: str) -> RemovedRing:
        if source not in self._rings:
            self._rings[source] = RemovedRing(self._log, source)
        return self._rings[source]

    def _settle(self, settlement: Settlement) -> None:
        try:
            self._log.settle(settlement)
        except BaseException:
            # What the rings noted may not be durable.
            self._rings.clear()
            raise

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
        with self._lock:
            page = LedgerPage(self._log, _post_ids([content], source))
            batch = _Batch(self._matcher, page, self._ring(source), source=source, run=letter.run, now=now)
            batch.take(item, content)
            if batch.handled.outcomes != [Outcome.PARKED]:
                settlement = batch.settlement
                settlement.counts.append(Count(STAGE, letter.run, Outcome.PARKED, -1, letter.reason))
                settlement.state += state
                self._settle(settlement)
                self._tell(settlement, since)
        return batch.handled


class _Batch:
    """Collects what a batch leaves behind."""

    def __init__(
        self, matcher: Matcher, page: LedgerPage, ring: RemovedRing, *, source: str, run: str, now: datetime
    ) -> None:
        self._matcher, self._page, self._ring = matcher, page, ring
        self._source, self._run, self._now = source, run, now
        self._outputs: list[OutRecord] = []
        self._dead: list[DeadLetter] = []
        # By the place of the post in memory, which the batch holds on to.
        self._matches: dict[int, tuple[BrandMatch, ...]] = {}
        # How often what cannot be read came again since it was parked, as it was before this batch and as it is.
        self.parked: dict[str, int] = {}
        self._parked_now: dict[str, StateWrite] = {}
        self.handled = Handled()

    def read_ahead(self, read: Sequence[_Read]) -> None:
        """Match what is new, and read the authors of what matches or was taken before, all at once."""
        authors: list[str] = []
        for content in read:
            if isinstance(content, Post):
                seen = self._page.get(content.post_id)
                if seen is None and not self._match(content):
                    continue
                if content.author_id is not None:
                    authors.append(ids.author_key(content.source, content.author_id))
            elif isinstance(content, AuthorRemoved | Restored) and content.author_id is not None:
                authors.append(ids.author_key(content.source or self._source, content.author_id))
        self._page.read_authors(authors)

    def _match(self, post: Post) -> tuple[BrandMatch, ...]:
        found = self._matches.get(id(post))
        if found is None:
            found = self._matches[id(post)] = self._matcher.match(post)
        return found

    def take(self, item: Item, content: _Read) -> None:
        """Decide on one item."""
        if isinstance(content, Gap):
            self._tell_gap(content)
            return
        if isinstance(content, BadRecord):
            outcome = self._park(item, content)
        elif isinstance(content, Removed):
            outcome = self._remove(content)
        elif isinstance(content, AuthorRemoved):
            outcome = self._remove_author(content)
        elif isinstance(content, Restored):
            outcome = self._restore(content) if content.author_id is None else self._restore_author(content)
        else:
            outcome = self._take_post(content)
        self.handled.outcomes.append(outcome)

    @property
    def settlement(self) -> Settlement:
        numbers = Counter(outcome for outcome in self.handled.outcomes if outcome is not Outcome.PARKED)
        counts = [Count(STAGE, self._run, outcome, number) for outcome, number in numbers.items()]
        counts += [
            Count(STAGE, self._run, Outcome.PARKED, number, reason) for reason, number in self.handled.reasons.items()
        ]
        state = [*self._page.writes(), *self._ring.writes(), *self._parked_now.values()]
        return Settlement(
            group=STAGE, source=self._source, outputs=self._outputs, dead=self._dead, counts=counts, state=state
        )

    def _park(self, item: Item, error: BadRecord) -> Outcome:
        if self._run == LIVE_RUN:
            # A source that is opened again may give again what cannot be read: one letter of it is enough.
            key = _parked_key(item, self._source)
            again = self.parked[key] + 1 if key in self.parked else 0
            self.parked[key] = again
            self._parked_now[key] = StateWrite(PARKED_SPACE, key, str(again).encode())
            if again:
                return Outcome.DUPLICATE
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

    # --- removals and restorations

    def _remove(self, removed: Removed) -> Outcome:
        post_id = _post_id(removed, self._source)
        seen = self._page.get(post_id)
        if seen is None and not removed.addressed:
            self._ring.add("post", post_id)
            return Outcome.FILTERED
        if (outcome := self._stale(seen.standing if seen else NEVER_GONE, removed.removed_at)) is not None:
            return outcome
        about = removed.source or self._source
        self.retract(about, post_id, removed.removed_at, removed.reason, self._asker(about))
        return Outcome.OK

    def _asker(self, about: str) -> str | None:
        """Name who told of a removal, where that is another source than the one whose post it is."""
        return self._source if about != self._source else None

    def _stale(self, standing: Standing, removed_at: datetime) -> Outcome | None:
        """Tell what becomes of a removal that is no news; None of one that is."""
        return Outcome.DUPLICATE if standing.is_gone or not standing.gone(self._at_ms(removed_at)).is_gone else None

    def retract(self, source: str, post_id: str, at: datetime, reason: str, asked_by: str | None = None) -> str:
        """Note that a post is gone, and send it on; gives its id."""
        seen = self._page.get(post_id) or unseen()
        self._page.put(post_id, replace(seen, standing=seen.standing.gone(self._at_ms(at))))
        retraction = Retraction(
            post_id=post_id,
            source=source,
            retracted_at=self._believed(at),
            reason=reason,
            asked_by=asked_by,
            asked_at=self._now,
        )
        self._emit(post_id, retraction)
        return post_id

    def _remove_author(self, removed: AuthorRemoved) -> Outcome:
        key = ids.author_key(removed.source or self._source, removed.author_id)
        row = self._page.author(key)
        if row is None and not removed.addressed:
            self._ring.add("author", key)
            return Outcome.FILTERED
        if (outcome := self._stale(row.standing if row else NEVER_GONE, removed.removed_at)) is not None:
            return outcome
        about = removed.source or self._source
        self.retract_author(about, key, removed.removed_at, removed.reason, self._asker(about))
        return Outcome.OK

    def retract_author(self, source: str, key: str, at: datetime, reason: str, asked_by: str | None = None) -> str:
        """Note that an author is gone, and send it on; gives the key."""
        row = self._page.author(key) or AuthorRow()
        self._page.put_author(key, replace(row, standing=row.standing.gone(self._at_ms(at))))
        retraction = AuthorRetraction(
            author_key=key,
            source=source,
            retracted_at=self._believed(at),
            reason=reason,
            asked_by=asked_by,
            asked_at=self._now,
        )
        self._emit(key, retraction)
        return key

    def _restore(self, restored: Restored) -> Outcome:
        post_id = _post_id(restored, self._source)
        seen = self._page.get(post_id)
        if seen is None:
            self._ring.discard("post", post_id)
            return Outcome.FILTERED
        standing = seen.standing.back(self._at_ms(restored.restored_at))
        if not seen.gone or standing.is_gone:
            return Outcome.DUPLICATE
        # Nothing of it is left, so it may come in any revision.
        self._page.put(post_id, replace(seen.emptied(), standing=standing))
        self._emit(post_id, self._restoration(restored, post_id=post_id))
        return Outcome.OK

    def _restore_author(self, restored: Restored) -> Outcome:
        key = ids.author_key(restored.source or self._source, restored.author_id or "")
        row = self._page.author(key)
        if row is None:
            self._ring.discard("author", key)
            return Outcome.FILTERED
        standing = row.standing.back(self._at_ms(restored.restored_at))
        if not row.standing.is_gone or standing.is_gone:
            return Outcome.DUPLICATE
        self._page.put_author(key, AuthorRow(standing=standing, returns=row.returns + 1))
        self._emit(key, self._restoration(restored, author_key=key))
        return Outcome.OK

    def _restoration(
        self, restored: Restored, *, post_id: str | None = None, author_key: str | None = None
    ) -> Restoration:
        return Restoration(
            source=restored.source or self._source,
            restored_at=self._believed(restored.restored_at),
            taken_from=self._now,
            post_id=post_id,
            author_key=author_key,
        )

    def _believed(self, at: datetime) -> datetime:
        return at if at <= self._now + _MAX_AHEAD else self._now

    def _at_ms(self, at: datetime) -> int:
        return to_ms(self._believed(at))

    # --- posts

    def _take_post(self, post: Post) -> Outcome:
        seen = self._page.get(post.post_id)
        if seen is not None and seen.gone:
            return self._kept_out(Outcome.DUPLICATE)
        if seen is None and not self._match(post):
            return Outcome.FILTERED
        author = self._author_of(post)
        if author is not None and author.standing.is_gone:
            return self._kept_out(Outcome.FILTERED)
        if seen is None:
            if self._ring.holds("post", post.post_id):
                # Ours after all: from now on it is kept for good.
                self._page.put(post.post_id, replace(unseen(), standing=Standing(gone_ms=0)))
                return self._kept_out(Outcome.FILTERED)
            matches = self._match(post)
            new = Seen(
                revision_ms=post.revision_ms,
                brand_ids=(),
                routing_month=post.routing_month,
                queries="",
                lang=post.declared_lang,
                reader=self._source if self._source != post.source else None,
            )
            self._pass_on(post, matches, (), self._row(new, author, brand_ids=_brand_ids(matches)))
            return Outcome.OK
        if author is not None and seen.returns < author.returns:
            # What was taken of it went with its author.
            seen = seen.emptied()
        return self._take_again(post, seen, author)

    def _kept_out(self, outcome: Outcome) -> Outcome:
        """Note that the post at hand was retracted."""
        self.handled.retracted.add(len(self.handled.outcomes))
        return outcome

    def _take_again(self, post: Post, seen: Seen, author: AuthorRow | None) -> Outcome:
        queries = self._matcher.queries
        if post.revision_ms < seen.revision_ms:
            return Outcome.DUPLICATE
        routed = replace(post, routing_month=seen.routing_month or post.routing_month)
        if post.revision_ms == seen.revision_ms:
            if seen.queries == queries:
                return Outcome.DUPLICATE
            new = tuple(match for match in self._match(post) if match.brand_id not in seen.brand_ids)
            brand_ids = (*seen.brand_ids, *_brand_ids(new))
            if not new:
                self._page.put(post.post_id, replace(seen, queries=queries))
                return Outcome.DUPLICATE
            behind = tuple(brand_id for brand_id in seen.behind if brand_id not in brand_ids)
            self._pass_on(routed, new, (), self._row(seen, author, brand_ids=brand_ids, behind=behind))
            return Outcome.OK
        matches = self._match(post)
        brand_ids = _brand_ids(matches)
        lost = [brand_id for brand_id in (*seen.brand_ids, *seen.behind) if brand_id not in brand_ids]
        # Of a brand that is paused or removed nobody knows whether it would match: its mention stays as it is.
        withdrawn = tuple(brand_id for brand_id in lost if brand_id in self._matcher.brand_ids)
        edited = replace(
            seen,
            revision_ms=post.revision_ms,
            routing_month=routed.routing_month,
            shift=seen.shift_of(post.revision_ms),
            flips=0,
            lang=post.declared_lang,
        )
        behind = tuple(brand_id for brand_id in lost if brand_id not in withdrawn)
        row = self._row(edited, author, brand_ids=brand_ids, behind=behind)
        if not matches and not withdrawn:
            self._page.put(post.post_id, row)
            return Outcome.FILTERED
        self._pass_on(routed, matches, withdrawn, row)
        return Outcome.OK

    def _author_of(self, post: Post) -> AuthorRow | None:
        """Give what is known of the author of a post that is ours; an unknown one is known from now on."""
        if post.author_id is None:
            return None
        key = ids.author_key(post.source, post.author_id)
        row = self._page.author(key)
        if row is None:
            gone = self._ring.holds("author", key)
            row = AuthorRow(standing=Standing(gone_ms=0) if gone else NEVER_GONE)
            self._page.put_author(key, row)
        return row

    def _row(
        self, seen: Seen, author: AuthorRow | None, *, brand_ids: tuple[str, ...], behind: tuple[str, ...] = ()
    ) -> Seen:
        """Give the row of a post as it is now matched."""
        returns = 0 if author is None else author.returns
        return replace(seen, brand_ids=brand_ids, behind=behind, queries=self._matcher.queries, returns=returns)

    def _pass_on(self, post: Post, matches: tuple[BrandMatch, ...], withdrawn: tuple[str, ...], row: Seen) -> None:
        """Send a post on under the revision that its row says, and keep the row."""
        passed = replace(post, revision_ms=row.next_ms) if row.next_ms != post.revision_ms else post
        self._page.put(post.post_id, replace(row, flips=row.flips + 1) if withdrawn else row)
        self._emit(post.post_id, MatchedPost(post=passed, matches=matches, withdrawn=withdrawn))
        self.handled.brands.update(match.brand_id for match in matches)

    def _emit(self, key: str, content: MatchedPost | Retraction | AuthorRetraction | Restoration) -> None:
        self._outputs.append(OutRecord.of(content, Topic.POSTS.value, key, self._run))


def parked_key(payload_sha256: str, source: str) -> str:
    """Name what cannot be read by a hash of it, so that nothing of it is kept under PARKED_SPACE."""
    return f"{source}/{payload_sha256}"


def _parked_key(item: Item, source: str) -> str:
    return parked_key(item.raw_sha256 or sha256(item.raw).hexdigest(), source)


def _parked_keys(items: Sequence[Item], read: Sequence[_Read], source: str) -> list[str]:
    return [
        _parked_key(item, source) for item, content in zip(items, read, strict=True) if isinstance(content, BadRecord)
    ]


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
        elif isinstance(content, Removed) or (isinstance(content, Restored) and content.native_id is not None):
            named.append(_post_id(content, source))
    return named


def _post_id(content: Removed | Restored, source: str) -> str:
    return ids.post_id(content.source or source, content.native_id or "")


def _brand_ids(matches: Sequence[BrandMatch]) -> tuple[str, ...]:
    return tuple([match.brand_id for match in matches])
