"""From passages to word pieces: what the encoder reads, the same in training and in the engine.

The only importer of `tokenizers`. A brand's name never reaches the encoder: a marker stands in its place, so what is
felt towards a brand does not hang on how it is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from domain.errors import ConfigError
from enrich.engine import Passage
from enrich.model_text import Piece, model_pieces

# Above this the tokeniser would only make pieces that are cut off again: 128 pieces are some 600 characters, and
# the longest runs of links and handles that still matter shrink by less than ten times.
MAX_CHARACTERS = 10_000
# Word pieces with a meaning of their own; the marker is one that the encoder never saw before it was fine-tuned.
CLS_ID, SEP_ID, MARKER_ID = 101, 102, 2
# Places of one brand that are read: feeling shows where it is named first, and long lists of names tell nothing.
MAX_PLACES = 4


@dataclass(frozen=True, slots=True)
class Question:
    """A passage cut into pieces. `brands` is how many it asks about; `key` names all that the encoder will read."""

    pieces: tuple[Piece, ...]
    brands: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A passage in word pieces. `places[k]` are the markers of brand k among `ids`; none when it is not named there."""

    ids: list[int]
    places: tuple[tuple[int, ...], ...]
    truncated: bool


def question_of(passage: Passage) -> Question:
    """Cut a passage into pieces.

    Raises:
        UnicodeEncodeError: a lone surrogate.
    """
    text, brands = passage.text, passage.brands
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS]
        brands = tuple(tuple(where for where in found if where[1] <= MAX_CHARACTERS) for found in brands)
    pieces = tuple(model_pieces(text, brands))
    digest = hashlib.blake2b(f"{len(brands)}".encode(), digest_size=16)
    for piece in pieces:
        # Unambiguous: numbers hold no colon, and the length comes before the text.
        content = b"" if piece.brands else piece.text.encode()
        digest.update(f":{len(content)}:{','.join(map(str, piece.brands))}:".encode() + content)
    return Question(pieces, len(brands), digest.digest())


class WordPieces:
    """A fast tokeniser from its file, and the rules of what stands around its pieces."""

    def __init__(self, file: Path, max_tokens: int) -> None:
        """Load it; `max_tokens` is the longest row, [CLS] and [SEP] included.

        Raises:
            ConfigError: not a tokenizer file of this version.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as exc:  # the library raises Exception itself
            raise ConfigError(f"{file}: not a tokenizer of this version ({exc})") from exc
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # A post that says "[SEP]" says five characters.
        self._tokenizer.encode_special_tokens = True
        self._limit = max_tokens

    def rows(self, questions: Sequence[Question]) -> list[Row]:
        """Give each passage in word pieces, in order. Linear in the texts."""
        texts = [piece.text for question in questions for piece in question.pieces if not piece.brands]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        rows = []
        for question in questions:
            ids = [CLS_ID]
            places: list[list[int]] = [[] for _ in range(question.brands)]
            for piece in question.pieces:
                if piece.brands:
                    for brand in piece.brands:
                        places[brand].append(len(ids))
                    ids.append(MARKER_ID)
                else:
                    ids += next(encoded).ids
            last = self._limit - 1
            kept = tuple(tuple(at for at in found if at < last)[:MAX_PLACES] for found in places)
            rows.append(Row([*ids[:last], SEP_ID], kept, len(ids) > last))
        return rows
