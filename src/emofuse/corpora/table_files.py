"""Files of tables: CSV, TSV, JSON Lines and Parquet; and the audio files that tables name.

Row numbers are those that a spreadsheet shows, or an editor for JSON Lines.
"""

from __future__ import annotations

import codecs
import csv
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from pydantic_core import from_json

from emofuse.corpora.table_columns import of_arrow, texts_of
from emofuse.errors import EmofuseError
from emofuse.files import atomic

Content = TypeVar("Content")
Cells = tuple[list[str], list[pyarrow.ChunkedArray], np.ndarray]  # names, columns, numbers of the rows

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_AT_ONCE = 500  # rows
_JSON = json.JSONEncoder(ensure_ascii=False)
_BLOCK = 1 << 18  # bytes
_ARROW_BLOCK = 1 << 22
_ARROW_LIMIT = 1 << 30
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
    return pd.DataFrame({name: of_arrow(values) for name, values in cells.items()}), rows


def check_ending(path: Path) -> None:
    """See that a table can be written under this name; for callers whose work before the writing is long.

    Raises:
        TableError: another ending than .jsonl, .ndjson, .csv, .tsv or .parquet.
    """
    if path.suffix.lower() not in (*_DELIMITERS, *_JSON_LINES, ".parquet"):
        raise TableError(f"{path}: a table is written as .jsonl, .csv, .tsv or .parquet; rename it.")


def write_file(df: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of its ending, whole or not at all. Missing values are empty cells, or null.

    Raises:
        TableError: another ending.
        EmofuseError: the place cannot be written.
    """
    check_ending(path)
    ending = path.suffix.lower()
    with atomic(path) as temporary:
        if ending == ".parquet":
            df.to_parquet(temporary, index=False)
        elif ending in _JSON_LINES:
            _write_objects(df, temporary)
        else:
            df.to_csv(temporary, index=False, sep=_DELIMITERS[ending], encoding="utf-8")


def _decoded(path: Path, read: Callable[[TextIO], Content]) -> Content:
    """What `read` makes of a text file."""
    try:
        with open(path, "rb") as start:
            if start.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise TableError(f"{path}: no valid UTF-8, but UTF-16. Save the table as UTF-8.")
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                return read(file)
        except UnicodeDecodeError:
            _log.warning("%s: no valid UTF-8; read as Windows-1252. Save the table as UTF-8 if letters are wrong", path)
            with open(path, encoding="cp1252", errors="replace", newline="") as file:
                return read(file)
    except OSError as error:
        raise TableError(f"{path}: table cannot be read ({error.strerror}).") from error


def _read_cells(path: Path) -> tuple[dict[str, pyarrow.ChunkedArray], np.ndarray]:
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise TableError(f"{path}: expected a table that ends in .jsonl, .csv, .tsv or .parquet.")
    names, columns, rows = _read_arrow(path, delimiter) or _decoded(
        path, lambda file: _read_separated(file, delimiter, path)
    )
    return _named(names, columns, path), rows


def _read_arrow(path: Path, delimiter: str) -> Cells | None:
    """What `_read_separated` gives, several times as fast; None if only that can read the file or tell its fault."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter, strict=True), [])
        at_once = _arrow_block(path, delimiter)
        if not any(map(str.strip, header)) or not at_once:
            return None
        places = [str(i) for i in range(len(header))]
        table = pyarrow.csv.read_csv(
            str(path),
            pyarrow.csv.ReadOptions(column_names=places, block_size=at_once),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(places, pyarrow.string())),
        ).slice(1)
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowException):
        return None
    pyarrow.default_memory_pool().release_unused()
    if any(_longest(column) > csv.field_size_limit() for column in table.columns):
        return None
    rows = np.arange(len(table)) + 2
    if (blank := _blank_rows(table)).any():
        table, rows = table.filter(~blank), rows[~blank]
    return [name.strip() for name in header], table.columns, rows


