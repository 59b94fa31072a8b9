"""What every source promises: nothing lost and nothing doubled across a resume, bad items among the good.

Another source is one more line in `SOURCES`: a function that makes it give, in order, the posts of ids "0" to "29"
with one bad item after "9".
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import BadRecord
from ingest.file import FileSource
from ingest.file_shape import FileSettings
from ingest.source import Item, RawPost, Removed, Source

POSTS = 30
BAD_AFTER = 9


def _lines() -> list[str]:
    lines = [json.dumps({"id": str(number), "text": f"post\n{number} \u00fc"}) for number in range(POSTS)]
    return [*lines[: BAD_AFTER + 1], "{broken", *lines[BAD_AFTER + 1 :]]


def _rows() -> list[str]:
    rows = [f'{number},"post\n{number}, \u00fc"' for number in range(POSTS)]
    return ["id,text", *rows[: BAD_AFTER + 1], "broken", *rows[BAD_AFTER + 1 :]]


def _file(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    return FileSource(FileSettings(path=str(path)))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "jsonl": lambda folder: _file(folder / "a.jsonl", "\n".join(_lines()).encode()),
    "jsonl, gzipped": lambda folder: _file(folder / "a.jsonl.gz", gzip.compress("\n".join(_lines()).encode())),
    "csv": lambda folder: _file(folder / "a.csv", "\r\n".join(_rows()).encode()),
    "csv, gzipped": lambda folder: _file(folder / "a.gz", gzip.compress("\n".join(_rows()).encode())),
    "csv, utf-16": lambda folder: _file(folder / "a.csv", "\n".join(_rows()).encode("utf-16")),
    "csv with a mark": lambda folder: _file(folder / "a.csv", "\n".join(_rows()).encode("utf-8-sig")),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SOURCES[request.param](tmp_path)


def read_all(source: Source, cursor: str | None = None, size: int = 7) -> list[Item]:
    reader = source.open(cursor)
    items: list[Item] = []
    try:
        while (batch := reader.read(size)) is not None:
            assert len(batch) <= size
            items += batch
    finally:
        reader.close()
    return items


def names(items: list[Item]) -> list[str]:
    return [_name(item.content) for item in items]


def _name(content: RawPost | Removed | BadRecord) -> str:
    if isinstance(content, RawPost):
        return str(content.fields["id"])
    return "bad" if isinstance(content, BadRecord) else content.native_id


EXPECTED = [*map(str, range(BAD_AFTER + 1)), "bad", *map(str, range(BAD_AFTER + 1, POSTS))]


def test_every_item_comes_once_and_in_order(source: Source) -> None:
    assert names(read_all(source)) == EXPECTED


def test_after_any_cursor_exactly_the_rest_comes(source: Source) -> None:
    items = read_all(source)
    for number, item in enumerate(items):
        assert source.can_resume(item.cursor)
        assert names(read_all(source, item.cursor)) == EXPECTED[number + 1 :]


def test_a_resumed_item_is_the_very_same(source: Source) -> None:
    items = read_all(source)
    resumed = read_all(source, items[4].cursor)
    assert [(item.position, item.cursor, item.raw) for item in resumed] == [
        (item.position, item.cursor, item.raw) for item in items[5:]
    ]


def test_the_size_of_batches_changes_nothing(source: Source) -> None:
    assert names(read_all(source, size=1)) == names(read_all(source, size=1000)) == EXPECTED


def test_a_bad_item_keeps_its_bytes_and_its_place(source: Source) -> None:
    (bad,) = [item for item in read_all(source) if isinstance(item.content, BadRecord)]
    assert b"broken" in bad.raw
    assert bad.position


def test_a_finished_source_stays_finished(source: Source) -> None:
    reader = source.open(None)
    while reader.read(100) is not None:
        pass
    assert reader.read(100) is None
    reader.close()


def test_a_cursor_of_another_content_is_not_resumed(source: Source, tmp_path: Path) -> None:
    cursor = read_all(source)[4].cursor
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"broken", b"healed") + b"\n")
    assert not source.can_resume(cursor)
    assert not source.can_resume("no cursor at all")
