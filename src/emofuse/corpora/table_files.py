"""Read and write tables as CSV, TSV, JSON Lines and Parquet, and read their columns as text and as numbers.

Row numbers are those that a spreadsheet shows, or an editor for JSON Lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from pydantic_core import from_json

from emofuse.csv_table import MISSING, TableError, number, read_csv, read_text_file
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
        numbers += [row for row, _ in portion]
        for name, cells in columns.items():
            found = [value.get(name, np.nan) for value in values]
            cells += found if {list, dict}.isdisjoint(map(type, found)) else map(_flat, found)
    if not numbers:
        raise TableError(f"{path}: the table is empty; expected one JSON object a line.")
    return pd.DataFrame({name: _column(cells) for name, cells in columns.items()}), np.array(numbers, dtype=int)


def _objects(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of the lines that are not blank, with their numbers."""
    for row, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            value = from_json(line, cache_strings="keys")  # twice as fast as json
        except ValueError:
            try:
                value = json.loads(line)  # allows for lone surrogates, and says what is wrong
            except ValueError as error:
                raise TableError(f"{path}, row {row}: not valid JSON ({error}).") from error
        if not isinstance(value, dict):
            raise TableError(f'{path}, row {row}: expected one JSON object a line, such as {{"key": "a/1"}}.')
        yield row, value


def _column(cells: list[Any]) -> pd.Series:
    return pd.Series(cells, dtype=object if str in map(type, cells) else None)


def _flat(cell: Any) -> Any:
    return _JSON.encode(cell) if isinstance(cell, list | dict) else cell


def _write_objects(df: pd.DataFrame, path: Path) -> None:
    columns = [df[name].astype(object).where(df[name].notna(), None).tolist() for name in df.columns]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in zip(*columns, strict=True):
            file.write(json.dumps(dict(zip(df.columns, row, strict=True)), ensure_ascii=False, default=str) + "\n")


def texts_of(values: pd.Series) -> list[str | None]:
    """Values as text without blanks at the ends, None where missing or blank; whole numbers lose their decimals.

    >>> texts_of(pd.Series([1.0, None, " a "], dtype=object))
    ['1', None, 'a']
    """
    cells = values.astype(object).tolist()
    return [(v.strip() or None) if type(v) is str else None if v is None else _text(v) for v in cells]


def _text(value: Any) -> str | None:
    if value is pd.NA or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # numbered speakers become floats where one is missing
    return str(value).strip() or None


def numbers_of(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values as float64, NaN where missing; and a mask of those that are not numbers.

    Text may have decimal commas, but not in the same column as decimal points: "1,234" might then mean 1234.

    >>> numbers_of(pd.Series(["0,5", " ", "high"]))
    (array([0.5, nan, nan]), array([False, False,  True]))
    """
    wrong = np.zeros(len(values), dtype=bool)
    if values.dtype != object and not pd.api.types.is_string_dtype(values):
        return values.to_numpy(dtype=float, na_value=np.nan), wrong
    cells = values.astype(object).tolist()
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in cells], dtype=float), wrong
    except (TypeError, ValueError):
        numbers = np.full(len(cells), np.nan)
    points = any(isinstance(cell, str) and "." in cell for cell in cells)
    for i, value in enumerate(cells):
        try:
            if points and isinstance(value, str) and "," in value:
                raise ValueError(value)
            numbers[i] = (
                np.nan if value is None or value is pd.NA else number(value) if isinstance(value, str) else value
            )
        except (TypeError, ValueError):
            wrong[i] = True
    return numbers, wrong


def inferred(cells: pd.Series) -> pd.Series:
    """Extra column of a CSV file: truth values or numbers if each cell is written as Python writes them, else strings.

    Cells such as NA are missing in a column of numbers.
    """
    places, distinct = pd.factorize(cells, use_na_sentinel=False)
    return _inferred(distinct.tolist()).take(places).reset_index(drop=True)


def _inferred(cells: list[str]) -> pd.Series:
    if cells and all(cell in ("True", "False") for cell in cells):
        return pd.Series([cell == "True" for cell in cells])
    filled = [cell for cell in cells if cell not in MISSING]
    for kind in (int, float):
        if filled and _reads_back(filled, kind):
            dtype = kind if len(filled) == len(cells) else float
            return pd.Series([np.nan if cell in MISSING else kind(cell) for cell in cells], dtype=dtype)
    return pd.Series([cell or None for cell in cells], dtype=object)


def _reads_back(cells: Iterable[str], kind: Callable[[str], float]) -> bool:
    """Whether all cells are plain numbers. 007 is not: it is a name and stays a string."""
    try:
        return all(str(kind(cell)) == cell and abs(kind(cell)) < 2**53 for cell in cells)
    except ValueError:
        return False


def extra_of(values: pd.Series) -> pd.Series:
    """Strings as objects with None where missing, as in the known columns; other types unchanged."""
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        return values.astype(object).where(values.notna(), None)
    return values
