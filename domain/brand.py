"""A brand: something to listen for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from domain.text import fold_keyword

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """One brand to listen for.

    `brand_id` is a slug that never changes; everything else may. `query` is in the query language (see
    `domain.query`) and may use text, source, author, hashtag, domain and declared language. Each change of
    `query` must raise `query_revision`. `handles` are the brand's own, without `@`.
    """

    brand_id: str
    name: str
    query: str
    query_revision: int = 1
    handles: tuple[str, ...] = ()
    competitors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandState:
    """A brand as it stands: `file` is the configuration that it is changed in, "" for one made while running.

    A paused brand is not matched; its mentions stay.
    """

    brand: Brand
    file: str = ""
    paused: bool = False


def is_slug(text: str) -> bool:
    """Tell whether `text` can be a brand id: 1 to 64 of a-z, 0-9 and inner hyphens."""
    return SLUG.fullmatch(text) is not None


def slug(name: str) -> str:
    """Propose a brand id for a name: its letters without accents; a hash of it where it has none of a to z, 0 to 9."""
    folded = fold_keyword(name).replace("'", "")
    cleaned = re.sub(r"[^a-z0-9]+", "-", folded)[:64].strip("-")
    return cleaned or f"brand-{blake2b(folded.encode('utf-8', 'surrogatepass'), digest_size=3).hexdigest()}"
