"""Our own `_bulk` caller: an outcome for each item, retried where that may help, never a batch lost to one record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from domain.errors import BackendDown, BadReason, BadRecord, RetryLater, ServiceError
from search.elastic_http import (
    BLOCKED,
    IMPATIENT,
    LATER_SECONDS,
    SEVERAL_INDICES,
    Answer,
    Elastic,
    NoAnswer,
    said_of,
)
from search.elastic_settings import ElasticSettings
from stream.codec import to_json

# Errors of one document, which no repetition mends. Whatever else is a 400 is unknown, and unknown stops.
_BAD_DOCUMENT: Final = frozenset(
    {
        "action_request_validation_exception",
        "document_parsing_exception",
        "illegal_argument_exception",
        "mapper_parsing_exception",
        "strict_dynamic_mapping_exception",
        "x_content_parse_exception",
    }
)
# Of a name that is an alias of several indices.
_NO_ONE_INDEX: Final = "no write index is defined for alias"
# A reason may quote the text of a document; the name of the field is all that is taken from it.
_FIELD: Final = re.compile(r"field[ =]?[\"'\[]{0,2}([A-Za-z_][A-Za-z0-9_.]{0,60})")
# All that is read of an answer; without it the answer is as large as the request.
_ANSWERED: Final = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*._seq_no"


@dataclass(frozen=True, slots=True)
class Op:
    """One item: an index, an id, and what is done to it.

    With a `version`, the caller's own: `strictly` writes over lower versions only, else over equal ones too. With
    `expected`, the sequence and term of what is there now. "create" writes only where nothing is.
    """

    kind: Literal["index", "delete", "create"]
    index: str
    doc_id: str
    body: bytes = b""
    version: int | None = None
    strictly: bool = True
    expected: tuple[int, int] | None = None

    def lines(self) -> bytes:
        """Give the item as the lines of a bulk."""
        about: dict[str, Any] = {"_index": self.index, "_id": self.doc_id}
        if self.version is not None:
            about |= {"version": self.version, "version_type": "external" if self.strictly else "external_gte"}
        if self.expected is not None:
            about |= {"if_seq_no": self.expected[0], "if_primary_term": self.expected[1]}
        action = to_json({self.kind: about}) + b"\n"
        return action if self.kind == "delete" else b"%b%b\n" % (action, self.body)


@dataclass(frozen=True, slots=True)
class Applied:
    """Done and durable; `sequence` numbers the writes of a shard."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """The index has this version or a higher one, or something else than was expected.

    `repeated`: an earlier try of ours may have been carried out.
    """

    repeated: bool


ItemOutcome: TypeAlias = Applied | Conflict | BadRecord


class Bulk:
    """Writes items to one Elasticsearch. Thread-safe."""

    def __init__(self, elastic: Elastic, settings: ElasticSettings) -> None:
        self._elastic, self._settings = elastic, settings
        self._executor = ThreadPoolExecutor(settings.bulks_in_flight, "search-bulk")

    def close(self) -> None:
        """Wait for what is in flight."""
        self._executor.shutdown()

    def write(self, ops: Sequence[Op], *, visible: bool = False, in_order: bool = False) -> list[ItemOutcome]:
        """Write items, and give one outcome for each; all are durable when it returns.

        Items of one shard in one request are carried out in order. Different requests are in flight at once, so an
        id must not come twice unless `in_order`, which sends one request after the other.

        Args:
            ops: what to write; may be empty.
            visible: searches find it when this returns.
            in_order: see above.

        Raises:
            RetryLater: the server asked for patience for longer than `retry_seconds`, or did not answer; some items
                may have been carried out.
            AccessRefused, BackendDown: it refused, or said what we do not know; likewise.
        """
        chunks = list(_chunks(ops, self._settings.bulk_bytes))
        if in_order or len(chunks) < 2:
            return [outcome for chunk in chunks for outcome in self._write_chunk(chunk, visible)]
        futures = [self._executor.submit(self._write_chunk, chunk, visible) for chunk in chunks]
        outcomes: list[ItemOutcome] = []
        failure: ServiceError | None = None
        for future in futures:
            # Every answer is waited for: a request that is still under way must not outlive the call.
            try:
                outcomes += future.result()
            except ServiceError as exc:
                failure = failure or exc
        if failure is not None:
            raise failure
        return outcomes

    def _write_chunk(self, chunk: _Chunk, visible: bool) -> list[ItemOutcome]:
        outcomes: list[ItemOutcome | None] = [None] * len(chunk)
        waiting = list(range(len(chunk)))
        # Places whose last request may have been carried out without our hearing of it.
        unheard: set[int] = set()
        patience = self._elastic.patience(self._settings.retry_seconds)
        while True:
            try:
                answer = self._send([chunk[place][1] for place in waiting], visible)
            except NoAnswer as exc:
                unheard.update(waiting)
                trouble: RetryLater = exc
            else:
                if answer.status == 413:
                    return self._halved(chunk, visible)
                trouble, waiting = self._read(answer, chunk, waiting, unheard, outcomes)
            if not waiting:
                return [outcome for outcome in outcomes if outcome is not None]
            patience.wait(trouble)

    def _send(self, lines: Sequence[bytes], visible: bool) -> Answer:
        refresh = "&refresh=true" if visible else ""
        return self._elastic.once("POST", f"/_bulk?filter_path={_ANSWERED}{refresh}", b"".join(lines), lines=True)

    def _halved(self, chunk: _Chunk, visible: bool) -> list[ItemOutcome]:
        """Write a chunk that the server, or a proxy, found too large."""
        if len(chunk) == 1:
            size = len(chunk[0][1])
            return [BadRecord(BadReason.TOO_LARGE, f"found {size} bytes, which Elasticsearch does not take at once")]
        middle = len(chunk) // 2
        return [*self._write_chunk(chunk[:middle], visible), *self._write_chunk(chunk[middle:], visible)]

    def _read(
        self,
        answer: Answer,
        chunk: _Chunk,
        waiting: list[int],
        unheard: set[int],
        outcomes: list[ItemOutcome | None],
    ) -> tuple[RetryLater, list[int]]:
        """Fill in the outcomes of one answer; give the places that must be sent again, and why."""
        if answer.status in IMPATIENT:
            return self._elastic.impatient(answer), waiting
        if answer.status != 200:
            raise self._elastic.refused(answer, "a bulk of writes")
        items = answer.body.get("items") if isinstance(answer.body, dict) else None
        if not isinstance(items, list) or len(items) != len(waiting):
            # Cut off where it still is JSON: as good as no answer.
            unheard.update(waiting)
            return NoAnswer("an answer to a bulk has not one outcome for each item", LATER_SECONDS), waiting
        again: list[int] = []
        trouble = RetryLater("", LATER_SECONDS)
        for place, item in zip(waiting, items, strict=True):
            (said,) = item.values()
            found = _outcome(self._elastic, chunk[place][0], said, place in unheard)
            if isinstance(found, RetryLater):
                again.append(place)
                trouble = found
            else:
                outcomes[place] = found
        return trouble, again


_Chunk: TypeAlias = list[tuple[Op, bytes]]


def _chunks(ops: Sequence[Op], most_bytes: int) -> Iterator[_Chunk]:
    chunk: _Chunk = []
    size = 0
    for op in ops:
        lines = op.lines()
        if chunk and size + len(lines) > most_bytes:
            yield chunk
            chunk, size = [], 0
        chunk.append((op, lines))
        size += len(lines)
    if chunk:
        yield chunk


def _outcome(elastic: Elastic, op: Op, said: dict[str, Any], unheard: bool) -> ItemOutcome | RetryLater:
    """Give what became of an item; RetryLater where it must be sent again.

    Raises:
        AccessRefused: we may not write there.
        BackendDown: it is none of the known outcomes.
    """
    status = said.get("status")
    error = said.get("error") or {}
    kind = str(error.get("type", ""))
    match status:
        case 200 | 201:
            return Applied(said.get("_seq_no", -1))
        case 404 if op.kind == "delete" and not error:
            return Applied(said.get("_seq_no", -1))
        case 409:
            return Conflict(unheard)
        case 400 if _NO_ONE_INDEX in str(error.get("reason", "")):
            # Nothing of the document's.
            return RetryLater(f"{op.index} {SEVERAL_INDICES}", LATER_SECONDS)
        case 400 if kind in _BAD_DOCUMENT:
            field = _FIELD.search(str(error.get("reason", "")))
            return BadRecord(
                BadReason.STORE_REFUSED, f"Elasticsearch: {kind}{f' in the field {field[1]}' if field else ''}"
            )
    if kind == BLOCKED:
        return RetryLater(f"Elasticsearch does not write to {op.index} now: {_of_block(op, error)}", LATER_SECONDS)
    # Dropped under our hands; the next try makes it again.
    if status in IMPATIENT or kind == "index_not_found_exception":
        return RetryLater(f"Elasticsearch answers a write to {op.index} with {status}, {said_of(error)}", LATER_SECONDS)
    if status in (401, 403):
        raise elastic.no_access(status, said_of(error), f"a write to {op.index}")
    raise BackendDown(
        f"Elasticsearch answers a write to {op.index} with {status}, {said_of(error)}, which is unknown here: "
        "nothing more is written. Check its log, the role of the user and the template"
    )


def _of_block(op: Op, error: Mapping[str, Any]) -> str:
    """Tell what a block of writes is about: a migration sets one of its own kind."""
    said = said_of(error)
    if "index write (api)" in said:
        return (
            f"{said}. `soundings migrate` refuses writes for as long as it switches a month; if none runs, one was cut "
            "off: run it again"
        )
    return f"{said}. Look at the disk of Elasticsearch"
