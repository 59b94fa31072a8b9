"""Where a post names a brand: the places that the model reads as the brand, in its text as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from domain.brand import Brand
from domain.records import BrandMatch, Post
from domain.text import fold
from enrich.engine import Passage, Stretch

# Shorter folded names ("HP", "X") are part of too many words to be found inside one.
_LEAST_INSIDE = 3


def model_input(post: Post) -> str:
    """Give the text that the engine reads: title and text, as a reader sees them one after the other."""
    return f"{post.title}\n{post.text}" if post.title else post.text


@lru_cache(maxsize=16_384)
def _squashed(text: str) -> str:
    """Give the folded letters and digits of a text, without anything between them: "#White Sox!" -> "whitesox"."""
    return "".join(filter(str.isalnum, fold(text)))


@dataclass(frozen=True, slots=True)
class _Names:
    """What a brand is called, folded and squashed, and its own handles as a pattern."""

    names: frozenset[str]
    handles: re.Pattern[str] | None

    def holds(self, said: str) -> bool:
        """Tell whether what a query matched is a name of the brand, a part of one, or has one in it."""
        return any(
            said == name or (min(len(said), len(name)) >= _LEAST_INSIDE and (said in name or name in said))
            for name in self.names
        )


def _names_of(brand: Brand) -> _Names:
    names = frozenset(squashed for name in (brand.name, *brand.handles) if (squashed := _squashed(name)))
    any_handle = "|".join(re.escape(handle) for handle in brand.handles)
    # A closed list of literals: linear. The sign comes first because a literal is looked for fastest.
    return _Names(names, re.compile(rf"@(?<!\w@)(?:{any_handle})(?!\w)", re.IGNORECASE) if brand.handles else None)


class BrandPlaces:
    """Knows for each brand which of the places that its query matched name it.

    A query may match other words than names (`acme AND (broken OR refund)`); these stay in the text for the model to
    read. The brand's own handles are found wherever they stand, matched or not. A brand of which no place is a name is
    taken to be named by all of them.
    """

    def __init__(self, brands: Mapping[str, Brand]) -> None:
        self._names = {brand_id: _names_of(brand) for brand_id, brand in brands.items()}

    def passage(self, post: Post, matches: Iterable[BrandMatch]) -> Passage:
        """Give what the engine reads of a post, and the places of each match in it."""
        text = model_input(post)
        shift = len(post.title) + 1 if post.title else 0
        return Passage(text, tuple(self._places(text, shift, match) for match in matches))

    def _places(self, text: str, shift: int, match: BrandMatch) -> tuple[Stretch, ...]:
        places = [
            (span.start, span.end) if span.field == "title" else (span.start + shift, span.end + shift)
            for span in match.spans
        ]
        names = self._names.get(match.brand_id)
        if names is None:
            return tuple(places)
        named = [place for place in places if names.holds(_squashed(text[place[0] : place[1]]))]
        handles = [found.span() for found in names.handles.finditer(text)] if names.handles is not None else []
        return tuple(dict.fromkeys([*(named or ([] if handles else places)), *handles]))
