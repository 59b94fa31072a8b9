"""What a source is: batches of items with a place to resume after each, finite and live sources alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from domain.errors import BadRecord

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
    """The source says that a post was deleted or withheld. `source` None means the source's own name."""

    native_id: str
    removed_at: datetime
    source: str | None = None
    reason: str = "deleted"


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
    content: RawPost | Removed | BadRecord
    raw_bytes: int | None = None
    raw_sha256: str | None = None


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
