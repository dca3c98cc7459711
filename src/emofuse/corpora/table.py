"""The utterance table: one row an utterance, the same columns for every corpus, checked before anything is computed.

Row numbers in messages are those that a spreadsheet shows: the header is row 1.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from emofuse.corpora.labels import DIMENSIONS, EMOTIONS
from emofuse.corpora.table_columns import extra_of, inferred, numbers_of, texts_of
from emofuse.corpora.table_files import (
    TableError,
    absent_files,
    absolute,
    read_file,
    relative,
    write_file,
)
from emofuse.text.words import has_words

__all__ = [
    "COLUMNS",
    "GENDERS",
    "TableError",
    "check_table",
    "make_table",
    "read_table",
    "texts_of",
    "without_absent_audio",
    "write_table",
]

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
_log = logging.getLogger(__name__)


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


def read_table(
    path: Path | str,
    column_map: Mapping[str, str] | None = None,
    *,
    check: bool = True,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Read and check an utterance table in CSV, TSV, JSON Lines (all UTF-8) or Parquet.

    Relative audio files are resolved against the folder of the table. Columns that are not in `COLUMNS` are kept as
    extras; an extra whose name is nearly that of an absent known column is taken for a slip and refused. Lists and
    objects in JSON Lines and Parquet (ratings, votes) become JSON strings.

    Args:
        path: .csv, .tsv, .jsonl (or .ndjson) or .parquet.
        column_map: from the table's column names to those of `COLUMNS`, for tables with names of their own.
        check: whether to check the values; if not, for callers that map them first, numbers are still parsed, files
            resolved, and the index of the table holds the row numbers of the file, for `check_table`.
        allow_missing: go on where audio is absent, as `without_absent_audio`.

    Raises:
        TableError: the file cannot be read, or breaks a rule of `check_table`; names file and rows.
    """
    path = Path(path)
    df, rows = read_file(path)
    df = _renamed(df, column_map or {}, path)
    if path.suffix.lower() in (".csv", ".tsv"):
        for column in [c for c in df.columns if c not in COLUMNS]:
            df[column] = inferred(df[column])
    if "file" in df.columns:
        folder = os.path.dirname(os.path.abspath(path))
        df["file"] = absolute(texts_of(df["file"]), folder)
    if "corpus" not in df.columns:
        df["corpus"] = path.stem
    df = _typed_or_refused(df, str(path), rows)
    if allow_missing:
        df = without_absent_audio(df, str(path))
    if not check:
        return df
    _check(df, str(path))
    return df.reset_index(drop=True)


def check_table(df: pd.DataFrame, source: str, *, rows: Sequence[int] | None = None) -> pd.DataFrame:
    """Check every row and return the table with all of `COLUMNS` in order and of the right types.

    Args:
        df: a table; columns of `COLUMNS` may be absent, but not `key`.
        source: the file or corpus that messages name.
        rows: row numbers that messages give; from 2 if None.

    Raises:
        TableError: a column name that is nearly a known one; a missing or repeated key; a row with neither audio nor
            text; an audio file that is not there; end <= start; a value that is no number; arousal, valence or
            dominance out of 0..1; an emotion, gender or language outside its set; ratings that are no JSON list of
            objects. Up to five rows are shown.
    """
    df = _typed_or_refused(df, source, np.arange(len(df)) + 2 if rows is None else np.asarray(rows))
    _check(df, source)
    return df.reset_index(drop=True)


def write_table(df: pd.DataFrame, path: Path | str) -> None:
    """Write a table as .csv, .tsv, .jsonl or .parquet, whole or not at all. Missing values are empty cells, or null.

    Audio files are written relative to the folder of the table, so that both can move together; paths that are
    relative already are taken to be so.

    Raises:
        TableError: another ending.
        EmofuseError: the place cannot be written.
    """
    path = Path(path)
    if "file" in df.columns:
        folder = os.path.dirname(os.path.abspath(path))
        df = df.assign(file=pd.Series(relative(texts_of(df["file"]), folder), index=df.index, dtype=object))
    write_file(df, path)


