"""Rows of GDELT's knowledge graph (GKG 2.1), read as posts: an article's address, title, time and themes."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from domain.errors import BadReason, BadRecord
from ingest.links import read_link
from ingest.source import Item, RawPost

# Five to fifteen MB are usual, thrice that unpacked. What is far more is no such file, or a trap.
MAX_UNPACKED_BYTES = 1024 * 1024 * 1024
MAX_LINE_BYTES = 8 * 1024 * 1024
_COLUMNS = 27
_ID, _DATE, _COLLECTION, _SOURCE, _URL, _THEMES, _TRANSLATION, _EXTRAS = 0, 1, 2, 3, 4, 7, 25, 26
# The open web: other collections have citations and no addresses.
_WEB = "1"
_MAX_RAW_CHARS = 16_384
_MAX_THEMES_CHARS = 250

_TITLE = re.compile(r"<PAGE_TITLE>(.*?)</PAGE_TITLE>", re.DOTALL)
_AUTHORS = re.compile(r"<PAGE_AUTHORS>(.*?)</PAGE_AUTHORS>", re.DOTALL)
_PUBLISHED = re.compile(r"<PAGE_PRECISEPUBTIMESTAMP>(\d{14})</PAGE_PRECISEPUBTIMESTAMP>", re.ASCII)
_LANGUAGE = re.compile(r"srclc:([a-z]{3})\b")
# ISO 639-3 as GDELT writes it, to what posts say; a code that stands nowhere here is kept as it is.
_CODES = (
    "afr:af amh:am ara:ar aze:az bel:be ben:bn bos:bs bul:bg cat:ca ces:cs cym:cy dan:da deu:de ell:el eng:en "
    "est:et eus:eu fas:fa fin:fi fra:fr gle:ga glg:gl guj:gu heb:he hin:hi hrv:hr hun:hu hye:hy ind:id isl:is "
    "ita:it jpn:ja kan:kn kat:ka kaz:kk khm:km kor:ko lav:lv lit:lt mal:ml mar:mr mkd:mk mon:mn msa:ms mya:my "
    "nep:ne nld:nl nob:no nor:no pan:pa pol:pl por:pt pus:ps ron:ro rus:ru sin:si slk:sk slv:sl som:so spa:es "
    "sqi:sq srp:sr swa:sw swe:sv tam:ta tel:te tgl:tl tha:th tur:tr ukr:uk urd:ur uzb:uz vie:vi zho:zh"
)
_TWO_LETTERS = dict(pair.split(":") for pair in _CODES.split())


class Unreadable(Exception):
    """A file is no archive of one table, is damaged, or unpacks to more than it may."""


def rows_of(archive: bytes) -> Iterator[bytes]:
    """Give the lines of the table in a zip archive, without their end, as they are unpacked.

    Raises:
        Unreadable: at the place of the damage; the lines before it were given.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names = opened.namelist()
            if len(names) != 1:
                raise Unreadable(f"expected one table in the archive, found {len(names)}")
            left = MAX_UNPACKED_BYTES
            with opened.open(names[0]) as table:
                while line := table.readline(MAX_LINE_BYTES + 1):
                    left -= len(line)
                    if len(line) > MAX_LINE_BYTES or left < 0:
                        raise Unreadable("it unpacks to more than it may")
                    yield line.rstrip(b"\r\n")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as exc:
        # Encrypted archives are RuntimeErrors, unknown compression NotImplementedErrors.
        raise Unreadable("it is no whole zip archive, or one that is damaged") from exc


def item_of(line: bytes, position: str, cursor: str) -> Item | None:
    """Read a row; None where it is no article of the web, or one without a title, in which nothing could be found."""
    if not line.strip():
        return None
    cells = line.decode("utf-8", "replace").split("\t")
    if len(cells) != _COLUMNS:
        row = {"row": line.decode("utf-8", "replace")[:_MAX_RAW_CHARS]}
        return item_of_row(row, position, cursor)
    title = _TITLE.search(cells[_EXTRAS])
    if cells[_COLLECTION] != _WEB or title is None or not title[1].strip():
        return None
    authors, published = _AUTHORS.search(cells[_EXTRAS]), _PUBLISHED.search(cells[_EXTRAS])
    language = _LANGUAGE.search(cells[_TRANSLATION])
    row = {
        "id": cells[_ID],
        "date": cells[_DATE],
        "url": cells[_URL],
        "title": title[1].strip()[:4_000],
        "source": cells[_SOURCE][:250],
        "themes": _themes(cells[_THEMES]),
        "authors": authors[1].strip()[:400] if authors is not None else "",
        "published": published[1] if published is not None else "",
        # Only what was translated says from what.
        "language": language[1] if language is not None else "eng",
    }
    return item_of_row(row, position, cursor)


def item_of_row(row: Mapping[str, object], position: str, cursor: str) -> Item:
    """Read what was kept of a row: all that a post is made of, a hundredth of its bytes."""
    raw = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Item(position=position, cursor=cursor, raw=raw, content=_content(row))


def moment_of(stamp: object) -> datetime | None:
    """Read a time as GDELT writes it (20261125094500, UTC); None where it is none."""
    if not (isinstance(stamp, str) and len(stamp) == 14 and stamp.isascii() and stamp.isdigit()):
        return None
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _content(row: Mapping[str, object]) -> RawPost | BadRecord:
    if "row" in row:
        return BadRecord(BadReason.BAD_ROW, f"found another number of columns than {_COLUMNS}")
    url, seen = row.get("url"), moment_of(row.get("date"))
    link = read_link(url) if isinstance(url, str) else None
    if link is None:
        return BadRecord(BadReason.MISSING_ID, "the address of the article is none of http or https")
    published = moment_of(row.get("published"))
    if published is None or (seen is not None and published > seen):
        # A page cannot have been seen before it was there: what it says of itself is wrong, or in its own time zone.
        published = seen
    language, authors = row.get("language"), row.get("authors")
    fields = {
        "id": link.url,
        "text": row.get("title"),
        "url": link.url,
        "kind": "article",
        "lang": _TWO_LETTERS.get(language, language) if isinstance(language, str) else None,
        "author_name": ", ".join(authors.split(";")) if isinstance(authors, str) and authors else None,
        "published_at": published,
    }
    attrs = {name: row[name] for name in ("themes", "source") if row.get(name)}
    return RawPost(fields={key: value for key, value in fields.items() if value is not None}, attrs=attrs, html=True)


def _themes(cell: str) -> str:
    """Give as many whole themes as an attribute holds."""
    whole = cell[: _MAX_THEMES_CHARS + 1].strip(";")
    return whole if len(cell) <= _MAX_THEMES_CHARS else whole.rpartition(";")[0]
