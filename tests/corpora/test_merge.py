import logging
from pathlib import Path

import pandas as pd
import pytest

from emofuse.corpora.merge import merge
from emofuse.corpora.table import COLUMNS, TableError, make_table, read_table, write_table


def table(corpus: str, n: int = 2, speaker: str | None = None, **extra: list) -> pd.DataFrame:
    rows = [
        {"key": f"{corpus}/{i}", "text": "x", "speaker": speaker or f"{corpus}/s{i}", "arousal": 0.5 if i else None}
        for i in range(n)
    ]
    df = make_table(rows, corpus)
    for column, values in extra.items():
        df[column] = values
    return df


def test_rows_columns_and_types(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    a = table("a", age=[30, 40], session=["1", "2"], weak=[True, False], take=[1, 2])
    b = table("b", session=["x", None], dialogue=["d1", None], weak=[True, True], take=[3, 4])
    df = merge([("a.csv", a), ("b.csv", b)])
    assert list(df.columns) == [*COLUMNS, "age", "session", "weak", "take", "dialogue"]
    assert df["key"].tolist() == ["a/0", "a/1", "b/0", "b/1"] and df["corpus"].tolist() == ["a", "a", "b", "b"]
    assert df["age"].tolist()[:2] == [30, 40] and df["age"].isna().tolist() == [False, False, True, True]
    assert df["dialogue"].tolist() == [None, None, "d1", None] and df["session"].tolist() == ["1", "2", "x", None]
    assert [df[c].dtype.kind for c in ("age", "weak", "take", "arousal", "text")] == list("fbifO")
    assert not caplog.records
    for ending in ("csv", "parquet"):
        write_table(df, tmp_path / f"all.{ending}")
        pd.testing.assert_frame_equal(read_table(tmp_path / f"all.{ending}"), df)


def test_one_table_is_itself() -> None:
    df = table("a", age=[30, 40])
    pd.testing.assert_frame_equal(merge([("a.csv", df)]), df)


def test_contradicting_types_become_strings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        df = merge([("a.csv", table("a", level=[1.0, None])), ("b.csv", table("b", level=["high", "1.5"]))])
    assert df["level"].tolist() == ["1", None, "high", "1.5"]
    assert "column 'level' has numbers in a.csv, strings in b.csv" in caplog.text


def test_a_column_without_values_has_no_type() -> None:
    df = merge([("a", table("a", level=[1.5, 2])), ("b", table("b", level=[None, None])), ("c", table("c"))])
    assert df["level"].dtype == float and df["level"].notna().sum() == 2
    assert merge([("a", table("a", ok=[True, False])), ("c", table("c"))])["ok"].tolist() == [True, False, None, None]


def test_repeated_keys() -> None:
    with pytest.raises(TableError, match=r"key 'a/0' is in one\.csv and in two\.csv \(2 keys are repeated\)"):
        merge([("one.csv", table("a")), ("two.csv", table("a", 3))])
    with pytest.raises(TableError, match=r"key 'a/0' is twice in one\.csv"):
        merge([("one.csv", pd.concat([table("a"), table("a")]))])
    with pytest.raises(TableError, match="no tables"):
        merge([])


def test_speakers_of_two_corpora() -> None:
    with pytest.raises(TableError, match=r"speaker '01' is in the corpora a \(a\.csv\) and b \(b\.csv\).*a/01"):
        merge([("a.csv", table("a", speaker="01")), ("b.csv", table("b", speaker="01"))])
    # the same people in two parts of a corpus, and people known by the prefix of another corpus
    song = table("ravdess-song", speaker="ravdess/01")
    assert len(merge([("s", song), ("r", table("ravdess", speaker="ravdess/01")), ("a", table("a", speaker="1"))])) == 6
    half = table("a", speaker="1")
    half["key"] = ["a/8", "a/9"]
    assert len(merge([("1", table("a", speaker="1")), ("2", half)])) == 4
