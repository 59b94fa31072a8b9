"""A whole store as a stream of pieces, into a file and out of it, or from one store into another.

Ids, versions, stories and what must not come back are kept, whichever kind of store either is. What comes twice changes
nothing, so an import that was cut off is simply started again.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from domain.errors import BackendDown, BadRecord, ConfigError
from domain.records import Mention, Retraction, Withdrawal
from search.store import Written
from search.stories import Place
from stream.codec import decode, encode, from_json, to_json

# Raise when lines are written that older programs cannot read.
FORMAT: Final = 1
_HEAD: Final = "soundings_export"
_END: Final = "end"
_STORY_POST: Final = "story_post"
_BATCH: Final = 500


class StoryPost(NamedTuple):
    """Where a post stands among the stories, and the words of it that count."""

    post_id: str
    place: Place
    said: str


Piece: TypeAlias = StoryPost | Mention | Withdrawal | Retraction


class Transferable(Protocol):
    """What a store does to be copied and copied into."""

    def dump(self) -> Iterator[Piece]:
        """Give all of it: posts of stories, mentions with their story, then what is withdrawn and retracted.

        Writes go on meanwhile. A retraction that comes before the end is in it; so is every mention that was there at
        the beginning, in one of its versions.

        Raises:
            RetryLater, BackendDown.
        """

    def adopt(self, posts: Sequence[StoryPost]) -> None:
        """Put posts where another store has them, except those of which a version as high is known here.

        Raises:
            RetryLater, BackendDown.
        """

    def write(self, records: Sequence[Mention | Withdrawal | Retraction]) -> Sequence[Written | BadRecord]:
        """As `search.store.Store.write`."""


@dataclass(slots=True)
class Copied:
    """What a copy did: pieces by kind, and of the records those stored, known already, and refused with the reasons."""

    story_posts: int = 0
    mentions: int = 0
    withdrawals: int = 0
    retractions: int = 0
    stored: int = 0
    known: int = 0
    refused: list[BadRecord] = field(default_factory=list)

    def count(self, piece: Piece) -> None:
        """Count one piece."""
        match piece:
            case StoryPost():
                self.story_posts += 1
            case Mention():
                self.mentions += 1
            case Withdrawal():
                self.withdrawals += 1
            case Retraction():
                self.retractions += 1

    @property
    def pieces(self) -> int:
        """All pieces."""
        return self.story_posts + self.mentions + self.withdrawals + self.retractions


Progress: TypeAlias = Callable[[int], None]


def copy(pieces: Iterable[Piece], target: Transferable, progress: Progress | None = None) -> Copied:
    """Put pieces into a store.

    Args:
        pieces: as `Transferable.dump` or `read_export` gives them.
        target: where to.
        progress: told the number of pieces done, from time to time.

    Raises:
        RetryLater, BackendDown: as the target; start again with the same pieces.
        ConfigError: as `read_export`.
    """
    copied = Copied()
    posts: list[StoryPost] = []
    records: list[Mention | Withdrawal | Retraction] = []

    def flush() -> None:
        # Stories first: a mention whose post stands somewhere is not told another story.
        if posts:
            target.adopt(posts)
            posts.clear()
        for outcome in target.write(records) if records else ():
            if isinstance(outcome, BadRecord):
                copied.refused.append(outcome)
            else:
                copied.stored += outcome is Written.STORED
                copied.known += outcome is not Written.STORED
        records.clear()
        if progress is not None:
            progress(copied.pieces)

    for piece in pieces:
        copied.count(piece)
        if isinstance(piece, StoryPost):
            posts.append(piece)
        else:
            records.append(piece)
        if len(posts) + len(records) >= _BATCH:
            flush()
    flush()
    return copied


# --- files


def write_export(pieces: Iterable[Piece], path: Path, progress: Progress | None = None) -> Copied:
    """Write pieces as lines of JSON, gzipped; the file takes its name when it is whole, readable by its owner alone.

    Raises:
        BackendDown: it cannot be written.
        RetryLater: as the store that the pieces come from.
    """
    copied = Copied()
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.touch(mode=0o600)
        partial.chmod(0o600)
        with gzip.open(partial, "wb", compresslevel=6) as file:
            file.write(to_json({"type": _HEAD, "format": FORMAT}) + b"\n")
            for piece in pieces:
                copied.count(piece)
                file.write(_line(piece) + b"\n")
                if progress is not None and copied.pieces % _BATCH == 0:
                    progress(copied.pieces)
            file.write(to_json({"type": _END, "pieces": copied.pieces}) + b"\n")
        partial.replace(path)
    except OSError as exc:
        raise BackendDown(f"{path} cannot be written: {exc}. Check the disk and the permissions") from exc
    finally:
        partial.unlink(missing_ok=True)
    return copied


def read_export(path: Path) -> Iterator[Piece]:
    """Read a file of `write_export` line by line.

    Raises:
        ConfigError: it is none, of a newer program, cut off, or damaged: with the line.
    """
    number = pieces = 0
    ended = False
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    _check_head(path, line)
                elif ended:
                    raise ConfigError(f"{path}: found a line after the end, at line {number}")
                elif (piece := _piece(line, pieces)) is None:
                    ended = True
                else:
                    pieces += 1
                    yield piece
    except (OSError, EOFError, ValueError) as exc:
        raise ConfigError(f"{path} cannot be read at line {number + 1}: {exc}") from exc
    except BadRecord as exc:
        raise ConfigError(f"{path}, line {number}: {exc.detail}") from exc
    if not ended:
        raise ConfigError(f"{path} ends after {number} lines without its last one: it was cut off")


def _check_head(path: Path, line: bytes) -> None:
    head = from_json(line)
    if not isinstance(head, dict) or head.get("type") != _HEAD:
        raise ConfigError(f"{path} is no export of Soundings")
    if head.get("format") != FORMAT:
        raise ConfigError(f"{path} has format {head.get('format')}, this program reads {FORMAT}: use a newer one")


def _line(piece: Piece) -> bytes:
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
            raise ValueError(f"found {pieces} pieces, expected {document.get('pieces')}")
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
            return StoryPost(str(document["post_id"]), place, str(document["said"]))
        except (KeyError, TypeError) as exc:
            raise ValueError(f"found a story's post without {exc}") from exc
    record = decode(line)
    if isinstance(record, Mention | Withdrawal | Retraction):
        return record
    raise ValueError(f"found a {type(record).__name__}, expected a mention, withdrawal or retraction")
