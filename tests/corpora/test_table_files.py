"""Both ways to read a CSV give the same table or the same message; odd JSON Lines and Parquet."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.corpora import table_files
from emofuse.corpora.table_files import TableError, read_file

Found = tuple[dict[str, list[object]], list[int]] | str


def found(path: Path) -> Found:
    """Columns and row numbers of the file, or what is said of it."""
    try:
        df, rows = read_file(path)
    except TableError as error:
        return str(error)
    return {name: df[name].tolist() for name in df.columns}, rows.tolist()


def both(path: Path, content: bytes, block: int = 1 << 22) -> tuple[Found, Found, bool]:
    """What Arrow's parser and csv find, and whether Arrow's was trusted."""
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_files, "_BLOCK", min(block, 3))
        patch.setattr(table_files, "_ARROW_BLOCK", block)
        fast = found(path)
        trusted = table_files._read_arrow(path, table_files._DELIMITERS[path.suffix]) is not None
        patch.setattr(table_files, "_read_arrow", lambda *_: None)
        return fast, found(path), trusted


@pytest.mark.parametrize(
    "content",
    [
        "key,text\na,hi\nb,ho",
        "\ufeffkey,text\na,hi\n",
        '\ufeff"key","text"\n"a","hi"\n',
        'key,text\r\na,"two\r\nlines"\r\n\r\nb,"he said ""hi"""\r\n',
        "key,text\ra,hi\rb,ho\r",
        "key,text\n\n , \na,hi\n\u3000,\nb,ho\n\n",
        'key,text\n"","a,b"\n"""","\n"\n',
        "key,text,,\na,hi,,\n",
        "key\na\n\nb\n",
        "key,text\na,NA\nnull,\n 1 ,007\n",
        "key,text\na,żółw\nb,\u2028\n",
    ],
)
def test_well_formed_csv_is_read_by_arrow_with_the_same_result(tmp_path: Path, content: str) -> None:
    fast, slow, trusted = both(tmp_path / "t.csv", content.encode())
    assert trusted and fast == slow and not isinstance(fast, str)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b" , \nkey,text\na,hi\n",
        b"key,text\na\nb,ho,\n",
        b"key,text\na,hi,there\n",
        b'key,text\na,"hi\nb,ho\n',
        b'key,text\na,"hi" there\n',
        b'key,text\na,""hi\n',
        b'key,text\na, "hi"\n',
        b'key,text\na,5" nail\nb,6" nail\n',
        "key,text\na,café\n".encode("cp1252"),
        "key,text\na,hi\n".encode("utf-16"),
        b"key,text\na,h\0i\n",
        b"key,text\na," + b"x" * 131_073,
    ],
)
def test_odd_csv_is_left_to_csv_and_its_messages(tmp_path: Path, content: bytes) -> None:
    fast, slow, trusted = both(tmp_path / "t.csv", content)
    assert fast == slow and not trusted


def test_wrong_headers_are_refused_either_way(tmp_path: Path) -> None:
    for content, message in ((b"key,key\na,b\n", "'key' appears twice"), (b"key,,text\na,b,c\n", "2 has no name")):
        fast, slow, trusted = both(tmp_path / "t.csv", content)
        assert trusted and fast == slow and message in slow


pieces = st.sampled_from(["a", "ż ", '"', '""', ",", "\t", "\n", "\r\n", "\r", " ", "\u3000", "\x1c", "NA", "1.5"])
cells = st.lists(pieces, max_size=4).map("".join)
quoted = cells.map(lambda cell: '"' + cell.replace('"', '""') + '"')


@settings(max_examples=300, deadline=None)
@given(data=st.data(), ending=st.sampled_from([".csv", ".tsv"]), block=st.sampled_from([40, 64, 1 << 20]))
def test_any_csv_is_read_the_same_both_ways(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, ending: str, block: int
) -> None:
    width = data.draw(st.integers(1, 3))
    raw = data.draw(st.booleans())  # may have quotes and separators anywhere
    row = st.lists(cells if raw else quoted | st.sampled_from(["a", "", "ż 1"]), min_size=width, max_size=width)
    rows = data.draw(st.lists(row | st.just([]), max_size=6))
    header = [["key", "text", "take"][:width]]
    delimiter = table_files._DELIMITERS[ending]
    line_end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = line_end.join(delimiter.join(row) for row in header + rows) + data.draw(st.sampled_from(["", line_end]))
    fast, slow, trusted = both(tmp_path_factory.mktemp("csv") / f"t{ending}", content.encode(), block)
    assert fast == slow
    assert trusted or raw or block < 100


def test_quoted_line_breaks_stay_whole_where_blocks_meet(tmp_path: Path) -> None:
    content = b"key,text\r\n" + b'a,"two\r\nlines"\r\n' * 9
    for block in range(40, 60):
        fast, slow, trusted = both(tmp_path / "t.csv", content, block)
        assert trusted and fast == slow and not isinstance(fast, str) and fast[0]["text"] == ["two\r\nlines"] * 9


def test_columns_of_json_lines_may_begin_and_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "_AT_ONCE", 2)
    lines = [
        {"key": "a", "take": 1},
        {"key": "b", "take": 2, "votes": {"é": [1.0, None]}},
        {"take": 3, "key": "c"},
        {"key": "d", "votes": None, "clean": True, "mixed": "x"},
        {"key": 5, "take": 2.5, "mixed": 1},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"key": "\\ud83d", "take": NaN}'
    (tmp_path / "t.jsonl").write_text(text)
    df, rows = read_file(tmp_path / "t.jsonl")
    assert list(df.columns) == ["key", "take", "votes", "clean", "mixed"] and rows.tolist() == [1, 2, 3, 4, 5, 6]
    assert df["key"].tolist() == ["a", "b", "c", "d", 5, "\ud83d"]
    assert df["take"].dtype == float and np.array_equal(df["take"].dropna(), [1, 2, 3, 2.5])
    assert df["votes"].dropna().tolist() == ['{"é": [1.0, null]}']
    assert df["clean"].dropna().tolist() == [True] and df["mixed"].dropna().tolist() == ["x", 1]


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()])
def test_parquet_strings_of_any_kind(tmp_path: Path, kind: pyarrow.DataType) -> None:
    table = pyarrow.table({"key": pyarrow.array(["a", "b"], kind), "text": pyarrow.array(["x", None], kind)})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    df, rows = read_file(tmp_path / "t.parquet")
    assert df["key"].tolist() == ["a", "b"] and df["text"].isna().tolist() == [False, True] and rows.tolist() == [2, 3]
