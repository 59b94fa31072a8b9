"""The file source: formats told apart, bad rows named, nothing lost beside them."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from domain.errors import BadReason, BadRecord, ConfigError
from ingest.file import FileSource
from ingest.file_shape import FileSettings
from ingest.lines import KEPT_BYTES, MAX_LINE_BYTES
from ingest.source import Item, RawPost

Outcome = dict[str, object] | BadReason


def read(path: Path | str, *, stdin: BinaryIO | None = None, **settings: object) -> list[Item]:
    source = FileSource(FileSettings(path=str(path), **settings), stdin=stdin)  # type: ignore[arg-type]
    reader = source.open(None)
    items: list[Item] = []
    while (batch := reader.read(3)) is not None:
        items += batch
    reader.close()
    return items


def seen(items: list[Item]) -> list[Outcome]:
    return [item.content.reason if isinstance(item.content, BadRecord) else dict(_post(item).fields) for item in items]


def detail(item: Item) -> str:
    assert isinstance(item.content, BadRecord)
    return item.content.detail


def _post(item: Item) -> RawPost:
    assert isinstance(item.content, RawPost)
    return item.content


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


ONE: dict[str, object] = {"id": "1", "text": "one"}
TWO: dict[str, object] = {"id": "2", "text": "two, \u00fc"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"id":"1","text":"one"}\n\n{"id":"2","text":"two, \u00fc"}'),
        ("a.data", '{"id":"1","text":"one"}\r\n{"id":"2","text":"two, \u00fc"}\r\n'),
        ("a.csv", 'id,text\n1,one\n\n2,"two, \u00fc"\n'),
        ("a.csv", "id;text\r\n1;one\r\n2;two, \u00fc\r\n"),
        ("a.data", 'ID,Text\n1,one\n2,"two, \u00fc"'),
        ("a.tsv", "id\ttext\n1\tone\n2\ttwo, \u00fc\n"),
        ("a.data", "id\ttext\n1\tone\n2\ttwo, \u00fc\n"),
        ("a.csv", "Tweet ID|TEXT\n1|one\n2|two, \u00fc\n"),
    ],
)
@pytest.mark.parametrize("turn", ["plain", "gzip", "bom", "utf-16", "stdin", "gzip in two members"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: str, turn: str) -> None:
    raw = content.encode()
    if turn == "bom":
        raw = codecs.BOM_UTF8 + raw
    elif turn == "utf-16":
        raw = content.encode("utf-16")
    elif turn == "gzip":
        raw = gzip.compress(raw)
    elif turn == "gzip in two members":
        raw = gzip.compress(raw[:13]) + gzip.compress(raw[13:]) + b"\0" * 512
    if turn == "stdin":
        items = read("-", stdin=io.BytesIO(raw))
    else:
        items = read(write(tmp_path / name, raw))
    assert seen(items) == [ONE, TWO]


def test_a_position_names_the_file_and_the_line(tmp_path: Path) -> None:
    items = read(write(tmp_path / "a.csv", 'id,text\n1,"two\nlines"\n2,x\n'))
    assert [item.position for item in items] == ["a.csv:2", "a.csv:4"]
    assert seen(items) == [{"id": "1", "text": "two\nlines"}, {"id": "2", "text": "x"}]


@pytest.mark.parametrize(
    ("line", "reason", "found"),
    [
        (b"{broken", BadReason.NOT_JSON, "character 2"),
        (b'{"id":"1","text":"one"', BadReason.NOT_JSON, "character"),
        (b'[{"id":"1"}]', BadReason.NOT_AN_OBJECT, "jq"),
        (b'"text"', BadReason.NOT_AN_OBJECT, "a string"),
        (b"null", BadReason.NOT_AN_OBJECT, "null"),
        (b'{"a":' * 100_000, BadReason.TOO_DEEP, "64"),
        (b"[" * 100_000, BadReason.TOO_DEEP, "64"),
        (b'{"id":"1","text":"x","likes":NaN}', BadReason.NOT_JSON, "NaN"),
        (b'{"id":"1","id":"2","text":"x"}', BadReason.BAD_ROW, "'id' stands twice"),
        (b'{"id":"1","text":"\xff"}', BadReason.BAD_ENCODING, "0xff at byte 19"),
        (b'{"id":' + b"9" * 5000 + b"}", BadReason.NOT_JSON, "digits"),
    ],
)
def test_a_bad_line_of_json_is_named_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, reason: BadReason, found: str
) -> None:
    items = read(write(tmp_path / "a.jsonl", line + b'\n{"id":"1","text":"one"}\n'))
    assert seen(items) == [reason, ONE]
    assert found in detail(items[0])
    assert items[0].raw == line


def test_brackets_inside_strings_are_not_depth(tmp_path: Path) -> None:
    text = '{["\\' * 100
    row = json.dumps({"id": "1", "text": text})
    assert seen(read(write(tmp_path / "a.jsonl", row))) == [{"id": "1", "text": text}]


@pytest.mark.parametrize(
    ("rows", "outcomes"),
    [
        ("1,one\n2\n", [ONE, BadReason.BAD_ROW]),
        ("1,one,more\n1,one\n", [BadReason.BAD_ROW, ONE]),
        # A quote that is never closed costs its own line, whatever follows.
        ('9,"lost\n1,one\n', [BadReason.BAD_ROW, ONE]),
        ('9,"lost\n1,one\n2,"two, \u00fc"\n', [BadReason.BAD_ROW, ONE, TWO]),
        ('9,"a" b\n1,one\n', [BadReason.BAD_ROW, ONE]),
        ('9,"' + "lost\n" * 1200 + "1,one\n", [*[BadReason.BAD_ROW] * 1200, ONE]),
        ('1,"say ""hi"""\n', [{"id": "1", "text": 'say "hi"'}]),
        ('1,5" screen\n', [{"id": "1", "text": '5" screen'}]),
        ("1,\n", [{"id": "1", "text": ""}]),
        (",x\n", [{"id": "", "text": "x"}]),
    ],
)
def test_rows_of_a_table_are_read_strictly(tmp_path: Path, rows: str, outcomes: list[Outcome]) -> None:
    assert seen(read(write(tmp_path / "a.csv", f"id,text\n{rows}"))) == outcomes


