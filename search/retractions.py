"""What must not come back, and the ledger of who asked for it: the same rules for every store.

Of a post or an author a store keeps the latest retraction and the latest restoration, by the source's clock. Each only
grows, so the order in which they arrive changes nothing, nor do repeats and a second worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from domain import ids
from domain.clock import to_ms
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal

Record: TypeAlias = Mention | Withdrawal | Retraction | AuthorRetraction | Restoration

MAX_ROWS: Final = 1_000
# Said wherever the ledger is shown.
NOT_RECALLED: Final = "What was mailed or downloaded before cannot be recalled."


class Stone(NamedTuple):
    """What is known of the retraction of one subject. Times are in ms since 1970.

    `taken_from_ms` is by our clock: what was collected before it stays away even when the subject is back.
    """

    retracted_ms: int | None = None
    restored_ms: int | None = None
    taken_from_ms: int | None = None

    @property
    def blocks(self) -> bool:
        """Tell whether the subject is gone now; at the same moment a retraction is stronger."""
        if self.retracted_ms is None:
            return False
        return self.restored_ms is None or self.retracted_ms >= self.restored_ms

    def forbids(self, record: Mention | Withdrawal) -> bool:
        """Tell whether a write is refused."""
        if self.retracted_ms is None:
            return False
        if self.blocks:
            return True
        # A withdrawal brings nothing back.
        return isinstance(record, Mention) and self.forbids_collected(record.collected_at)

    def forbids_collected(self, at: datetime) -> bool:
        """Tell whether a mention that was collected then is refused, and goes where it is there."""
        if self.retracted_ms is None:
            return False
        return self.blocks or to_ms(at) < (self.taken_from_ms or 0)

    def retracted(self, at_ms: int) -> Stone:
        """Give it with a retraction more."""
        return self._replace(retracted_ms=at_ms if self.retracted_ms is None else max(self.retracted_ms, at_ms))

    def restored(self, at_ms: int, taken_from_ms: int) -> Stone:
        """Give it with a restoration more."""
        if self.restored_ms is not None and self.restored_ms >= at_ms:
            return self
        return self._replace(restored_ms=at_ms, taken_from_ms=taken_from_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractionRow:
    """One retraction that was asked for. `mentions` is how many went by it.

    `done_at` is to the millisecond, and None while not all are gone. It never holds anything of what a post says.
    """

    subject: Literal["post", "author"]
    # The post id, or `domain.ids.author_key`.
    key: str
    source: str
    reason: str
    asked_by: str
    asked_at: datetime
    done_at: datetime | None = None
    mentions: int = 0

    @property
    def row_id(self) -> str:
        """Name it: the same whenever the same record of the log is applied."""
        return ids.post_key("\n".join((self.subject, self.key, str(to_ms(self.asked_at)), self.asked_by)))


def row_of(record: Retraction | AuthorRetraction) -> RetractionRow | None:
    """Give the row of a retraction that is about to be applied; None of one that does not know when it was asked."""
    if record.asked_at is None:
        return None
    is_post = isinstance(record, Retraction)
    return RetractionRow(
        subject="post" if is_post else "author",
        key=record.post_id if isinstance(record, Retraction) else record.author_key,
        source=record.source,
        reason=record.reason,
        asked_by=record.asked_by or record.source,
        asked_at=record.asked_at,
    )


def author_key_of(mention: Mention) -> str | None:
    """Give whose a mention is, None where nobody knows."""
    return None if mention.author_id is None else ids.author_key(mention.source, mention.author_id)


def author_id_of(retraction: AuthorRetraction) -> str:
    """Give the id of the author within the source."""
    return retraction.author_key.removeprefix(f"{retraction.source}:")


def document_of(row: RetractionRow) -> dict[str, Any]:
    """Give a row as values of JSON; `row_of_document` reads it back."""
    document = {
        "subject": row.subject,
        "key": row.key,
        "source": row.source,
        "reason": row.reason,
        "asked_by": row.asked_by,
        "asked_at": row.asked_at,
        "done_at": row.done_at,
        "mentions": row.mentions,
    }
    return {name: value for name, value in document.items() if value is not None}


def row_of_document(document: Mapping[str, Any]) -> RetractionRow:
    """Read a row.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    done_at = document.get("done_at")
    return RetractionRow(
        subject="author" if document["subject"] == "author" else "post",
        key=str(document["key"]),
        source=str(document["source"]),
        reason=str(document["reason"]),
        asked_by=str(document["asked_by"]),
        asked_at=datetime.fromisoformat(document["asked_at"]),
        done_at=None if done_at is None else datetime.fromisoformat(done_at),
        mentions=int(document["mentions"]),
    )
