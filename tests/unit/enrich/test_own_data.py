"""Labelled files of people's own: what is usable is read, what is not is told by its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from domain.errors import ConfigError
from enrich.own_data import MAX_CELL, OwnData, of_task, read_own_data


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "own.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes) -> OwnData:
    return read_own_data(written(folder, content))


def refused(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, content)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("packed", [False, True])
def test_columns_are_found_by_name_in_any_order(tmp_path: Path, delimiter: str, packed: bool) -> None:
    lines = [["id", "Label", "note", "TEXT", "brand"], ["7", "negative", "x", "Acme is late", "Acme"]]
    content = "".join(delimiter.join(line) + "\n" for line in lines).encode()
    data = read(tmp_path, gzip.compress(content) if packed else content)
    (row,) = data.rows
    assert (row.line, row.id, row.text, row.label, row.brand) == (2, "7", "Acme is late", -1, "Acme")
    assert (data.scale, data.has_brands, data.bad) == ("classes", True, ())
    assert row.passage().brands == (((0, 4),),)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_of_every_spreadsheet_are_read(tmp_path: Path, start: bytes, end: str) -> None:
    content = end.join(["text,label", '"two\nlines, one cell",positive', "plain,neutral", ""])
    data = read(tmp_path, start + content.encode())
    assert [row.text for row in data.rows] == ["two\nlines, one cell", "plain"]
    assert [row.line for row in data.rows] == [2, 4]


def test_utf_16_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "text\tlabel\ngr\u00fcn\tpositive\n".encode("utf-16")).rows[0].text == "gr\u00fcn"


def test_labels_may_be_points(tmp_path: Path) -> None:
    data = read(tmp_path, "text,label\na,-2\nb,-1\nc,0\nd,1\ne,+2\n")
    assert ([row.label for row in data.rows], data.scale) == ([-2, -1, 0, 1, 2], "points")


def test_both_kinds_of_labels_are_an_error_that_names_lines(tmp_path: Path) -> None:
    told = refused(tmp_path, "text,label\na,positive\nb,1\nc,negative\nd,-2\n")
    assert "names in lines 2, 4, points in lines 3, 5" in told


def test_bad_rows_are_told_by_line_and_the_others_are_read(tmp_path: Path) -> None:
    data = read(
        tmp_path, 'text,label\ngood,positive\n,neutral\nx,happy\ny,\na,b,c\n\n"open" y,neutral\nlast,negative\n'
    )
    assert [row.text for row in data.rows] == ["good", "last"]
    problems = [(row.line, row.problem) for row in data.bad]
    assert [line for line, _ in problems] == [3, 4, 5, 6, 8]
    for (_, found), expected in zip(
        problems, ("no text", "'happy'", "no label", "3 cells, expected 2", "expected after"), strict=True
    ):
        assert expected in found


def test_a_quote_that_is_never_closed_is_told_where_it_opens(tmp_path: Path) -> None:
    data = read(tmp_path, 'text,label\ngood,positive\n"never closed,neutral\nlost,negative\n')
    assert len(data.rows) == 1
    assert (data.bad[0].line, "never closed" in data.bad[0].problem) == (3, True)


def test_hostile_cells_are_only_text(tmp_path: Path) -> None:
    texts = ['=HYPERLINK("http://x")', "nul \0 inside", "y" * 1_000_000, "<script>", "\u202eturned"]
    quoted = "".join('"' + text.replace('"', '""') + '",neutral\n' for text in texts)
    data = read(tmp_path, f"text,label\n{quoted}")
    assert [row.text for row in data.rows] == texts
    data = read(tmp_path, f"text,label\n{'z' * (MAX_CELL + 1)},neutral\nafter,neutral\n")
    assert ([row.text for row in data.rows], data.bad[0].line) == (["after"], 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected a header"),
        (b"I love it,positive\nI hate it,negative\n", "the first line is 'I love it,positive', expected a header"),
        (b"text|label\na|positive\n", "parted by commas, tabs or semicolons"),
        (b"text,label,text\na,positive,b\n", "names the column text twice"),
        (b"text,label\n\xff\xff,positive\n", "not UTF-8 at byte 11"),
        (gzip.compress(b"text,label\na,positive\n", mtime=0)[:-6], "damaged gzip"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: bytes, expected: str) -> None:
    told = refused(tmp_path, content)
    assert expected in told
    assert "\n" not in told


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path, expected in ((tmp_path / "nowhere.csv", "no such file"), (tmp_path, "found a folder")):
        with pytest.raises(ConfigError, match=expected):
            read_own_data(path)


def test_a_row_without_a_brand_cannot_be_used_for_brands(tmp_path: Path) -> None:
    data = read(tmp_path, "text,label,brand\na,positive,Acme\nb,neutral,\n")
    assert len(of_task(data, "post").rows) == 2
    of_brands = of_task(data, "brand")
    assert ([row.line for row in of_brands.rows], of_brands.bad[0].line) == ([2], 3)
