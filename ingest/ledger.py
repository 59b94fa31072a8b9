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
    retracted and never comes back. `behind` are brands that were paused when the post was edited: their mentions are
    of an older revision. `lang` is what the source declared, which no mention keeps. `reader` is the source that it
    was read from, whose owner settles this row, where that is not the post's own.

    `revision_ms` is the post's own. A withdrawal forbids its version for good, so a brand that is found again in the
    same revision needs a higher one: what goes on carries `next_ms`, which is `shift` above the post's own, and one
    more for each withdrawal since (`flips`).
    """

    revision_ms: int
    brand_ids: tuple[str, ...]
    routing_month: str
    queries: str
    gone: bool = False
    behind: tuple[str, ...] = ()
    shift: int = 0
    flips: int = 0
    lang: str | None = None
    reader: str | None = None

    @property
    def passed_ms(self) -> int:
        """The least revision under which the text of this revision went on."""
        return self.revision_ms + self.shift

    @property
    def next_ms(self) -> int:
        """The revision under which this revision goes on next."""
        return self.passed_ms + self.flips

    def shift_of(self, revision_ms: int) -> int:
        """Give by how much a newer revision of the post must be raised to be above all that went on before."""
        return max(0, self.next_ms + 1 - revision_ms)

    def to_bytes(self) -> bytes:
        """Give the row as it is kept. Short keys: there is one row for each matched post, for years."""
        row: dict[str, object] = {"r": self.revision_ms, "m": self.routing_month, "q": self.queries}
        row["b"] = list(self.brand_ids)
        if self.gone:
            row["gone"] = True
        rare = {"h": list(self.behind), "s": self.shift, "f": self.flips, "l": self.lang, "o": self.reader}
        row |= {name: value for name, value in rare.items() if value}
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
            behind=tuple(row.get("h", ())),
            shift=row.get("s", 0),
            flips=row.get("f", 0),
            lang=row.get("l"),
            reader=row.get("o"),
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
