"""The Store: where mentions are kept and asked for. Both stores keep this contract (tests/contract)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.aggregation import Aggregation, Result
from domain.engagement import Engagement
from domain.errors import BadRecord
from domain.listening import SourceReport
from domain.query.ast import Everything, Node
from domain.records import Event, Mention
from search.listening import GapReport
from search.retractions import MAX_ROWS, Record, RetractionRow

MAX_PAGE = 500
MAX_GAPS = 1_000


class Written(StrEnum):
    """What a write did."""

    STORED = "stored"
    # The store already has this mention, or a higher version, or a tombstone forbids it: done all the same.
    SUPERSEDED = "superseded"
    # The store already has this version of the mention from another record: its post was enriched more than once.
    REPEATED = "repeated"


class Sort(StrEnum):
    """Order of a search: by the milliseconds of `published_at` (else `collected_at`), then mention id.

    OLDEST is NEWEST backwards, ids included.
    """

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for. Filters are nodes too: `And((parsed, Keyword("brand_id", "acme")))`.

    `cursor` is a page's `next_cursor`; None starts at the beginning. `limit` in [1, MAX_PAGE].
    """

    node: Node = field(default_factory=Everything)
    sort: Sort = Sort.NEWEST
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page. `total` counts all matches; `next_cursor` is None on the last page."""

    mentions: tuple[Mention, ...]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """Posts that say nearly the same, as far as they are known and not gone.

    `original` is a mention of the earliest of them by event time (`published_at`, else `collected_at`), then post id;
    of several mentions the one of the newest version. Times are event times, to the millisecond.
    """

    story_id: str
    original: Mention
    posts: int
    mentions: int
    first_at: datetime
    last_at: datetime


class Store(Protocol):
    """Mentions by id and version; searchable within a second or so of `write`. Thread-safe."""

    def write(
        self, records: Sequence[Record], *, encoded: Sequence[bytes] | None = None
    ) -> Sequence[Written | BadRecord]:
        """Apply records in order, one outcome each; durable when it returns.

        `encoded` is each record as `stream.codec.encode` gives it, from whoever has it at hand: it only saves time.

        A mention is stored if its version is higher than the stored one. Of the same version it is SUPERSEDED by
        itself, and REPEATED where the stored one has another `enriched_at`. A withdrawal of version v removes a mention
        of version <= v and forbids versions <= v later. A retraction removes every mention of the post, or of the
        author in that source, and forbids all later writes of them; that it was asked for stands in the ledger then. A
        restoration that is later by the source's clock lifts this for what is collected from its `taken_from` on.

        A mention that has a signature (even an empty one) is given a story, the same for all mentions of its post: that
        of the oldest original within 30 days that says nearly the same (`domain.stories`), else its own. Only what was
        written before decides, so that batches and restarts change nothing. A post keeps its story until a higher
        version says something else; a mention without a signature keeps what its `story_id` says.

        Raises:
            RetryLater, BackendDown: nothing may be taken as written.
        """

    def engage(self, posts: Mapping[str, Engagement]) -> int:
        """Give the mentions of posts the numbers of likes and the like that a source now tells, by post id.

        Where they are newer than what a mention has (`engagement_at`), they take its place as a whole; nothing else of
        it changes, neither its version nor its story. What is not there, or no longer, stays away. A higher version
        that is written later has the numbers that it brings.

        Returns:
            How many mentions changed; all are durable.

        Raises:
            RetryLater, BackendDown: some may have changed. The same call again is harmless.
        """

    def search(self, request: SearchRequest) -> SearchPage:
        """Give one page of matching mentions.

        Raises:
            ConfigError: the cursor is not one of ours.
        """

    def aggregate(self, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
        """Count over all mentions that `node` matches; answers under the same names."""

    def get(self, mention_id: str) -> Mention | None:
        """Give one mention as last written (no waiting for the index), or None."""

    def retracted_at(self, post_id: str) -> datetime | None:
        """Give when a post was retracted, to the millisecond, or None when it is not (no waiting for the index)."""

    def retractions(self, limit: int = MAX_ROWS, *, done_since: datetime | None = None) -> Sequence[RetractionRow]:
        """Give the ledger, what was asked for last first: every retraction, and how many mentions went by it.

        Args:
            limit: rows at most.
            done_since: only what is done, at this moment or later.
        """

    def story(self, story_id: str) -> Story | None:
        """Give a story as last written, or None when no mention that has a signature is in it.

        Takes time in the number of its mentions: 0.06 s for 100,000.
        """

    def count(self) -> int:
        """Give how many mentions are stored, from the truth and not the index."""

    def note(self, events: Sequence[Event]) -> None:
        """Keep what events say of listening: the newest heartbeat of each source, and gaps. Repeats change nothing.

        Raises:
            RetryLater, BackendDown: nothing may be taken as kept.
        """

    def sources(self) -> Sequence[SourceReport]:
        """Give the last heartbeat of each source that was ever heard of, by name."""

    def gaps(self, start: datetime, end: datetime) -> Sequence[GapReport]:
        """Give gaps that touch `[start, end)`, the oldest first; at most MAX_GAPS."""

    def refresh(self) -> None:
        """Make everything written so far searchable before returning."""

    def close(self) -> None:
        """Flush and release the files."""