def test_quotes_in_a_tsv_are_characters_unless_it_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'id\ttext\n1\t"one" more\n')
    assert seen(read(path)) == [{"id": "1", "text": '"one" more'}]
    quoted = write(tmp_path / "b.tsv", 'id\ttext\n1\t"one"\n')
    assert seen(read(quoted, quoting=True)) == [ONE]


def test_a_huge_cell_is_read(tmp_path: Path) -> None:
    text = "x" * 2_000_000
    assert seen(read(write(tmp_path / "a.csv", f'id,text\n1,"{text}"\n'))) == [{"id": "1", "text": text}]


def test_a_line_without_end_is_measured_and_not_kept(tmp_path: Path) -> None:
    size = MAX_LINE_BYTES + 5
    items = read(write(tmp_path / "a.jsonl", b"{" + b" " * (size - 1) + b'\n{"id":"1","text":"one"}\n'))
    assert seen(items) == [BadReason.TOO_LARGE, ONE]
    assert (items[0].raw_bytes, len(items[0].raw)) == (size, KEPT_BYTES)


def _packed_rows() -> bytes:
    lines = "".join(json.dumps({"id": str(number), "text": os.urandom(20).hex()}) + "\n" for number in range(20_000))
    return gzip.compress(lines.encode())


def _with_a_stored_byte_flipped(lines: bytes) -> bytes:
    """Without compression a flipped byte of a text still unpacks: only the checksum at the end tells."""
    raw = bytearray(gzip.compress(lines, compresslevel=0))
    raw[raw.index(b"one")] ^= 0x02
    return bytes(raw)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda: _packed_rows()[:200_000], "ends early"),
        (lambda: _packed_rows()[:-3], "ends early"),
        (lambda: _with_a_stored_byte_flipped(b'{"id":"1","text":"one"}\n'), "damaged gzip data"),
        (lambda: gzip.compress(b'{"id":"1","text":"one"}\n') + b"more", "damaged gzip data"),
    ],
)
def test_a_gzip_file_that_is_not_whole_is_refused_before_a_row_is_read(
    tmp_path: Path, damage: Callable[[], bytes], told: str
) -> None:
    path = write(tmp_path / "a.jsonl.gz", damage())
    with pytest.raises(ConfigError, match=rf"a\.jsonl\.gz: found .*{told}.*nothing of it was read") as refusal:
        FileSource(FileSettings(path=str(path))).open(None)
    assert len(refusal.value.problems) == 1


