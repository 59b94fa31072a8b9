"""Small durable documents that processes share: alerts, the outbox, subscriptions. Stores keep this contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.errors import ServiceError

# The revision of a document that is not there.
ABSENT = ""
MAX_SCAN = 1_000


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

    A kind is a slug, an id 1 to 400 characters of ASCII without white space.
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
            RetryLater, BackendDown: nothing may be taken as changed.
        """

    def close(self) -> None:
        """Release files or connections."""
