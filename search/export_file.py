"""A whole store as one file: lines of JSON, one a piece between a first line and a last, gzipped or plain."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from domain.documents import ABSENT, Document, require_ids
from domain.errors import BadRecord, ConfigError
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search.acceptance import MAX_INTEGER
from search.document_body import body_bytes
from search.retractions import RetractionRow, document_of, row_of_document
from search.stories import Place
from search.transfer import Copied, Piece, Progress, StoryPost
from search.whole_file import whole_file
from stream.codec import decode, encode, from_json, to_json

# Raise when lines are written that older programs cannot read. 2: documents.
FORMAT: Final = 2
_READABLE: Final = (1, FORMAT)
# The line of the first piece.
FIRST_LINE: Final = 2
_HEAD: Final = "soundings_export"
_END: Final = "end"
_STORY_POST: Final = "story_post"
_ROW: Final = "retraction_row"
_DOCUMENT: Final = "document"
_ZIPPED: Final = ".gz"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_TOLD_EVERY: Final = 500


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write_export(pieces: Iterable[Piece], path: Path, progress: Progress | None = None) -> Copied:
    """Write pieces to a file, readable by its owner alone; gzipped if its name ends in `.gz`, else plain.

    Raises:
        ConfigError, BackendDown: as `search.whole_file`.
        RetryLater, BackendDown: as the store that the pieces come from.
    """
    with whole_file(path) as file:
        if path.suffix != _ZIPPED:
            return write_lines(pieces, file, progress)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file) as zipped:
            return write_lines(pieces, zipped, progress)


def write_lines(pieces: Iterable[Piece], file: _Writable, progress: Progress | None = None) -> Copied:
    """Write pieces as lines; the last one says how many there were, so that what is cut off is known.

    Raises:
        OSError: as the file.
        RetryLater, BackendDown: as the store that the pieces come from.
    """
    copied = Copied()
    file.write(to_json({"type": _HEAD, "format": FORMAT}) + b"\n")
    for piece in pieces:
        copied.count(piece)
        file.write(_line(piece) + b"\n")
        if progress is not None and copied.pieces % _TOLD_EVERY == 0:
            progress(copied.pieces)
    file.write(to_json({"type": _END, "pieces": copied.pieces}) + b"\n")
    return copied


def read_export(path: Path) -> Iterator[Piece]:
    """Read a file of `write_export` or lines of `write_lines`, gzipped or plain; the first piece is at `FIRST_LINE`.

    Raises:
        ConfigError: it is none, of a newer program, cut off, or damaged: with the line, counted from 1.
    """
    number = 0
    ended = False
    for number, line in enumerate(_lines(path), start=1):
        if number < FIRST_LINE:
            _check_head(path, line)
            continue
        if ended:
            raise ConfigError(f"{path}, line {number}: found a line after the last one")
        try:
            piece = _piece(line, number - FIRST_LINE)
        except BadRecord as exc:
            raise ConfigError(f"{path}, line {number}: {exc.detail}") from exc
        except ValueError as exc:
            raise ConfigError(f"{path}, line {number}: {exc}") from exc
        if piece is None:
            ended = True
        else:
            yield piece
    if not ended:
        raise ConfigError(f"{path}: ends after line {number} without the line that ends an export: it was cut off")


def _lines(path: Path) -> Iterator[bytes]:
    number = 0
    try:
        with path.open("rb") as file:
            zipped = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=file) if zipped else file
            for number, line in enumerate(lines, start=1):  # noqa: B007
                yield line
    except (OSError, EOFError, zlib.error) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"{path}: cannot be read after line {number}: {why}; it is damaged or was cut off") from exc


def _check_head(path: Path, line: bytes) -> None:
    try:
        head = from_json(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("type") != _HEAD:
        raise ConfigError(f"{path} is no file that `soundings export` wrote")
    if head.get("format") not in _READABLE:
        raise ConfigError(f"{path} has format {head.get('format')}, this program reads {FORMAT}: use a newer one")


def _line(piece: Piece) -> bytes:
    if isinstance(piece, RetractionRow):
        return to_json({"type": _ROW, **document_of(piece)})
    if isinstance(piece, Document):
        about = {"type": _DOCUMENT, "kind": piece.kind, "id": piece.doc_id}
        return b'%b,"body":%b}' % (to_json(about)[:-1], body_bytes(piece.body))
    if not isinstance(piece, StoryPost):
        return encode(piece)
    place = piece.place._asdict() | {"keys": list(piece.place.keys)}
    return to_json({"type": _STORY_POST, "post_id": piece.post_id, "said": piece.said, **place})


def _piece(line: bytes, pieces: int) -> Piece | None:
    """Read a line; None for the last, which must know how many there were."""
    document: Any = from_json(line)
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == _END:
        if document.get("pieces") != pieces:
            raise ValueError(
                f"found {pieces} lines of pieces above, expected {document.get('pieces')}: lines are missing"
            )
        return None
    if kind == _STORY_POST:
        try:
            place = Place(
                str(document["story_id"]),
                int(document["at_ms"]),
                int(document["version"]),
                int(document["text"]),
                tuple(map(int, document["keys"])),
            )
            post_id = str(document["post_id"])
            if not (post_id and place.story_id and _fits(place.at_ms, place.version, place.text, *place.keys)):
                raise ValueError("found a story's post with an empty id or a number beyond 63 bits")
            return StoryPost(post_id, place, str(document["said"]))
        except (KeyError, TypeError) as exc:
            raise ValueError(f"found a story's post without {exc}") from exc
    if kind == _ROW:
        try:
            return row_of_document(document)
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError(f"found a row of the ledger without a usable {exc}") from exc
    if kind == _DOCUMENT:
        return _document(document)
    record = decode(line)
    if isinstance(record, Mention | Withdrawal | Retraction | AuthorRetraction | Restoration):
        return record
    raise ValueError(f"found a {type(record).__name__}, expected a mention, withdrawal or retraction")


def _document(line: Mapping[str, Any]) -> Document:
    try:
        kind, doc_id, body = line["kind"], line["id"], line["body"]
        require_ids(kind, [doc_id])
    except (KeyError, TypeError) as exc:
        raise ValueError(f"found a document without a usable {exc}") from exc
    if not isinstance(body, dict):
        raise ValueError("found a document whose body is no object")
    # Which revision it had is the business of the store that it came from.
    return Document(kind, doc_id, body, ABSENT)


def _fits(*numbers: int) -> bool:
    return all(-MAX_INTEGER - 1 <= number <= MAX_INTEGER for number in numbers)
