"""Files of tables: CSV, TSV, JSON Lines and Parquet; and the audio files that tables name.

Row numbers are those that a spreadsheet shows, or an editor for JSON Lines.
"""

from __future__ import annotations

import codecs
import csv
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
import pandas as pd

from emofuse.errors import EmofuseError
from emofuse.files import atomic

Content = TypeVar("Content")
Columns = tuple[dict[str, list[str]], np.ndarray]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_AT_ONCE = 2_000
_WORTH_LISTING = 50  # files of one folder
_log = logging.getLogger(__name__)


class TableError(EmofuseError):
    """A corpus or table that is not as it should be; the message names the file and, where there is one, the row."""


def read_file(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of a table file, and the number of each row in it; blank rows are left out.

    Cells of CSV and TSV are strings, "" where empty. Text in Windows-1252 is read with a warning.

    Raises:
        TableError: no such file, another ending, broken content; names the row.
    """
    ending = path.suffix.lower()
    if ending == ".parquet":
        df = _read_parquet(path)
        return df, np.arange(len(df)) + 2
    if ending in _JSON_LINES:
        return _decoded(path, lambda file: _read_objects(file, path))
    cells, rows = _read_cells(path)
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in cells.items()}), rows


def write_file(df: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of its ending, whole or not at all. Missing values are empty cells, or null.

    Raises:
        TableError: another ending.
        EmofuseError: the place cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in (*_DELIMITERS, *_JSON_LINES, ".parquet"):
        raise TableError(f"{path}: a table is written as .jsonl, .csv, .tsv or .parquet; rename it.")
    with atomic(path) as temporary:
        if ending == ".parquet":
            df.to_parquet(temporary, index=False)
        elif ending in _JSON_LINES:
            _write_objects(df, temporary)
        else:
            df.to_csv(temporary, index=False, sep=_DELIMITERS[ending], encoding="utf-8")


def read_records(
    path: Path, columns: Sequence[str], *, encoding: str = "utf-8-sig"
) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV as (row number, cells by column), for readers; blank rows are left out.

    Raises:
        TableError: as `read_file`, or one of `columns` is missing.
    """
    cells, rows = _read_cells(path, encoding)
    if absent := [c for c in columns if c not in cells]:
        raise TableError(f"{path}: column {absent[0]!r} is missing; expected the file as published.")
    lists = zip(rows.tolist(), *(cells[c] for c in columns), strict=True)
    return [(number, dict(zip(columns, row, strict=True))) for number, *row in lists if any(row)]


def _decoded(path: Path, read: Callable[[TextIO], Content], encoding: str = "utf-8-sig") -> Content:
    """What `read` makes of a text file."""
    try:
        with open(path, "rb") as start:
            if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise TableError(f"{path}: no valid UTF-8, but UTF-16. Save the table as UTF-8.")
        try:
            with open(path, encoding=encoding, newline="") as file:
                return read(file)
        except UnicodeDecodeError:
            _log.warning("%s: no valid UTF-8; read as Windows-1252. Save the table as UTF-8 if letters are wrong", path)
            with open(path, encoding="cp1252", errors="replace", newline="") as file:
                return read(file)
    except OSError as error:
        raise TableError(f"{path}: table cannot be read ({error.strerror}).") from error


def _read_cells(path: Path, encoding: str = "utf-8-sig") -> Columns:
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise TableError(f"{path}: expected a table that ends in .jsonl, .csv, .tsv or .parquet.")
    return _decoded(path, lambda file: _read_separated(file, delimiter, path), encoding)


def _read_separated(file: TextIO, delimiter: str, path: Path) -> Columns:
    filled = _filled(csv.reader(file, delimiter=delimiter, strict=True), path)
    header = next(filled, None)
    if header is None:
        raise TableError(f"{path}: the table is empty; expected a first row with column names.")
    names = [name.strip() for name in header[1]]
    columns: list[list[str]] = [[] for _ in names]
    numbers: list[int] = []
    while portion := list(islice(filled, _AT_ONCE)):  # all rows as lists would take more memory than the columns
        numbers += [number for number, _ in portion]
        fitted = [r if len(r) == len(names) else _fitted(r, len(names), number, path) for number, r in portion]
        for column, values in zip(columns, zip(*fitted, strict=True), strict=True):
            column.extend(values)
    return _named(names, columns, path), np.array(numbers, dtype=int)


def _filled(records: Iterable[list[str]], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with their numbers."""
    number = 0
    try:
        for number, record in enumerate(records, 1):
            if record and (record[0].strip() or any(map(str.strip, record))):
                yield number, record
    except csv.Error as error:
        raise TableError(f"{path}, row {number + 1}: {error}. Check the quotes of this row.") from error


def _fitted(record: list[str], width: int, number: int, path: Path) -> list[str]:
    """The record with as many cells as the header; empty ones are filled in or cut off at its end."""
    if any(record[width:]):
        raise TableError(
            f"{path}, row {number}: {len(record)} cells, but the header has {width}. "
            "Put cells that contain the separator in double quotes."
        )
    return record[:width] + [""] * (width - len(record))


def _named(names: list[str], columns: list[list[str]], path: Path) -> dict[str, list[str]]:
    kept = [i for i, name in enumerate(names) if name or any(columns[i])]
    for i in kept:
        if not names[i]:
            raise TableError(f"{path}: column {i + 1} has no name. Give it one in row 1.")
        if names.index(names[i]) < i:
            raise TableError(f"{path}: column {names[i]!r} appears twice. Rename or remove one.")
    return {names[i]: columns[i] for i in kept}


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]  # of pandas
            return pd.DataFrame({name: _parquet_column(file, name) for name in names})
    except OSError as error:
        raise TableError(f"{path}: table cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise TableError(f"{path}: no valid Parquet file ({error}).") from error


def _parquet_column(file: Any, name: str) -> pd.Series:
    """One column, strings as objects: all at once, the strings would be in memory twice."""
    import pyarrow

    column = file.read([name]).column(name)
    if pyarrow.types.is_nested(column.type):
        return pd.Series([_flat(cell) for cell in column.to_pylist()], dtype=object)
    values = column.to_pandas()
    if pd.api.types.is_string_dtype(values.dtype):
        del column
        values = values.astype(object)
        pyarrow.default_memory_pool().release_unused()
    return values


def _read_objects(file: TextIO, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    objects, numbers = [], []
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise TableError(f"{path}, row {number}: no valid JSON ({error}).") from error
        if not isinstance(value, dict):
            raise TableError(f'{path}, row {number}: expected one JSON object a line, such as {{"key": "a/1"}}.')
        objects.append({name: _flat(cell) for name, cell in value.items()})
        numbers.append(number)
    if not objects:
        raise TableError(f"{path}: the table is empty; expected one JSON object a line.")
    return pd.DataFrame(objects), np.array(numbers, dtype=int)


def _flat(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell


def _write_objects(df: pd.DataFrame, path: Path) -> None:
    columns = [df[name].astype(object).where(df[name].notna(), None).tolist() for name in df.columns]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in zip(*columns, strict=True):
            file.write(json.dumps(dict(zip(df.columns, row, strict=True)), ensure_ascii=False, default=str) + "\n")


def absolute(files: Sequence[str | None], folder: str) -> list[str | None]:
    """Audio files as absolute paths; relative ones start from `folder`."""
    return _placed(files, lambda head: os.path.normpath(os.path.join(folder, head)))


def relative(files: Sequence[str | None], folder: str) -> list[str | None]:
    """Absolute audio files as seen from `folder`, with forward slashes; relative ones are taken to be so already."""
    found = _placed(files, lambda head: _seen_from(folder, head) if os.path.isabs(head) else head)
    return [file and file.replace(os.sep, "/") for file in found]


def _placed(files: Sequence[str | None], place: Callable[[str], str]) -> list[str | None]:
    """The files in other folders: `place` says for each folder, asked once, which."""
    places: dict[str, str] = {}
    found: list[str | None] = []
    for file in files:
        if file is not None:
            head, name = os.path.split(file)
            if head not in places:
                there = place(head)
                places[head] = os.path.join(there, "") if there else ""
            file = places[head] + name
        found.append(file)
    return found


def absent_files(files: Iterable[str | float | None]) -> set[str]:
    """Those of the paths where no file is; None and NaN are no paths."""
    by_folder: dict[str, list[str]] = {}
    for file in {file for file in files if isinstance(file, str)}:
        by_folder.setdefault(file.rpartition(os.sep)[0], []).append(file)
    absent = set()
    for folder, wanted in by_folder.items():
        there = _files_in(folder) if len(wanted) >= _WORTH_LISTING else set()
        absent |= {file for file in set(wanted) - there if not os.path.isfile(file)}
    return absent


def _files_in(folder: str) -> set[str]:
    """One listing is far cheaper than a look at each file, over a network above all."""
    try:
        with os.scandir(folder) as entries:
            return {entry.path for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _seen_from(folder: str, place: str) -> str:
    try:
        relative = os.path.relpath(place, folder)
    except ValueError:  # on another drive
        return place
    return "" if relative == os.curdir else relative
