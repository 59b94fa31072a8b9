"""The seen ledger: what became of each matched post, durable, so that repeats are dropped and edits are told.

Beside it the authors of matched posts, so that one who is gone is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stream.codec import from_json, to_json
from stream.protocol import Log, StateWrite

SPACE = "seen"
AUTHOR_SPACE = "author"
# Of a post that may come in any revision: nothing of it was taken, or what was taken is gone.
NO_REVISION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a post or an author is gone: the latest removal and the latest restoration, by the source's clock."""

    gone_ms: int | None = None
    back_ms: int | None = None

    @property
    def is_gone(self) -> bool:
        """Tell which was later; at the same moment the removal is stronger."""
        return self.gone_ms is not None and (self.back_ms is None or self.gone_ms >= self.back_ms)

    def gone(self, at_ms: int) -> Standing:
        """Give it with a removal more."""
        return replace(self, gone_ms=at_ms if self.gone_ms is None else max(at_ms, self.gone_ms))

    def back(self, at_ms: int) -> Standing:
        """Give it with a restoration more."""
        return replace(self, back_ms=at_ms if self.back_ms is None else max(at_ms, self.back_ms))

    def to_row(self) -> dict[str, object]:
        """Give what is kept."""
        row = {"g": self.gone_ms, "k": self.back_ms}
        return {name: value for name, value in row.items() if value is not None}

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> Standing:
        """Read it back."""
        return Standing(gone_ms=row.get("g"), back_ms=row.get("k"))


NEVER_GONE = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorRow:
    """An author of whom a post was taken, or who was removed by request. `returns` counts restorations."""

    standing: Standing = NEVER_GONE
    returns: int = 0

    def to_bytes(self) -> bytes:
        """Give the row as it is kept: two bytes for nearly all."""
        return to_json({**self.standing.to_row(), **({"n": self.returns} if self.returns else {})})

    @staticmethod
    def from_bytes(raw: bytes) -> AuthorRow:
        """Read a row back."""
        row = from_json(raw)
        return AuthorRow(standing=Standing.of_row(row), returns=row.get("n", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a post: its newest revision, the brands it matched, the month it is routed by.

    `queries` identifies the brand queries it was matched against (`BrandMatcher.queries`). `returns`: how often its
    author had come back when it was taken. `routing_month` is "" and `revision_ms` NO_REVISION of a post that was
    removed before it came. `behind` are brands that were paused when the post was edited: their mentions are of an
    older revision. `lang` is what the source declared, which no mention keeps. `reader` is the source that it was read
    from, whose owner settles this row, where that is not the post's own.

    `revision_ms` is the post's own. A withdrawal forbids its version for good, so a brand that is found again in the
    same revision needs a higher one: what goes on carries `next_ms`, which is `shift` above the post's own, and one
    more for each withdrawal since (`flips`).
    """

    revision_ms: int
    brand_ids: tuple[str, ...]
    routing_month: str
    queries: str
    standing: Standing = NEVER_GONE
    returns: int = 0
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

    def emptied(self) -> Seen:
        """Give the row of a post of which nothing is left and which may come in any revision, above all before it."""
        return replace(
            self, revision_ms=NO_REVISION, brand_ids=(), behind=(), shift=self.next_ms - NO_REVISION, flips=0
        )

    @property
    def gone(self) -> bool:
        """Tell whether the post was retracted and is not back."""
        return self.standing.is_gone

    def to_bytes(self) -> bytes:
        """Give the row as it is kept. Short keys: there is one row for each matched post, for years."""
        row: dict[str, object] = {"r": self.revision_ms, "m": self.routing_month, "q": self.queries}
        row |= self.standing.to_row()
        row["b"] = list(self.brand_ids)
        rare = {"h": list(self.behind), "s": self.shift, "f": self.flips, "l": self.lang, "o": self.reader}
        row |= {name: value for name, value in rare.items() if value}
        if self.returns:
            row["n"] = self.returns
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
            behind=tuple(row.get("h", ())),
            shift=row.get("s", 0),
            flips=row.get("f", 0),
            lang=row.get("l"),
            reader=row.get("o"),
            # Older rows say only that, and not when.
            standing=Standing(gone_ms=0) if row.get("gone") else Standing.of_row(row),
            returns=row.get("n", 0),
        )


def unseen() -> Seen:
    """Give the row of a post that is removed before it came."""
    return Seen(revision_ms=NO_REVISION, brand_ids=(), routing_month="", queries="")


class LedgerPage:
    """The rows of one batch: read at once, changed in memory, written with the batch's settlement.

    A post that comes twice in one batch meets its own first row. Nothing is durable before it is settled.
    """

    def __init__(self, log: Log, post_ids: Iterable[str]) -> None:
        rows = log.state(SPACE, list(dict.fromkeys(post_ids)))
        self._rows = {post_id: Seen.from_bytes(raw) for post_id, raw in rows.items()}
        self._changed: dict[str, Seen] = {}
        self._log = log
        self._authors: dict[str, AuthorRow | None] = {}
        self._changed_authors: dict[str, AuthorRow] = {}

    def get(self, post_id: str) -> Seen | None:
        """Give what is known of a post, or None."""
        return self._changed.get(post_id) or self._rows.get(post_id)

    def put(self, post_id: str, seen: Seen) -> None:
        """Note what became of a post."""
        self._changed[post_id] = seen

    def read_authors(self, keys: Iterable[str]) -> None:
        """Read the rows of several authors at once."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._authors]
        rows = self._log.state(AUTHOR_SPACE, wanted) if wanted else {}
        for key in wanted:
            self._authors[key] = AuthorRow.from_bytes(rows[key]) if key in rows else None

    def author(self, key: str) -> AuthorRow | None:
        """Give what is known of an author, or None."""
        self.read_authors([key])
        return self._changed_authors.get(key) or self._authors[key]

    def put_author(self, key: str, row: AuthorRow) -> None:
        """Note what became of an author."""
        self._changed_authors[key] = row

    def writes(self) -> list[StateWrite]:
        """Give the changed rows for the settlement."""
        posts = [StateWrite(SPACE, post_id, seen.to_bytes()) for post_id, seen in self._changed.items()]
        return posts + [StateWrite(AUTHOR_SPACE, key, row.to_bytes()) for key, row in self._changed_authors.items()]
