"""The utterance table: one row an utterance, the same columns for every corpus, checked before anything is computed.

Row numbers in messages are those that a spreadsheet shows: the header is row 1.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.corpora.labels import DIMENSIONS, EMOTIONS
from emofuse.errors import EmofuseError
from emofuse.files import atomic

COLUMNS = (
    "key",
    "file",
    "start",
    "end",
    "speaker",
    "gender",
    "language",
    "text",
    "emotion",
    "original_emotion",
    *DIMENSIONS,
    "ratings",
    "corpus",
)
GENDERS = ("female", "male", "other")

_NUMBERS = ("start", "end", *DIMENSIONS)
_STRINGS = tuple(column for column in COLUMNS if column not in _NUMBERS)
_ROWS_SHOWN = 5


class TableError(EmofuseError):
    """A corpus or table that is not as it should be; the message names the file and, where there is one, the row."""


def make_table(rows: Sequence[Mapping[str, Any]], corpus: str) -> pd.DataFrame:
    """Table of the given rows with all of `COLUMNS` in order, then extra columns. Values are not checked.

    Strings are objects with None where missing, numbers are float64 with NaN where missing.

    >>> make_table([{"key": "a/1", "text": "hello"}], "a")[["key", "text", "emotion", "corpus"]].values.tolist()
    [['a/1', 'hello', None, 'a']]
    """
    df = pd.DataFrame(list(rows)) if rows else pd.DataFrame(columns=["key"], dtype=object)
    if "corpus" not in df.columns:
        df["corpus"] = corpus
    df, unparsed = _typed(df)
    for column, mask in unparsed.items():
        if mask.any():
            raise TableError(f"{corpus}: column {column!r} has values that are no numbers.")
    return df


def read_table(path: Path | str, column_map: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read and check an utterance table in CSV, TSV (both UTF-8) or Parquet.

    Relative audio files are resolved against the folder of the table. Columns that are not in `COLUMNS` are kept as
    extras; an extra whose name is nearly that of an absent known column is taken for a slip and refused.

    Args:
        path: .csv, .tsv or .parquet.
        column_map: from the table's column names to those of `COLUMNS`, for tables with names of their own.

    Raises:
        TableError: the file cannot be read, or breaks a rule of `check_table`; names file and rows.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        df = _renamed(_read_parquet(path), column_map or {}, path)
        rows = np.arange(len(df)) + 2
    else:
        df = _renamed(read_cells(path), column_map or {}, path)
        filled = (df != "").any(axis=1).to_numpy()
        df, rows = df[filled].reset_index(drop=True), np.flatnonzero(filled) + 2
        for column in [c for c in df.columns if c not in COLUMNS]:
            df[column] = _inferred(df[column].tolist())
    if "file" in df.columns:
        folder = str(path.absolute().parent)
        df["file"] = [None if f is None else os.path.normpath(os.path.join(folder, f)) for f in _strings(df["file"])]
    if "corpus" not in df.columns:
        df["corpus"] = path.stem
    return _checked(df, str(path), rows)


def check_table(df: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check every row and return the table with all of `COLUMNS` in order and of the right types.

    Args:
        df: a table; columns of `COLUMNS` may be absent, but not `key`.
        source: the file or corpus that messages name.

    Raises:
        TableError: a column name that is nearly a known one; a missing or repeated key; a row with neither audio nor
            text; an audio file that is not there; end <= start; a value that is no number; arousal, valence or
            dominance out of 0..1; an emotion, gender or language outside its set; ratings that are no JSON list of
            objects. Up to five rows are shown.
    """
    return _checked(df, source, np.arange(len(df)) + 2)


def write_table(df: pd.DataFrame, path: Path | str) -> None:
    """Write a table as .csv, .tsv or .parquet, whole or not at all. Missing values are empty cells in CSV and TSV.

    Raises:
        TableError: another ending.
        EmofuseError: the place cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".csv", ".tsv", ".parquet"):
        raise TableError(f"{path}: a table is written as .csv, .tsv or .parquet; rename it.")
    with atomic(path) as temporary:
        if ending == ".parquet":
            df.to_parquet(temporary, index=False)
        else:
            df.to_csv(temporary, index=False, sep="\t" if ending == ".tsv" else ",", encoding="utf-8")


def read_cells(path: Path | str, *, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """All cells of a CSV or TSV file as strings, unchanged; missing trailing cells and blank lines become "".

    Raises:
        TableError: no such file, another ending or encoding, no header, repeated or empty column names, quotes that
            do not close, a row with more cells than the header.
    """
    path = Path(path)
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    if delimiter is None:
        raise TableError(f"{path}: expected a table that ends in .csv, .tsv or .parquet.")
    records: list[list[str]] = []
    try:
        with open(path, encoding=encoding, newline="") as file:
            for record in csv.reader(file, delimiter=delimiter, strict=True):
                records.append(record)
    except OSError as error:
        raise TableError(f"{path}: table cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: no valid UTF-8 (byte {error.start}). Save the table as UTF-8.") from error
    except csv.Error as error:
        raise TableError(f"{path}, row {len(records) + 1}: {error}. Check the quotes of this row.") from error
    if not records or not any(records[0]):
        raise TableError(f"{path}: the table is empty; expected a first row with column names.")
    return _frame(records, path)


def read_records(
    path: Path, columns: Sequence[str], *, encoding: str = "utf-8-sig"
) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV as (row number, cells by column), for readers; blank rows are left out.

    Raises:
        TableError: as `read_cells`, or one of `columns` is missing.
    """
    cells = read_cells(path, encoding=encoding)
    if absent := [c for c in columns if c not in cells.columns]:
        raise TableError(f"{path}: column {absent[0]!r} is missing; expected the file as published.")
    lists = zip(*(cells[c] for c in columns), strict=True)
    return [(i, dict(zip(columns, row, strict=True))) for i, row in enumerate(lists, 2) if any(row)]


