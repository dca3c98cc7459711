"""The utterance table: one row for each utterance, with the same columns for every corpus.

Row numbers in messages are those that a spreadsheet shows: the header is row 1.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from emofuse.audio import ends_before
from emofuse.corpora.audio_files import absent_files, located, relative
from emofuse.corpora.table_files import (
    extra_of,
    inferred,
    is_separated_text,
    numbers_of,
    read_file,
    texts_of,
    write_file,
)
from emofuse.corpora.table_problems import Problems
from emofuse.csv_table import MISSING, MISSING_TEXTS, TableError, standard_names
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.words import has_words

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
            raise TableError(f"{corpus}: column {column!r} has values that are not numbers.")
    return df


def read_table(
    path: Path | str,
    column_map: Mapping[str, str] | None = None,
    *,
    allow_missing: bool = False,
    adapt: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Read and check an utterance table in CSV, TSV, JSON Lines or Parquet.

    Text files are read in any dialect and encoding that `emofuse.csv_table` knows. Columns are recognised by their
    names in any case, or by other usual names (`emofuse.csv_table.OTHER_NAMES`). The rest are kept as extra columns,
    but one whose name is nearly that of a missing known column is refused as a probable typing error. Cells such as
    NaN or NA are missing values; among transcripts only those that nobody says (`MISSING_TEXTS`). Relative audio files
    start from the folder of the table; see `emofuse.corpora.audio_files.located`. Lists and objects in JSON Lines and
    Parquet (ratings, votes) become JSON strings.

    Args:
        path: .csv, .tsv, .jsonl (or .ndjson) or .parquet.
        column_map: from the table's column names to those of `COLUMNS`.
        allow_missing: treat rows whose audio is missing as `without_absent_audio` does, instead of refusing them.
        adapt: maps the values of the typed table to those that `check_table` expects, before they are checked.

    Raises:
        TableError: the file cannot be read, breaks a rule of `check_table`, or what `adapt` raises; names file and
            rows.
    """
    path = Path(path)
    df, rows = read_file(path)
    df = _renamed(df, column_map or {}, path)
    for column in df.columns:
        if column in _STRINGS and column != "key":
            df[column] = df[column].mask(df[column].isin(MISSING_TEXTS if column == "text" else MISSING), None)
        elif column not in COLUMNS and is_separated_text(path):
            df[column] = inferred(df[column])
    if "file" in df.columns:
        df["file"] = located(texts_of(df["file"]), os.path.dirname(os.path.abspath(path)))
    if "corpus" not in df.columns:
        df["corpus"] = path.stem
    return _checked(df, str(path), rows, allow_missing=allow_missing, adapt=adapt)


def check_table(df: pd.DataFrame, source: str) -> pd.DataFrame:
    """Check every row and return the table with all of `COLUMNS` in order and of the right types.

    Args:
        df: a table; columns of `COLUMNS` may be absent, but not `key`.
        source: the file or corpus that messages name.

    Raises:
        TableError: a column name that is nearly a known one; a missing or repeated key; a row with neither audio nor
            text; an audio file that does not exist; end <= start; an end after that of the recording; text among
            numbers; arousal, valence or dominance out of 0..1; an emotion, gender or language outside its set; ratings
            that are not a JSON list of objects. All kinds of errors are named at once, each with up to five rows, which
            are numbered from 2.
    """
    return _checked(df, source, np.arange(len(df)) + 2)


def write_table(df: pd.DataFrame, path: Path | str) -> None:
    """Write a table as .csv, .tsv, .jsonl or .parquet, whole or not at all. Missing values are empty cells, or null.

    Audio files are written relative to the folder of the table, so that both can be moved together; paths that are
    already relative are written as they are.

    Raises:
        TableError: the ending is not one of these.
        EmofuseError: the file cannot be written.
    """
    path = Path(path)
    if "file" in df.columns:
        folder = os.path.dirname(os.path.abspath(path))
        df = df.assign(file=pd.Series(relative(texts_of(df["file"]), folder), index=df.index, dtype=object))
    write_file(df, path)


