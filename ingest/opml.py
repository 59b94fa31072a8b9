"""The addresses of feeds in an OPML file, as every feed reader exports it."""

from __future__ import annotations

from pathlib import Path
from xml.parsers import expat

from domain.errors import ConfigError

MAX_BYTES = 10 * 1024 * 1024
MAX_FEEDS = 5_000
# Folders in folders; people stop at three.
_MAX_DEPTH = 64


class _Refused(Exception):
    """The file holds what no OPML needs."""


def read_opml(path: Path, setting: str) -> tuple[str, ...]:
    """Give the addresses of all feeds in a file, each once, in its order.

    Entities that a document declares are not read, so nothing of it grows and nothing is fetched.

    Args:
        path: the file.
        setting: named in errors.

    Raises:
        ConfigError: it cannot be read, or is no OPML with a feed in it.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{setting}: {path}: cannot be read: {exc.strerror or exc}") from exc
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{setting}: {path}: larger than {MAX_BYTES:,} bytes; is this an OPML file?")
    try:
        feeds = _outlines(raw)
    except _Refused as exc:
        raise ConfigError(f"{setting}: {path}: {exc}") from exc
    except (expat.ExpatError, ValueError, LookupError) as exc:
        raise ConfigError(f"{setting}: {path}: found no XML: {exc}") from exc
    if not feeds:
        raise ConfigError(f"{setting}: {path}: found no <outline> with an xmlUrl, expected the OPML of a feed reader")
    if len(feeds) > MAX_FEEDS:
        raise ConfigError(f"{setting}: {path}: found {len(feeds):,} feeds, expected at most {MAX_FEEDS:,}")
    return feeds


def _outlines(raw: bytes) -> tuple[str, ...]:
    found: dict[str, None] = {}
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise _Refused(f"nested more than {_MAX_DEPTH} deep")
        if depth == 1 and name.lower() != "opml":
            raise _Refused(f"found <{ascii(name)[1:-1][:40]}>, expected <opml>")
        # Both spellings are about.
        url = next((value for key, value in attributes.items() if key.lower() == "xmlurl"), "").strip()
        if name.lower() == "outline" and url:
            found[url] = None

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: object) -> None:
        raise _Refused("it declares entities of its own, which are not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.EntityDeclHandler = declared
    # Never asked for: parameter entities are off, and a reference to an external one is an error by itself.
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.Parse(raw, True)
    return tuple(found)