def _frame(records: list[list[str]], path: Path) -> pd.DataFrame:
    names = [name.strip() for name in records[0]]
    width = len(names)
    for number, record in enumerate(records[1:], start=2):
        if len(record) > width and any(record[width:]):
            raise TableError(
                f"{path}, row {number}: {len(record)} cells, but the header has {width}. "
                "Put cells that contain the separator in double quotes."
            )
    columns = [[r[i] if i < len(r) else "" for r in records[1:]] for i in range(width)]
    kept = [i for i in range(width) if names[i] or any(columns[i])]
    for i in kept:
        if not names[i]:
            raise TableError(f"{path}: column {i + 1} has no name. Give it one in row 1.")
        if names.index(names[i]) < i:
            raise TableError(f"{path}: column {names[i]!r} appears twice. Rename or remove one.")
    return pd.DataFrame({names[i]: pd.Series(columns[i], dtype=object) for i in kept})


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except OSError as error:
        raise TableError(f"{path}: table cannot be read ({error.strerror or error}).") from error
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise TableError(f"{path}: no valid Parquet file ({error}).") from error


def _renamed(df: pd.DataFrame, column_map: Mapping[str, str], path: Path) -> pd.DataFrame:
    for old in column_map:
        if old not in df.columns:
            raise TableError(f"{path}: no column {old!r} to rename. It has {', '.join(map(str, df.columns))}.")
    df = df.rename(columns=dict(column_map))
    if repeated := sorted(set(df.columns[df.columns.duplicated()])):
        raise TableError(f"{path}: after renaming, column {repeated[0]!r} appears twice.")
    return df


def _inferred(cells: list[str]) -> pd.Series:
    """Extra column of a CSV: bool or number where every filled cell reads back as it was written, else strings."""
    filled = [cell for cell in cells if cell]
    if filled and set(cells) <= {"True", "False"}:
        return pd.Series([cell == "True" for cell in cells])
    for kind in (int, float):
        if filled and _reads_back(filled, kind):
            dtype = kind if len(filled) == len(cells) else float
            return pd.Series([kind(cell) if cell else np.nan for cell in cells], dtype=dtype)
    return pd.Series([cell or None for cell in cells], dtype=object)


def _reads_back(cells: Iterable[str], kind: type) -> bool:
    """Whether the cells are plain numbers; one such as 007 is a name and stays a string."""
    try:
        return all(str(kind(cell)) == cell and abs(kind(cell)) < 2**53 for cell in cells)
    except ValueError:
        return False


