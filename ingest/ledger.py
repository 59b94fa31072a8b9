"""The seen ledger: what became of each matched post, durable, so that repeats are dropped and edits are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream.codec import from_json, to_json
from stream.protocol import Log, StateWrite

SPACE = "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a post: its newest revision, the brands it matched, the month it is routed by.

    `queries` identifies the brand queries it was matched against (`BrandMatcher.queries`). `gone`: the post was
    retracted and never comes back.
    """

    revision_ms: int
    brand_ids: tuple[str, ...]
    routing_month: str
    queries: str
    gone: bool = False

    def to_bytes(self) -> bytes:
        """Give the row as it is kept. Short keys: there is one row for each matched post, for years."""
        row: dict[str, object] = {"r": self.revision_ms, "m": self.routing_month, "q": self.queries}
        row["b"] = list(self.brand_ids)
        if self.gone:
            row["gone"] = True
        return to_json(row)

    @staticmethod
    def from_bytes(raw: bytes) -> Seen:
        """Read a row back."""
        row = from_json(raw)
        return Seen(
            revision_ms=row["r"],
            brand_ids=tuple(row["b"]),
            routing_month=row["m"],
            queries=row["q"],
            gone=row.get("gone", False),
        )


class LedgerPage:
    """The rows of one batch: read at once, changed in memory, written with the batch's settlement.

    A post that comes twice in one batch meets its own first row. Nothing is durable before it is settled.
    """

    def __init__(self, log: Log, post_ids: Iterable[str]) -> None:
        rows = log.state(SPACE, list(dict.fromkeys(post_ids)))
        self._rows = {post_id: Seen.from_bytes(raw) for post_id, raw in rows.items()}
        self._changed: dict[str, Seen] = {}

    def get(self, post_id: str) -> Seen | None:
        """Give what is known of a post, or None."""
        return self._changed.get(post_id) or self._rows.get(post_id)

    def put(self, post_id: str, seen: Seen) -> None:
        """Note what became of a post."""
        self._changed[post_id] = seen

    def writes(self) -> list[StateWrite]:
        """Give the changed rows for the settlement."""
        return [StateWrite(SPACE, post_id, seen.to_bytes()) for post_id, seen in self._changed.items()]
