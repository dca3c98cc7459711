"""Read and write tables as CSV, TSV, JSON Lines and Parquet.

Row numbers are those that a spreadsheet shows, or an editor for JSON Lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from pydantic_core import from_json

from emofuse.csv_table import TableError, read_csv, read_text_file
from emofuse.files import atomic

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_ROWS_AT_ONCE = 500
_JSON = json.JSONEncoder(ensure_ascii=False)


def is_separated_text(path: Path) -> bool:
    """Whether a table of this name is text with separators: .csv or .tsv."""
    return path.suffix.lower() in _SEPARATORS


def read_file(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns of a table file, and the row number of each row; blank rows are left out.

    Cells of CSV and TSV are strings, "" where empty.

    Raises:
        TableError: the file does not exist, has another ending or is broken; names the row.
    """
    ending = path.suffix.lower()
    if ending == ".parquet":
        df = _read_parquet(path)
        return df, np.arange(len(df)) + 2
    if ending in _JSON_LINES:
        return read_text_file(path, lambda file: _read_objects(file, path))
    if not is_separated_text(path):
        raise TableError(f"{path}: expected a table that ends in .jsonl, .csv, .tsv or .parquet.")
    table = read_csv(path)
    columns = {name: pd.Series(cells, dtype=object) for name, cells in table.by_name().items()}
    return pd.DataFrame(columns), np.array(table.rows, dtype=int)


def check_ending(path: Path) -> None:
    """Check that a table can be written under this name, before long work whose result it is.

    Raises:
        TableError: the ending is not .jsonl, .ndjson, .csv, .tsv or .parquet.
    """
    if path.suffix.lower() not in (*_SEPARATORS, *_JSON_LINES, ".parquet"):
        raise TableError(f"{path}: a table is written as .jsonl, .csv, .tsv or .parquet; rename it.")


def write_file(df: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of its ending, whole or not at all. Missing values are empty cells, or null.

    Raises:
        TableError: another ending.
        EmofuseError: the file cannot be written.
    """
    check_ending(path)
    ending = path.suffix.lower()
    with atomic(path) as temporary:
        if ending == ".parquet":
            df.to_parquet(temporary, index=False)
        elif ending in _JSON_LINES:
            _write_objects(df, temporary)
        else:
            df.to_csv(temporary, index=False, sep=_SEPARATORS[ending], encoding="utf-8")


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
        raise TableError(f"{path}: not a valid Parquet file ({error}).") from error


def _parquet_column(file: pyarrow.parquet.ParquetFile, name: str) -> pd.Series:
    column = file.read([name]).column(name)
    if pyarrow.types.is_nested(column.type):
        return pd.Series([_flat(cell) for cell in column.to_pylist()], dtype=object)
    return column.to_pandas()


def _read_objects(file: TextIO, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    columns: dict[str, list[Any]] = {}
    numbers: list[int] = []
    objects = _objects(file, path)
    while portion := list(islice(objects, _ROWS_AT_ONCE)):  # all rows as objects would take several times the memory
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
                raise TableError(f"{path}, row {number}: not valid JSON ({error}).") from error
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