def without_absent_audio(df: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows whose audio is absent keep their labels and text, with an empty file; without text they are left out.

    A warning counts both. The index is kept.

    Raises:
        TableError: no row is left.
    """
    absent = absent_files(df["file"].dropna())
    if not absent:
        return df
    silent = df["file"].isin(absent)
    left_out = silent & df["text"].isna()
    _log.warning(
        "%s: %d audio files are missing (such as %s); %d rows go on without audio, %d without text are left out",
        *(source, len(absent), min(absent), int(silent.sum() - left_out.sum()), int(left_out.sum())),
    )
    if left_out.all():
        raise TableError(
            f"{source}: no row is left: none of the {len(absent)} audio files is there, and "
            "no row has a transcript. A row needs audio or text."
        )
    df = df.assign(file=df["file"].mask(silent, None))
    return df[~left_out]


def _renamed(df: pd.DataFrame, column_map: Mapping[str, str], path: Path) -> pd.DataFrame:
    for old in column_map:
        if old not in df.columns:
            raise TableError(f"{path}: no column {old!r} to rename. It has {', '.join(map(str, df.columns))}.")
    df = df.rename(columns=dict(column_map))
    if repeated := sorted(set(df.columns[df.columns.duplicated()])):
        raise TableError(f"{path}: after renaming, column {repeated[0]!r} appears twice.")
    return df


def _typed(df: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Table with all columns in order and typed; per number column a mask of the cells that are no numbers."""
    columns: dict[str, Any] = {}
    unparsed: dict[str, np.ndarray] = {}
    for column in COLUMNS:
        given = df[column] if column in df.columns else pd.Series([None] * len(df), dtype=object)
        if column in _STRINGS:
            columns[column] = pd.Series(texts_of(given), dtype=object)
        else:
            columns[column], unparsed[column] = numbers_of(given)
    columns["text"] = _without_mere_marks(columns["text"], columns["file"])
    extras = {str(c): extra_of(df[c].reset_index(drop=True)) for c in df.columns if c not in COLUMNS}
    return pd.DataFrame({**columns, **extras}), unparsed


def _without_mere_marks(texts: pd.Series, files: pd.Series) -> pd.Series:
    """Transcripts of marks alone ("...") are missing ones. A row without audio keeps its text: it has nothing else."""
    return texts.where(texts.map(has_words) | files.isna(), None)


class _Problems:
    """Rows that break a rule: the first few by the number of the row, the others counted."""

    def __init__(self, df: pd.DataFrame):
        self.df, self.rows = df, df.index.to_numpy()
        self.found: list[tuple[int, str]] = []
        self.count = 0

    def add(self, mask: Any, explain: Callable[[int], str]) -> None:
        """Rows of the mask break a rule; `explain` says how the i-th does."""
        found = np.flatnonzero(np.asarray(mask, dtype=bool))
        self.count += len(found)
        self.found.extend((int(self.rows[i]), explain(i)) for i in found[:_ROWS_SHOWN])

    def outside(self, column: str, allowed: Callable[[str], bool], explain: Callable[[str], str]) -> None:
        """Values of a column that are not allowed break a rule; each distinct one is looked at once."""
        values = self.df[column]
        wrong = {str(value) for value in set(values.tolist()) if value is not None and not allowed(str(value))}
        if wrong:
            self.add(values.isin(wrong), lambda i: explain(str(values.iat[i])))

    def refuse(self, source: str) -> None:
        if self.count:
            shown = [f"row {row}: {text}" for row, text in sorted(self.found)[:_ROWS_SHOWN]]
            more = f"\n  and {self.count - len(shown)} more" if self.count > len(shown) else ""
            raise TableError(f"{source}, " + "\n  ".join(shown) + more)


def _typed_or_refused(df: pd.DataFrame, source: str, rows: np.ndarray) -> pd.DataFrame:
    """The table, typed, with row numbers as its index."""
    _check_columns([str(c) for c in df.columns], source)
    if df.empty:
        raise TableError(f"{source}: the table has no rows.")
    typed, unparsed = _typed(df)
    typed.index = pd.Index(rows)
    problems = _Problems(typed)
    for column, mask in unparsed.items():
        if mask.any():
            cells = df[column].tolist()
            problems.add(mask, lambda i, c=column, v=cells: f"{c} {v[i]!r} is no number; leave it empty where missing")  # type: ignore[misc]
    problems.refuse(source)
    return typed


def _check(df: pd.DataFrame, source: str) -> None:
    """Check a typed table whose index holds row numbers."""
    problems = _Problems(df)
    keys = df["key"]
    problems.add(keys.isna(), lambda i: "key is missing; every row needs a unique one")
    repeated = keys.notna() & keys.duplicated()
    problems.add(repeated, lambda i: f"key {keys.iat[i]!r} is already that of row {(keys == keys.iat[i]).idxmax()}")
    for column in DIMENSIONS:
        values = df[column]
        problems.add(
            values.notna() & ~values.between(0, 1),
            lambda i, c=column, v=values: f"{c} {v.iat[i]:g} is out of 0..1; scale the ratings",  # type: ignore[misc]
        )
    _check_times_and_sources(df, problems)
    problems.outside("emotion", EMOTIONS.__contains__, lambda v: f"emotion {v!r} is unknown{_hint(v, EMOTIONS)}")
    problems.outside("gender", GENDERS.__contains__, lambda v: f"gender {v!r} is unknown{_hint(v, GENDERS)}")
    problems.outside("language", _is_language, lambda v: f"language {v!r} is no ISO 639-1 code, such as en or pl")
    problems.outside("ratings", _is_ratings, lambda v: "ratings is no JSON list of objects, one for each annotator")
    problems.add(df["corpus"].isna(), lambda i: "corpus is missing")
    problems.refuse(source)


def _check_times_and_sources(df: pd.DataFrame, problems: _Problems) -> None:
    files, start, end = df["file"], df["start"], df["end"]
    problems.add(files.isna() & df["text"].isna(), lambda i: "neither audio nor text; give file, text, or both")
    if absent := absent_files(files.dropna().tolist()):
        problems.add(files.isin(absent), lambda i: f"audio file {files.iat[i]} is not there")
    first = start.fillna(0)
    problems.add(~np.isfinite(first) | (start < 0), lambda i: f"start {start.iat[i]:g} s is not in the recording")
    problems.add(~np.isfinite(end.fillna(0)), lambda i: f"end {end.iat[i]:g} s is not in the recording")
    problems.add(end <= first, lambda i: f"end {end.iat[i]:g} s is not after start {first.iat[i]:g} s")


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


def _is_language(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha() and code.islower()


class _Rating(TypedDict):
    """Any JSON object: its members are passed over, which is faster than to load them."""


_validate_ratings = TypeAdapter(list[_Rating]).validator.validate_json


def _is_ratings(text: str) -> bool:
    try:
        _validate_ratings(text)
    except ValueError:
        return False
    return True
