"""What a source is: batches of items with a place to resume after each, finite and live sources alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from domain.brand import Brand
from domain.engagement import Engagement
from domain.errors import BadRecord
from domain.records import Outcome

if TYPE_CHECKING:
    from ingest.normalise import NormaliserSettings

# Every name a source may fill in `RawPost.fields`: what the normaliser understands.
RAW_FIELDS: tuple[str, ...] = (
    "id", "text", "title", "url", "source", "kind", "lang",
    "author_id", "author_handle", "author_name", "author_followers",
    "reply_to", "thread_id", "published_at", "edited_at",
    "likes", "reposts", "replies", "views", "engagement_at",
    "location", "links", "hashtags",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPost:
    """One item in our field names (`RAW_FIELDS`), its values still as the source gave them.

    An absent field is unknown; an empty one too, but an empty `id` is a mistake. `attrs` is everything else the
    source said. `row` is the content to derive an id from where the source has none at all; None means that an
    id is owed. `html` tells whether text and title are HTML; None when the source does not know.
    """

    fields: Mapping[str, object]
    attrs: Mapping[str, object] = field(default_factory=dict)
    row: str | None = None
    html: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The source says that a post was deleted or withheld. `source` None means the source's own name.

    `addressed`: it was said to us and not to the world, so it is kept for good even where nothing is known of the post.
    """

    native_id: str
    removed_at: datetime
    source: str | None = None
    reason: str = "deleted"
    addressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorRemoved:
    """The source says that an author is gone: all posts go, known or not, and later ones are not taken.

    `addressed`: as of `Removed`.
    """

    author_id: str
    removed_at: datetime
    source: str | None = None
    reason: str = "author deleted"
    addressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The source takes a removal back: of one post (`native_id`) or of an author (`author_id`), exactly one of them.

    What was removed is not brought back by it; what comes from now on is taken again.
    """

    restored_at: datetime
    native_id: str | None = None
    author_id: str | None = None
    source: str | None = None


# Why nothing was heard before a source was opened, for the first time in this process and after that.
NOT_RUNNING = "it was not running"
OPENED_ANEW = "it had failed and was opened anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A span of time in which the source did not listen. It is no record and stands in no books.

    `recovered` is how many items of it were fetched afterwards, and `method` by what; None and "" when nothing was
    tried. An item whose content is a gap gives the cursor of what came before it.
    """

    start: datetime
    end: datetime
    reason: str
    recovered: int | None = None
    method: str = ""