def without_absent_audio(df: pd.DataFrame, source: str) -> pd.DataFrame:
    """Empty the file of rows whose audio does not exist; leave out those of them that have no text.

    A warning counts both. The index is unchanged.

    Raises:
        TableError: no row is left.
    """
    absent = absent_files(df["file"].dropna())
    if not absent:
        return df
    silent = df["file"].isin(absent)
    left_out = silent & df["text"].isna()
    _log.warning(
        "%s: %d audio files are missing (such as %s); %d rows are used without audio, %d without text are left out",
        *(source, len(absent), min(absent), int(silent.sum() - left_out.sum()), int(left_out.sum())),
    )
    if left_out.all():
        raise TableError(
            f"{source}: no row is left: none of the {len(absent)} audio files exists, and "
            "no row has a transcript. A row needs audio or text."
        )
    df = df.assign(file=df["file"].mask(silent, None))
    return df[~left_out]


def _renamed(df: pd.DataFrame, column_map: Mapping[str, str], path: Path) -> pd.DataFrame:
    for old in column_map:
        if old not in df.columns:
            raise TableError(f"{path}: there is no column {old!r} to rename; it has {', '.join(map(str, df.columns))}.")
    df = df.rename(columns=dict(column_map))
    if repeated := sorted(set(df.columns[df.columns.duplicated()])):
        raise TableError(f"{path}: after renaming, column {repeated[0]!r} appears twice.")
    return df.rename(columns=standard_names([str(name) for name in df.columns], COLUMNS))