def test_a_gzip_on_standard_input_that_ends_early_gives_what_is_there_and_one_bad_item() -> None:
    whole = _packed_rows()
    items = read("-", stdin=io.BytesIO(whole[: len(whole) // 2]))
    assert len(items) > 1000
    assert [reason for reason in seen(items) if isinstance(reason, BadReason)] == [BadReason.BAD_ENCODING]
    assert "ends early" in detail(items[-1])
    damaged = read("-", stdin=io.BytesIO(whole[:200_000] + b"\xff" * 50 + whole[200_050:]))
    assert "damaged" in detail(damaged[-1])


def test_a_file_of_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,one\n2,"two, \u00fc"\n'.encode("cp1252"))
    assert seen(read(path)) == [ONE, BadReason.BAD_ENCODING]
    assert seen(read(path, encoding="cp1252")) == [ONE, TWO]


def test_a_mapping_names_columns_and_paths_into_nested_objects(tmp_path: Path) -> None:
    row = {"key": 1, "inner": {"words": {"full": "one"}}, "extra": 5, "created_at": "x"}
    path = write(tmp_path / "a.jsonl", json.dumps(row))
    (item,) = read(path, columns={"id": "key", "text": "inner.words.full", "published_at": ""})
    assert seen([item]) == [{"id": 1, "text": "one"}]
    assert set(_post(item).attrs) == {"extra", "created_at"}


def test_columns_are_guessed_whatever_their_case_and_punctuation(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Tweet-Id,Full Text,CreatedAt,User Name,Mood\n1,one,2026,eve,cross\n")
    (item,) = read(path)
    assert seen([item]) == [{"id": "1", "text": "one", "published_at": "2026", "author_handle": "eve"}]
    assert _post(item).attrs == {"Mood": "cross"}


def test_a_table_without_header_takes_the_names_it_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "1\tneutral\tone\n")
    assert seen(read(path, header=("id", "label", "text"))) == [ONE]


def test_rows_of_a_file_without_ids_owe_none(tmp_path: Path) -> None:
    (item,) = read(write(tmp_path / "a.csv", "text\none\n"))
    assert _post(item).row == "one"
    items = read(write(tmp_path / "a.jsonl", '{"id":"1","text":"one"}\n{"text":"two"}\n'))
    assert [_post(item).row for item in items] == [None, None]


def test_a_mapped_column_that_is_nowhere_is_a_config_error_with_the_nearest(tmp_path: Path) -> None:
    for name, content in (("a.csv", "id,body,when\n1,one,x\n"), ("a.jsonl", '{"id":"1","body":"one","when":""}\n')):
        with pytest.raises(
            ConfigError, match=r"(?s)columns.text = 'bodi'.*did you mean 'body'.*body.*columns.published_at"
        ):
            read(write(tmp_path / name, content), columns={"text": "bodi", "published_at": "wen"})


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"columns": {"txt": "x"}}, "did you mean 'text'"),
        ({"format": "xml"}, "xml"),
        ({"delimiter": ",,"}, "one character"),
        ({"encoding": "utf-99"}, "utf-99"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_opened(settings: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        FileSource(FileSettings(path="missing", **settings))  # type: ignore[arg-type]


def test_a_missing_file_and_a_folder_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "missing.csv")
    with pytest.raises(ConfigError, match="folder"):
        read(tmp_path)


@pytest.mark.parametrize(("name", "content"), [("a.csv", "id,id\n1,2\n"), ("a.csv", 'id,"text\n1,one\n')])
def test_a_broken_header_is_a_config_error(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(ConfigError, match="header"):
        read(write(tmp_path / name, content))


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "")) == []
    assert read(write(tmp_path / "a.jsonl", "\n\n")) == []


def test_a_pipe_gives_rows_before_it_ends() -> None:
    receiving, sending = os.pipe()
    with os.fdopen(sending, "wb", buffering=0) as pipe, os.fdopen(receiving, "rb") as stdin:
        pipe.write(b'{"id":"1","text":"one"}\n')
        reader = FileSource(FileSettings(path="-"), stdin=stdin).open(None)
        assert seen(list(reader.read(100) or ())) == [ONE]


def test_how_far_it_is_read_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id":"1","text":"one"}\n' * 10)
    reader = FileSource(FileSettings(path=str(path))).open(None)
    while reader.read(100) is not None:
        pass
    extent = reader.extent()
    reader.close()
    assert extent is not None
    assert extent.done == extent.total == path.stat().st_size
