"""What another store knows to be gone, kept in our ledger, so that what comes of it is kept out before it is tagged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from domain.clock import to_ms
from domain.records import AuthorRetraction, Restoration, Retraction
from ingest.ledger import AuthorRow, LedgerPage, Standing, unseen
from stream.protocol import Log, Settlement

Gone: TypeAlias = Retraction | AuthorRetraction | Restoration
_T = TypeVar("_T")

_AT_ONCE = 1_000


def noting(log: Log, pieces: Iterable[_T]) -> Iterator[_T]:
    """Give pieces as they are; the retractions and restorations among them are in the ledger at the end.

    For a log that nobody else writes: no stage may run meanwhile. Doing it again changes nothing.

    Raises:
        BackendDown: the log cannot be written.
    """
    waiting: list[Gone] = []
    for piece in pieces:
        if isinstance(piece, Retraction | AuthorRetraction | Restoration):
            waiting.append(piece)
        if len(waiting) >= _AT_ONCE:
            _note(log, waiting)
            waiting.clear()
        yield piece
    _note(log, waiting)


def _note(log: Log, records: Sequence[Gone]) -> None:
    posts, authors = [_post_of(one) for one in records], [_author_of(one) for one in records]
    page = LedgerPage(log, [post_id for post_id in posts if post_id is not None])
    page.read_authors([key for key in authors if key is not None])
    for one, post_id, key in zip(records, posts, authors, strict=True):
        if post_id is not None:
            seen = page.get(post_id) or unseen()
            page.put(post_id, replace(seen, standing=_after(seen.standing, one)))
        elif key is not None:
            row = page.author(key) or AuthorRow()
            page.put_author(key, replace(row, standing=_after(row.standing, one)))
    log.settle(Settlement(state=page.writes()))


def _post_of(record: Gone) -> str | None:
    return None if isinstance(record, AuthorRetraction) else record.post_id


def _author_of(record: Gone) -> str | None:
    return None if isinstance(record, Retraction) else record.author_key


def _after(standing: Standing, record: Gone) -> Standing:
    if isinstance(record, Restoration):
        return standing.back(to_ms(record.restored_at))
    return standing.gone(to_ms(record.retracted_at))
