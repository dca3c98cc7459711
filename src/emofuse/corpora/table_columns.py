"""Columns of tables as text and as numbers, and the types of extra columns of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from emofuse.csv_table import MISSING, number


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
