"""Select rows of a table by the values of its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emofuse.corpora.table import TableError

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\.\.({_NUMBER})?")


def select(df: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Rows that meet every condition, with a new index from 0.

    A condition is a value, a list of values (any of them), or a range of numbers such as "4..12", "18.." or "..12",
    both ends included. Values are compared as text, so that "1" finds the number 1; an empty cell meets no condition.

    Raises:
        TableError: a column does not exist, or no row is left.

    >>> select(pd.DataFrame({"key": ["a", "b"], "age": [9, 40]}), {"age": "..12"})["key"].tolist()
    ['a']
    """
    for column, wanted in where.items():
        if column not in df.columns:
            raise TableError(f"where: there is no column {column!r}; the table has {', '.join(df.columns)}.")
        chosen = _meets(df[column], wanted)
        if not chosen.any():
            values = sorted({_text(value) for value in df[column].dropna().unique()})
            shown = ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
            raise TableError(f"where: no row has {column} = {wanted!r}. Its values are {shown or 'all missing'}.")
        df = df[chosen]
    return df.reset_index(drop=True)


def parse_where(conditions: Sequence[str]) -> dict[str, Any]:
    """Parse the conditions of the command line, each COLUMN=VALUE[,VALUE...] or COLUMN=LOW..HIGH.

    >>> parse_where(["script=improvised", "emotion=anger,fear"])
    {'script': 'improvised', 'emotion': ['anger', 'fear']}
    """
    where: dict[str, Any] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not (column.strip() and equals and value.strip()):
            raise TableError(f"--where {condition!r}: expected COLUMN=VALUE, such as gender=female or age=4..12.")
        values = [v.strip() for v in value.split(",")]
        where[column.strip()] = values if len(values) > 1 else values[0]
    return where


def _meets(values: pd.Series, wanted: Any) -> np.ndarray:
    if isinstance(wanted, str) and len(wanted) > 2 and (bounds := _RANGE.fullmatch(wanted)):
        numbers = pd.to_numeric(values, errors="coerce")
        low, high = (float(bound) if bound else None for bound in bounds.groups())
        return numbers.between(-np.inf if low is None else low, np.inf if high is None else high).to_numpy()
    allowed = {_text(value) for value in (wanted if isinstance(wanted, list) else [wanted])}
    return np.array([not missing and _text(v) in allowed for v, missing in zip(values, values.isna(), strict=True)])


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)