def _typed(df: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Table with all columns in order and typed; per number column a mask of the cells that are no numbers."""
    columns: dict[str, Any] = {}
    unparsed: dict[str, np.ndarray] = {}
    for column in COLUMNS:
        given = df[column] if column in df.columns else pd.Series([None] * len(df), dtype=object)
        if column in _STRINGS:
            columns[column] = pd.Series(_strings(given), dtype=object)
        else:
            columns[column], unparsed[column] = _numbers(given)
    extras = {str(c): _extra(df[c].reset_index(drop=True)) for c in df.columns if c not in COLUMNS}
    return pd.DataFrame({**columns, **extras}), unparsed


def _extra(values: pd.Series) -> pd.Series:
    """Strings as objects with None, as in the known columns; other types as they are."""
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        return values.astype(object).where(values.notna(), None)
    return values


def _strings(values: pd.Series) -> list[str | None]:
    return [None if missing else _string(v) for v, missing in zip(values.astype(object), values.isna(), strict=True)]


def _string(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # numbered speakers become floats where one is missing
    return str(value).strip() or None


def _numbers(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    unparsed = np.zeros(len(values), dtype=bool)
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        numbers = np.full(len(values), np.nan)
        for i, value in enumerate(values.astype(object).where(values.notna(), "")):
            if value == "":
                continue
            try:
                numbers[i] = float(value)
            except (TypeError, ValueError):
                unparsed[i] = not (isinstance(value, str) and not value.strip())
        return numbers, unparsed
    return values.to_numpy(dtype=float, na_value=np.nan), unparsed


def _checked(df: pd.DataFrame, source: str, rows: np.ndarray) -> pd.DataFrame:
    _check_columns([str(c) for c in df.columns], source)
    if df.empty:
        raise TableError(f"{source}: the table has no rows.")
    given = df
    df, unparsed = _typed(df)
    problems: list[tuple[int, str]] = []
    count = 0

    def report(mask: Any, explain: Callable[[int], str]) -> None:
        nonlocal count
        found = np.flatnonzero(np.asarray(mask, dtype=bool))
        count += len(found)
        problems.extend((int(rows[i]), explain(i)) for i in found[:_ROWS_SHOWN])

    def value(column: str) -> Callable[[int], Any]:
        return lambda i: df[column].iat[i]

    _check_keys(df, rows, report)
    for column, mask in unparsed.items():
        cells = given[column] if column in given.columns else None
        report(mask, lambda i, c=column, v=cells: f"{c} {v.iat[i]!r} is no number; leave it empty where missing")  # type: ignore[misc]
    for column in DIMENSIONS:
        outside = df[column].notna() & ~df[column].between(0, 1)
        report(outside, lambda i, c=column: f"{c} {value(c)(i):g} is out of 0..1; scale the ratings")  # type: ignore[misc]
    _check_times_and_sources(df, report)
    for column, allowed in (("emotion", EMOTIONS), ("gender", GENDERS)):
        outside = df[column].notna() & ~df[column].isin(allowed)
        report(outside, lambda i, c=column, a=allowed: f"{c} {value(c)(i)!r} is unknown{_hint(value(c)(i), a)}")  # type: ignore[misc]
    language = df["language"].notna() & ~df["language"].str.fullmatch(r"[a-z]{2}", na=False)
    report(language, lambda i: f"language {value('language')(i)!r} is no ISO 639-1 code, such as en or pl")
    ratings = [r is not None and not _is_ratings(r) for r in df["ratings"]]
    report(ratings, lambda i: "ratings is no JSON list of objects, one for each annotator")
    report(df["corpus"].isna(), lambda i: "corpus is missing")
    if count:
        shown = [f"row {row}: {text}" for row, text in sorted(problems)[:_ROWS_SHOWN]]
        more = f"\n  and {count - len(shown)} more" if count > len(shown) else ""
        raise TableError(f"{source}, " + "\n  ".join(shown) + more)
    return df


Report = Callable[[Any, Callable[[int], str]], None]


def _check_keys(df: pd.DataFrame, rows: np.ndarray, report: Report) -> None:
    keys = df["key"]
    report(keys.isna(), lambda i: "key is missing; every row needs a unique one")
    repeated = keys.notna() & keys.duplicated()
    report(
        repeated,
        lambda i: f"key {keys.iat[i]!r} is already that of row {rows[(keys == keys.iat[i]).to_numpy().argmax()]}",
    )


def _check_times_and_sources(df: pd.DataFrame, report: Report) -> None:
    files = df["file"]
    report(files.isna() & df["text"].isna(), lambda i: "neither audio nor text; give file, text, or both")
    absent = {file for file in files.dropna().unique() if not os.path.isfile(file)}
    report(files.isin(absent), lambda i: f"audio file {files.iat[i]} is not there")
    start, end = df["start"], df["end"]
    report(~np.isfinite(start.fillna(0)) | (start < 0), lambda i: f"start {start.iat[i]:g} s is not in the recording")
    report(~np.isfinite(end.fillna(0)), lambda i: f"end {end.iat[i]:g} s is not in the recording")
    report(end <= start.fillna(0), lambda i: f"end {end.iat[i]:g} s is not after start {start.fillna(0).iat[i]:g} s")


def _check_columns(names: Sequence[str], source: str) -> None:
    for name in names:
        if name in COLUMNS:
            continue
        if name.lower() in COLUMNS:
            raise TableError(f"{source}: unknown column {name!r}. Did you mean {name.lower()!r}?")
        near = difflib.get_close_matches(name.lower(), [c for c in COLUMNS if c not in names], n=1, cutoff=0.8)
        if near:
            raise TableError(
                f"{source}: unknown column {name!r}. Did you mean {near[0]!r}? An extra column needs another name."
            )
    if "key" not in names:
        raise TableError(f"{source}: column 'key' is missing; every row needs a unique key. Found {', '.join(names)}.")


def _hint(value: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(value.lower(), allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(allowed)}"


def _is_ratings(text: str) -> bool:
    try:
        ratings = json.loads(text)
    except ValueError:
        return False
    return isinstance(ratings, list) and all(isinstance(r, dict) for r in ratings)
