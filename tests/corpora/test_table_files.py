"""Odd JSON Lines and Parquet."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from emofuse.corpora import table_files
from emofuse.corpora.table_files import read_file


def test_columns_of_json_lines_may_begin_and_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "_ROWS_AT_ONCE", 2)
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
