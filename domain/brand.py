"""A brand: something to listen for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from domain.safe_text import code_point, unseen
from domain.text import fold_keyword

MAX_NAME = 200
_HANDLE = re.compile(r"\w[\w.-]*(?:@[\w-]+(?:\.[\w-]+)*)?(?<![.-])")
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


# What a person may change of a brand, in the order in which a version names it.
CHANGEABLE = ("name", "query", "handles", "competitors")


def version_of(brand: Brand) -> str:
    """Name what a brand says right now: whoever changes it says which version was looked at."""
    return "-".join(_digest(getattr(brand, name)) for name in CHANGEABLE)


def changed_since(version: str, brand: Brand) -> tuple[str, ...]:
    """Name what is different from an earlier version of a brand; all of it where that is none."""
    parts = version.split("-")
    if len(parts) != len(CHANGEABLE):
        return CHANGEABLE
    return tuple(name for name, part in zip(CHANGEABLE, parts, strict=True) if part != _digest(getattr(brand, name)))


def _digest(value: str | tuple[str, ...]) -> str:
    told = "\0".join(value) if isinstance(value, tuple) else value
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def name_flaw(name: str) -> str:
    """Say what keeps a text from being a brand's name: found and expected; "" where nothing does."""
    if hidden := unseen(name):
        return f"found {name[:100]!a}, expected no character that cannot be seen, such as {code_point(hidden[0])}"
    if len(name.splitlines()) > 1:
        return f"found {name[:100]!a}, expected one line"
    if len(name) > MAX_NAME:
        return f"found {len(name):,} characters, expected at most {MAX_NAME}"
    if not any(character.isalnum() for character in name):
        return f"found {name[:100]!a}, expected a letter or digit in it"
    return ""


def handle_flaw(handle: str) -> str:
    """Say why no post can name a handle (without its @): found and expected; "" where one can."""
    if len(handle) > MAX_NAME:
        return f"found {len(handle):,} characters, expected at most {MAX_NAME}"
    if _HANDLE.fullmatch(handle) is None:
        expected = "letters, digits, `_`, `.` and `-`, and on Mastodon `name@server`: no post can name another"
        return f"found {handle[:100]!a}, expected {expected}"
    return ""


def is_slug(text: str) -> bool:
    """Tell whether `text` can be a brand id: 1 to 64 of a-z, 0-9 and inner hyphens."""
    return SLUG.fullmatch(text) is not None


def slug(name: str) -> str:
    """Propose a brand id for a name: its letters without accents; a hash of it where it has none of a to z, 0 to 9."""
    folded = fold_keyword(name).replace("'", "")
    cleaned = re.sub(r"[^a-z0-9]+", "-", folded)[:64].strip("-")
    return cleaned or f"brand-{blake2b(folded.encode('utf-8', 'surrogatepass'), digest_size=3).hexdigest()}"
