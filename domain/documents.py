"""Small durable documents that processes share: alerts, the outbox, subscriptions. Stores keep this contract."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.errors import ServiceError

# The revision of a document that is not there.
ABSENT = ""
MAX_SCAN = 1_000

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_ID = re.compile(r"[!-~]{1,400}", re.ASCII)
_PREFIX = re.compile(r"[!-~]{0,400}", re.ASCII)


class Conflict(ServiceError):
    """Somebody else changed a document since it was read. Read it again and decide anew."""

    def __init__(self, kind: str, ids: Sequence[str]) -> None:
        self.kind, self.ids = kind, tuple(ids)
        super().__init__(f"{kind} {', '.join(ids[:3])}: was changed by somebody else meanwhile")


@dataclass(frozen=True, slots=True)
class Document:
    """`body` is JSON: texts, numbers, booleans, None, lists and objects of these. `revision` is the store's own."""

    kind: str
    doc_id: str
    body: Mapping[str, Any]
    revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """Put `body` in the place of a document, or delete it (None).

    `expected` is the revision that was read (ABSENT: nothing was there); None asks for no comparison.
    """

    kind: str
    doc_id: str
    body: Mapping[str, Any] | None
    expected: str | None = None


class Documents(Protocol):
    """Documents by kind and id, changed by compare-and-set. Thread-safe, and safe between processes.

    A kind is a slug of at most 64 characters, an id 1 to 400 characters of ASCII without white space. Others are
    mistakes of the program: ValueError. No revision ever comes again, though a document was deleted and made anew.
    """

    def get(self, kind: str, doc_ids: Sequence[str]) -> Mapping[str, Document]:
        """Give documents by id as last changed by anybody; absent ones are left out."""

    def scan(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = MAX_SCAN, descending: bool = False
    ) -> Sequence[Document]:
        """Give the documents of a kind whose id begins with `prefix`, by id, those beyond `after` only.

        Args:
            kind: whose documents.
            prefix: what their ids begin with.
            after: the last id of the page before, in the direction of reading.
            limit: in [1, MAX_SCAN].
            descending: from the highest id down.

        What anybody changed before the call is seen.
        """

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes durable. No two of one call are of the same document.

        Raises:
            Conflict: an expected revision was not there. One file changes nothing then; Elasticsearch may have made
                the other changes of this call, so ids and bodies are chosen so that the same call again is harmless.
            BadRecord: a body that JSON cannot hold (a number that is not finite, a lone surrogate); nothing is changed.
            RetryLater, BackendDown: nothing may be taken as changed.
        """

    def close(self) -> None:
        """Release files or connections."""


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a document; of another, nobody made one."""
    return _ID.fullmatch(text) is not None


def require_ids(kind: str, doc_ids: Iterable[str]) -> None:
    """Check a kind and ids of documents.

    Raises:
        ValueError: one is not as `Documents` says.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"found the kind {kind!r}, expected a slug")
    for doc_id in doc_ids:
        if not is_id(doc_id):
            raise ValueError(f"{kind}: found the id {doc_id!r}, expected 1 to 400 characters of ASCII without spaces")


def require_scan(kind: str, prefix: str, after: str, limit: int) -> None:
    """Check what a scan asks for.

    Raises:
        ValueError: it cannot be asked for.
    """
    require_ids(kind, [after] if after else [])
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{kind}: found the prefix {prefix!r}, expected ASCII without spaces")
    if not 1 <= limit <= MAX_SCAN:
        raise ValueError(f"limit: found {limit}, expected 1 to {MAX_SCAN}")


def require_changes(changes: Sequence[Change]) -> None:
    """Check what is to be changed.

    Raises:
        ValueError: an id cannot be, or two changes are of the same document.
    """
    for change in changes:
        require_ids(change.kind, [change.doc_id])
    if len({(change.kind, change.doc_id) for change in changes}) != len(changes):
        raise ValueError("found two changes of one document, expected one of each")