Content: TypeAlias = RawPost | Removed | AuthorRemoved | Restored | Gap | BadRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a source gave, good or bad.

    `raw` holds enough of the original bytes to try again from a dead letter (for a row of a table, its header
    line too), or the first 64 KiB when the whole was over 16 MiB: then `raw_bytes` and `raw_sha256` describe the
    whole. `position` is for people ("posts.jsonl:17"); `cursor` is where to go on after this item.
    """

    position: str
    cursor: str
    raw: bytes
    content: Content
    raw_bytes: int | None = None
    raw_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How a live source fares. `event_at` is the time of the newest thing that it gave, by the source's own clock.

    `spent_today` is in `currency` ("USD", "units"), since midnight where the source counts; None where nothing costs.
    """

    connected: bool
    event_at: datetime | None = None
    errors: int = 0
    spent_today: float | None = None
    currency: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a finite source has been read, in a unit of its own (bytes for a file); total None is unknown."""

    done: int
    total: int | None


class SourceReader(Protocol):
    """An opened source. Not thread-safe."""

    def read(self, max_items: int) -> Sequence[Item] | None:
        """Give the next items, at most `max_items`, in order.

        Empty: nothing right now, ask again. None: the source is finished and will never give more.

        Raises:
            RetryLater: the source asks for patience; the same items come after the wait.
            BackendDown: the source cannot be read.
        """

    def extent(self) -> Extent | None:
        """Tell how far a finite source has been read; None for a live one."""

    def close(self) -> None:
        """Let go of files and connections. What was not settled comes again after the next `open`."""


class Source(Protocol):
    """Where posts come from. Building one opens nothing."""

    @property
    def name(self) -> str:
        """The `source` of posts that do not name their own."""

    @property
    def key(self) -> str:
        """A name for this very source (for a file, its path) under which its cursor is kept."""

    def can_resume(self, cursor: str) -> bool:
        """Tell whether the source still is what it was when it gave `cursor`."""

    def open(self, cursor: str | None) -> SourceReader:
        """Start after the item that gave `cursor`, or at the beginning.

        A cursor that cannot be resumed starts at the beginning: repeats are dropped by the seen ledger, a gap
        could not be mended.

        Raises:
            ConfigError: it cannot be read as configured: every problem found.
            BackendDown: it cannot be reached.
        """


class LiveReader(SourceReader, Protocol):
    """An opened live source. It connects in `read`, and connects again there after it was cut off.

    `read` waits a fraction of a second at most for something to come, and never gives None. While the source cannot be
    reached it raises RetryLater with the reason and the wait; where credentials or settings are refused, ConfigError
    with one line that names the setting and its page. Both leave the reader usable: the next `read` tries again.
    """

    def vitals(self) -> Vitals:
        """Tell how it fares, at any time and from any thread."""


@runtime_checkable
class Acknowledged(Protocol):
    """A live reader that acts on what is durable: answers whoever sent it, puts a file away. Most lack this."""

    def settled(
        self, outcomes: Sequence[Outcome], errors: Sequence[BadRecord], retracted: Collection[int] = ()
    ) -> None:
        """All that the last `read` gave is durable: the outcome of each item but gaps, the errors of the parked ones.

        `retracted` are the places of those outcomes that are of posts kept out because they or their authors are gone.
        Called by the thread that reads, before it reads on. A reader that is closed without it, or read on, may have
        given what is not durable.
        """


@runtime_checkable
class Placed(Protocol):
    """A live reader whose place moves on though nothing comes, such as the time of the last sign of life."""

    def place(self) -> str | None:
        """Give a cursor behind all that was given, newer than the last one that was given; None where there is none.

        Called by the thread that reads, when all that was given is durable.
        """


@runtime_checkable
class AsksForWords(Protocol):
    """A live source that is asked for the brands' words. Most give everything and lack this."""

    def brands_changed(self, brands: Sequence[Brand]) -> None:
        """Ask for these brands from the next `read` on. Called from any thread."""


class LiveSource(Source, Protocol):
    """A source that goes on for ever. `open` connects nothing."""

    @property
    def normalise(self) -> NormaliserSettings:
        """How its values are read."""

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        """Read one item again from a dead letter's payload, as it was kept or as it was corrected by hand.

        `id_owed`: an item without an id stays bad.

        Raises:
            ConfigError: the payload holds no item of this source.
        """

    def open(self, cursor: str | None) -> LiveReader:
        """As `Source.open`. Without a cursor it begins now, or as far back as the source gives without asking."""


class EngagementLookup(Protocol):
    """An open way to ask a source what posts have earned since they were collected. Not thread-safe."""

    @property
    def most(self) -> int:
        """How many posts one call may ask for."""

    def engagement(self, native_ids: Sequence[str]) -> Mapping[str, Engagement]:
        """Ask for the numbers of posts, at most `most`; waits for the answer.

        Returns:
            The numbers by native id. What is gone, or unknown there, is left out; so is what has no number.

        Raises:
            RetryLater: the source asks for patience, or cannot be reached.
            ConfigError: it refuses us; one line that names the setting and its page.
        """

    def close(self) -> None:
        """Let go of connections."""


@runtime_checkable
class TellsEngagement(Protocol):
    """A source that tells for nothing what posts have earned. Most lack this."""

    @property
    def name(self) -> str:
        """The `source` of the posts."""

    def lookup(self) -> EngagementLookup | None:
        """Give a way to ask, which connects nothing before it is used; None where the settings forbid it."""


@runtime_checkable
class History(Protocol):
    """A live source whose past can be asked for. Those that have none lack this."""

    def history(self, start: datetime, end: datetime) -> Source:
        """Give what was published in `[start, end)` as a source that ends; its cursors are its own.

        Raises:
            ConfigError: the source gives nothing of that time; the message says how far back it goes.
        """