def _typed(df: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Table with all columns in order and typed; per number column a mask of the cells that are not numbers."""
    columns: dict[str, Any] = {}
    unparsed: dict[str, np.ndarray] = {}
    for column in COLUMNS:
        given = df[column] if column in df.columns else pd.Series([None] * len(df), dtype=object)
        if column in _STRINGS:
            columns[column] = pd.Series(texts_of(given), dtype=object)
        else:
            columns[column], unparsed[column] = numbers_of(given)
    columns["text"] = without_mere_marks(columns["text"], columns["file"])
    extras = {str(c): extra_of(df[c].reset_index(drop=True)) for c in df.columns if c not in COLUMNS}
    return pd.DataFrame({**columns, **extras}), unparsed


def without_mere_marks(texts: pd.Series, files: pd.Series) -> pd.Series:
    """Remove transcripts without words ("..."), but not from rows without audio, which have nothing else."""
    return texts.where(texts.map(has_words) | files.isna(), None)


def _checked(
    df: pd.DataFrame,
    source: str,
    rows: np.ndarray,
    *,
    allow_missing: bool = False,
    adapt: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Type, adapt and check a table; `rows` are the row numbers for messages."""
    problems = Problems()
    _check_columns([str(c) for c in df.columns], problems)
    if df.empty:
        problems.add_to_table("the table has no rows.")
        problems.refuse(source)
    typed = _typed_with_problems(df, rows, problems)
    if allow_missing:
        typed = without_absent_audio(typed, source)
    if adapt is not None:
        try:
            typed = adapt(typed)
        except TableError as error:
            problems.add_to_table(str(error), "emotion", "gender", *DIMENSIONS)
    _check(typed, problems)
    problems.refuse(source)
    return typed.reset_index(drop=True)


def _typed_with_problems(df: pd.DataFrame, rows: np.ndarray, problems: Problems) -> pd.DataFrame:
    """The typed table with row numbers as its index; cells that are not numbers become problems, and NaN."""
    typed, unparsed = _typed(df)
    typed.index = pd.Index(rows)
    for column, mask in unparsed.items():
        if mask.any():
            cells = df[column].tolist()
            text = f"{column} {{!r}} is not a number; leave it empty where missing"
            problems.add(typed, mask, lambda i, text=text, cells=cells: text.format(cells[i]))  # type: ignore[misc]
    return typed


def _check(df: pd.DataFrame, problems: Problems) -> None:
    """Collect the rows that break a rule, of a typed table with row numbers as its index."""
    keys = df["key"]
    if "key" not in problems.doubtful:
        problems.add(df, keys.isna(), lambda i: "key is missing; every row needs a unique one")
    repeated = keys.notna() & keys.duplicated()
    problems.add(df, repeated, lambda i: f"key {keys.iat[i]!r} is already used in row {(keys == keys.iat[i]).idxmax()}")
    for column in DIMENSIONS:
        values = df[column]
        if column not in problems.doubtful:
            problems.add(
                df,
                values.notna() & ~values.between(0, 1),
                lambda i, c=column, v=values: f"{c} {v.iat[i]:g} is out of 0..1; scale the ratings",  # type: ignore[misc]
            )
    _check_times_and_sources(df, problems)
    outside = partial(problems.add_outside, df)
    outside("emotion", EMOTIONS.__contains__, lambda v: f"emotion {v!r} is unknown{_hint(v, EMOTIONS)}")
    outside("gender", GENDERS.__contains__, lambda v: f"gender {v!r} is unknown{_hint(v, GENDERS)}")
    outside("language", _is_language, lambda v: f"language {v!r} is not an ISO 639-1 code, such as en or pl")
    outside("ratings", _is_ratings, lambda v: "ratings is not a JSON list of objects, one for each annotator")
    problems.add(df, df["corpus"].isna(), lambda i: "corpus is missing")


def _check_times_and_sources(df: pd.DataFrame, problems: Problems) -> None:
    files, start, end = df["file"], df["start"], df["end"]
    if problems.doubtful.isdisjoint(("file", "text")):
        problems.add(df, files.isna() & df["text"].isna(), lambda i: "neither audio nor text; give file, text, or both")
    absent = absent_files(files.dropna().tolist())
    problems.add(df, files.isin(absent), lambda i: f"audio file {files.iat[i]} does not exist")
    first = start.fillna(0)
    beyond = ~np.isfinite(first) | (start < 0)
    problems.add(df, beyond, lambda i: f"start {start.iat[i]:g} s is not in the recording")
    problems.add(df, ~np.isfinite(end.fillna(0)), lambda i: f"end {end.iat[i]:g} s is not in the recording")
    problems.add(df, end <= first, lambda i: f"end {end.iat[i]:g} s is not after start {first.iat[i]:g} s")
    _check_ends(df[~files.isin(absent)], problems)


def _check_ends(df: pd.DataFrame, problems: Problems) -> None:
    """Collect segments that end after their recording; each file is opened once."""
    end = df["end"].where(np.isfinite(df["end"]), df["start"].where(np.isfinite(df["start"])))
    latest = end.groupby(df["file"]).max().dropna()
    early = {file: error for file, at in latest.items() if (error := ends_before(str(file), at))}
    if early:
        files = df["file"]
        limit = files.map({file: error.seconds + error.tolerance for file, error in early.items()}).astype(float)
        problems.add(
            df,
            end > limit,
            lambda i: (
                f"segment ends at {end.iat[i]:g} s, but {files.iat[i]} ends at {early[files.iat[i]].seconds:.2f} s"
            ),
        )


def _check_columns(names: Sequence[str], problems: Problems) -> None:
    for name in names:
        if name in COLUMNS:
            continue
        if name.lower() in COLUMNS:
            problems.add_to_table(f"unknown column {name!r}. Did you mean {name.lower()!r}?", name.lower())
            continue
        near = difflib.get_close_matches(name.lower(), [c for c in COLUMNS if c not in names], n=1, cutoff=0.8)
        if near:
            hint = "An extra column needs another name."
            problems.add_to_table(f"unknown column {name!r}. Did you mean {near[0]!r}? {hint}", near[0])
    if "key" not in names and "key" not in problems.doubtful:
        message = f"column 'key' is missing; every row needs a unique key. The columns are {', '.join(names)}."
        problems.add_to_table(message, "key")


def _hint(value: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(value.lower(), allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(allowed)}"


def _is_language(code: str) -> bool:
    return len(code) == 2 and code.isascii() and code.isalpha() and code.islower()


class _Rating(TypedDict):
    """Any JSON object. Its members are not loaded, which is faster."""


_validate_ratings = TypeAdapter(list[_Rating]).validator.validate_json


def _is_ratings(text: str) -> bool:
    try:
        _validate_ratings(text)
    except ValueError:
        return False
    return True
