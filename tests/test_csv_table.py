"""Delimited text is read whatever its dialect and encoding; what is broken is refused by its row."""

import codecs
import csv
import io
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.csv_table import CsvTable, TableError, number, read_csv, standard_names


def read(path: Path, content: bytes | str) -> CsvTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path)


pieces = st.sampled_from(
    ["a", "ż", "é", '"', '""', ",", ";", "\t", "|", "\n", "\r\n", "\r", " ", "NA", "1,5", "=", "'"]
)
cells = st.lists(pieces, max_size=5).map("".join)
names = st.lists(st.text("abcdeé _", min_size=1, max_size=6).map(str.strip).filter(bool), unique=True, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    header=names.filter(lambda names: len(names) > 1),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    quote_all=st.booleans(),
)
def test_what_csv_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    header: list[str],
    delimiter: str,
    line_end: str,
    encoding: str,
    quote_all: bool,
) -> None:
    row = st.lists(cells, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row, max_size=5))
    if encoding == "cp1252":
        rows = [[cell.replace("ż", "z") for cell in row] for row in rows]
    quoting = csv.QUOTE_ALL if quote_all or line_end != "\r\n" else csv.QUOTE_MINIMAL  # else "\r" may stay unquoted
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows([header, *rows])
    table = read(tmp_path_factory.mktemp("csv") / "t.csv", buffer.getvalue().encode(encoding))
    filled = [(i, row) for i, row in enumerate(rows, 2) if any(map(str.strip, row))]
    assert table.header == header and table.rows == [i for i, _ in filled]
    expected = [[row[column].strip() for _, row in filled] for column in range(len(header))]
    assert table.columns == expected


@pytest.mark.parametrize(
    "content",
    [
        "key,text\na,hi\nb,ho",
        "key,text\na,hi\nb,ho\n",
        '"key","text"\n"a","hi"\n"b", "ho"',
        "key, text \r\n a ,hi\r\n\r\nb,ho\r\n , \r\n\r\n",
        "key,text\ra,hi\rb,ho\r",
        "key;text\na;hi\nb;ho\n",
        "key\ttext\na\thi\nb\tho\n",
        "key|text\na|hi\nb|ho\n",
        "sep=;\nkey;text\na;hi\nb;ho\n",
        ",key,text\n0,a,hi\n1,b,ho\n",
        "key,text,,\na,hi,,\nb,ho,,,,\n",
        "\n , \nkey,text\na,hi\nb,ho\n",
        '"a, b";key;text\n;a;hi\n;b;ho\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_dialects(tmp_path: Path, content: str, encoding: str) -> None:
    columns = read(tmp_path / "t.csv", content.encode(encoding)).by_name()
    assert {name: cells for name, cells in columns.items() if any(cells)} == {"key": ["a", "b"], "text": ["hi", "ho"]}


def test_a_guessed_encoding_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = "key,text\na,I can’t stand the café\n"
    for encoding, guesses in (("utf-8", 0), ("utf-16", 0), ("cp1252", 1), ("utf-16-le", 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            table = read(tmp_path / "t.csv", content.encode(encoding))
        assert table.columns[1] == ["I can’t stand the café"] and len(caplog.records) == guesses


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        ("key,text\na,hi,there\n", ["row 2", "3 cells", "2", "commas"]),
        ("key;text\na;hi\nb\n", ["row 3", "1 cells", "2", "semicolons"]),
        ('key,text\na,"two\nlines"\nb,"ho\nc,he\n', ["row 3", "line 4", "quotes"]),
        ('key,text\na,"hi" there\n', ["row 2", "line 2", "quotes"]),
        ('key,text\na,hi\nb,"ho\nc,"he"\n', ["row 3", "line 3", "quotes"]),
        ("key,text\na," + "x" * 200_000, ["row 2"]),
        ("sep=;\nkey;text\na;b;c\n", ["row 3"]),
        (b"PAR1abc", ["Parquet"]),
        (b"PK\x03\x04abc", ["Excel"]),
    ],
)
def test_broken_tables_are_refused_by_row(tmp_path: Path, content: bytes | str, parts: list[str]) -> None:
    with pytest.raises(TableError) as error:
        read(tmp_path / "t.csv", content)
    for part in [str(tmp_path / "t.csv"), *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize(("header", "part"), [("key,key", "'key'"), ("key,", "column 2")])
def test_columns_need_different_names(tmp_path: Path, header: str, part: str) -> None:
    with pytest.raises(TableError, match=part):
        read(tmp_path / "t.csv", f"{header}\na,b\n").by_name()


def test_row_numbers_are_those_of_a_spreadsheet(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", 'key,text\na,"two\nlines"\n\n , \nb,ho\n').rows == [2, 5]


def test_numbers() -> None:
    assert [number(cell) for cell in ("0.5", "0,5", " -1 ", "1e-3", "12")] == [0.5, 0.5, -1, 0.001, 12]
    assert all(number(cell) != number(cell) for cell in ("", "NA", "NaN", "null", "None", "#N/A"))
    for cell in ("high", "1,234.5", "1.234,5", "1,2,3"):
        with pytest.raises(ValueError, match=r".+"):
            number(cell)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["File", "TEXT"], {"File": "file", "TEXT": "text"}),
        (["filename", "Transcript"], {"filename": "file", "Transcript": "text"}),
        (["file", "path", "text", "sentence"], {}),
        (["path", "filename"], {}),
        (["File", "FILE"], {}),
        (["File Name", "start time"], {"File Name": "file", "start time": "start"}),
        (["mood"], {}),
    ],
)
def test_names_that_are_recognised(names: list[str], expected: dict[str, str]) -> None:
    assert standard_names(names, ("file", "text", "start")) == expected


def test_byte_order_marks_are_no_part_of_a_name(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", codecs.BOM_UTF8 + b"key\na\n").header == ["key"]