def _arrow_block(path: Path, delimiter: str) -> int:
    """Bytes that Arrow is to read at once for the same cells as Python's csv; 0 if the two may not agree.

    They agree where each quote opens a cell or closes it, or is one of two within quotes. Between two blocks, Arrow
    loses the line feed of a quoted line break that begins with a carriage return.
    """
    border = np.isin(np.arange(256), list(b'"\r\n' + delimiter.encode()))
    quoted, returns, last = 0, False, b"\n"
    with open(path, "rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        for block in chain(iter(partial(file.read, _BLOCK), b""), [b"\n"]):
            if b"\0" in block:
                return 0
            returns = returns or b"\r" in block
            data = np.frombuffer(last + block, dtype=np.uint8)
            quotes = np.flatnonzero(data[1:-1] == ord('"')) + 1
            if not (border[data[quotes[quoted::2] - 1]].all() and border[data[quotes[1 - quoted :: 2] + 1]].all()):
                return 0
            quoted, last = (quoted + len(quotes)) % 2, data[-2:].tobytes()
        size = file.tell()
    if quoted or (returns and size > _ARROW_LIMIT):
        return 0
    return size if returns else _ARROW_BLOCK


def _longest(column: pyarrow.ChunkedArray) -> int:
    """Length of the longest cell, in bytes."""
    return pyarrow.compute.max(pyarrow.compute.binary_length(column)).as_py() or 0


def _blank_rows(table: pyarrow.Table) -> np.ndarray:
    blank = np.ones(len(table), dtype=bool)
    for column in table.columns:
        if not blank.any():
            break
        blank &= [text is None for text in texts_of(of_arrow(column))]
    return blank


def _read_separated(file: TextIO, delimiter: str, path: Path) -> Cells:
    filled = _filled(csv.reader(file, delimiter=delimiter, strict=True), path)
    header = next(filled, None)
    if header is None:
        raise TableError(f"{path}: the table is empty; expected a first row with column names.")
    names = [name.strip() for name in header[1]]
    portions: list[list[pyarrow.Array]] = [[] for _ in names]
    numbers: list[int] = []
    while portion := list(islice(filled, _AT_ONCE)):  # all rows as lists would take more memory than the columns
        numbers += [number for number, _ in portion]
        fitted = [r if len(r) == len(names) else _fitted(r, len(names), number, path) for number, r in portion]
        for column, values in zip(portions, zip(*fitted, strict=True), strict=True):
            column.append(pyarrow.array(values, pyarrow.string()))
    columns = [pyarrow.chunked_array(column, pyarrow.string()) for column in portions]
    return names, columns, np.array(numbers, dtype=int)


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


def _named(names: list[str], columns: list[pyarrow.ChunkedArray], path: Path) -> dict[str, pyarrow.ChunkedArray]:
    kept = [i for i, name in enumerate(names) if name or _longest(columns[i])]
    for i in kept:
        if not names[i]:
            raise TableError(f"{path}: column {i + 1} has no name. Give it one in row 1.")
        if names.index(names[i]) < i:
            raise TableError(f"{path}: column {names[i]!r} appears twice. Rename or remove one.")
    return {names[i]: columns[i] for i in kept}


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]  # of pandas
            columns = {name: _parquet_column(file, name) for name in names}
        pyarrow.default_memory_pool().release_unused()
        return pd.DataFrame(columns)
    except OSError as error:
        reason = (error.strerror or error) if path.exists() else "No such file or directory"  # Arrow says it at length
        raise TableError(f"{path}: table cannot be read ({reason}).") from error
    except (ValueError, KeyError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise TableError(f"{path}: no valid Parquet file ({error}).") from error


def _parquet_column(file: pyarrow.parquet.ParquetFile, name: str) -> pd.Series:
    column = file.read([name]).column(name)
    if pyarrow.types.is_nested(column.type):
        return pd.Series([_flat(cell) for cell in column.to_pylist()], dtype=object)
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        return of_arrow(column)
    return column.to_pandas()


def _read_objects(file: TextIO, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    columns: dict[str, list[Any]] = {}
    numbers: list[int] = []
    objects = _objects(file, path)
    while portion := list(islice(objects, _AT_ONCE)):  # all rows as objects would take several times the memory
        values = [value for _, value in portion]
        new = [name for name in dict.fromkeys(chain.from_iterable(values)) if name not in columns]
        columns |= {name: [np.nan] * len(numbers) for name in new}
        numbers += [number for number, _ in portion]
        for name, cells in columns.items():
            found = [value.get(name, np.nan) for value in values]
            cells += found if {list, dict}.isdisjoint(map(type, found)) else map(_flat, found)
    if not numbers:
        raise TableError(f"{path}: the table is empty; expected one JSON object a line.")
    return pd.DataFrame({name: _column(cells) for name, cells in columns.items()}), np.array(numbers, dtype=int)


def _objects(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of the lines that are not blank, with their numbers."""
    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            value = from_json(line, cache_strings="keys")  # twice as fast as json
        except ValueError:
            try:
                value = json.loads(line)  # allows for lone surrogates, and says what is wrong
            except ValueError as error:
                raise TableError(f"{path}, row {number}: no valid JSON ({error}).") from error
        if not isinstance(value, dict):
            raise TableError(f'{path}, row {number}: expected one JSON object a line, such as {{"key": "a/1"}}.')
        yield number, value


def _column(cells: list[Any]) -> pd.Series:
    return pd.Series(cells, dtype=object if str in map(type, cells) else None)


def _flat(cell: Any) -> Any:
    return _JSON.encode(cell) if isinstance(cell, list | dict) else cell


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
            name = max(file.rfind(os.sep), file.rfind("/")) + 1
            folder = file[:name]
            if folder not in places:
                there = place(os.path.dirname(folder))
                places[folder] = os.path.join(there, "") if there else ""
            file = places[folder] + file[name:]
        found.append(file)
    return found


def absent_files(files: Iterable[str | float | None]) -> set[str]:
    """Those of the paths where no file is; None and NaN are no paths."""
    wanted = {file for file in files if isinstance(file, str)}
    folders = Counter(file[: max(file.rfind(os.sep), 0)] for file in wanted)
    for folder, count in folders.items():
        if count >= _WORTH_LISTING:
            wanted -= _files_in(folder)
    return {file for file in wanted if not os.path.isfile(file)}


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
