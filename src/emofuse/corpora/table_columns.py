"""Columns of tables: text, numbers, and what the extra columns of a CSV are taken for.

Columns of strings stay Arrow's from the file on until they are typed here: Arrow strips and parses them in a fraction
of the time that Python takes, with the same result; what it does not parse, Python has the last word on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

_AT_ONCE = 16_384  # more cells at once take more memory, and are no faster
_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())  # what str.strip takes off


def of_arrow(values: pyarrow.Array | pyarrow.ChunkedArray) -> pd.Series:
    """A column that shares the memory of Arrow's."""
    return pd.Series(pd.arrays.ArrowExtensionArray(values))


def texts_of(values: pd.Series) -> list[str | None]:
    """Values as stripped text, None where missing or blank; numbers that are whole lose their decimals.

    >>> texts_of(pd.Series([1.0, None, " a "], dtype=object))
    ['1', None, 'a']
    """
    if (strings := _arrow_strings(values)) is not None:
        return _stripped(strings)
    cells = values.astype(object).tolist()
    return [(v.strip() or None) if type(v) is str else None if v is None else _text(v) for v in cells]


def _stripped(strings: pyarrow.ChunkedArray) -> list[str | None]:
    recurrent = len(strings.slice(0, _AT_ONCE).unique()) < min(len(strings), _AT_ONCE) / 2
    texts: list[str | None] = []
    for at in range(0, len(strings), _AT_ONCE):
        part = pyarrow.compute.utf8_trim(strings.slice(at, _AT_ONCE), characters=_SPACE)
        if recurrent:  # one object for each text rather than for each cell
            part = part.combine_chunks().dictionary_encode(null_encoding="encode")
            texts += _objects(part.dictionary)[part.indices.to_numpy()].tolist()
        else:
            texts += _objects(part).tolist()
    return texts


def _objects(texts: pyarrow.Array | pyarrow.ChunkedArray) -> np.ndarray:
    objects = texts.to_numpy(zero_copy_only=False)
    objects[objects == ""] = None
    return objects


def _text(value: Any) -> str | None:
    if value is pd.NA or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # numbered speakers become floats where one is missing
    return str(value).strip() or None


def numbers_of(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values as float64, NaN where missing or blank; and a mask of those that are no numbers.

    >>> numbers_of(pd.Series(["0.5", " ", "high"]))
    (array([0.5, nan, nan]), array([False, False,  True]))
    """
    unparsed = np.zeros(len(values), dtype=bool)
    strings = _arrow_strings(values)
    if strings is None and values.dtype != object and not pd.api.types.is_string_dtype(values):
        return values.to_numpy(dtype=float, na_value=np.nan), unparsed
    if strings is not None and (parsed := _parsed(strings)) is not None:
        return parsed, unparsed
    cells = values.astype(object).tolist()
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in cells], dtype=float), unparsed
    except (TypeError, ValueError):
        numbers = np.full(len(cells), np.nan)
    for i, value in enumerate(cells):
        if value is None or value is pd.NA:
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError):
            unparsed[i] = not (isinstance(value, str) and not value.strip())
    return numbers, unparsed


def _parsed(strings: pyarrow.ChunkedArray) -> np.ndarray | None:
    """Numbers, NaN where empty; None unless all of the others are plain, finite numbers."""
    filled = pyarrow.compute.if_else(pyarrow.compute.equal(strings, ""), None, strings)
    try:
        parsed = pyarrow.compute.cast(filled, pyarrow.float64())
    except pyarrow.ArrowInvalid:
        return None
    numbers = parsed.to_numpy(zero_copy_only=False)
    return numbers if np.isfinite(numbers).sum() == len(parsed) - parsed.null_count else None


def _arrow_strings(values: pd.Series) -> pyarrow.ChunkedArray | None:
    if not isinstance(values.dtype, pd.ArrowDtype) or not pd.api.types.is_string_dtype(values.dtype):
        return None
    return pyarrow.chunked_array(pyarrow.array(values.array))


def inferred(cells: pd.Series) -> pd.Series:
    """Extra column of a CSV: bool or number where every filled cell reads back as it was written, else strings."""
    places, distinct = pd.factorize(cells, use_na_sentinel=False)
    return _inferred(distinct.tolist()).take(places).reset_index(drop=True)


def _inferred(cells: list[str]) -> pd.Series:
    filled = [cell for cell in cells if cell]
    if filled and all(cell in ("True", "False") for cell in cells):
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


def extra_of(values: pd.Series) -> pd.Series:
    """Strings as objects with None, as in the known columns; other types as they are."""
    if values.dtype == object or pd.api.types.is_string_dtype(values):
        return values.astype(object).where(values.notna(), None)
    return values
