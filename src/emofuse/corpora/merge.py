"""Merge utterance tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.api import types

from emofuse.corpora.table import COLUMNS, TableError, check_table

_log = logging.getLogger(__name__)


def merge(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Concatenate utterance tables; each row keeps its corpus.

    The result has the extra columns of all tables; cells are empty where a table does not have the column. A column
    that holds numbers in one table and strings or truth values in another becomes strings, with a warning.

    Args:
        tables: (name, table) pairs, tables as `read_table` gives them; messages call them by these names,
            such as their paths.

    Raises:
        TableError: no table; a key that is in two tables; or a speaker without the prefix of a corpus (01, not
            ravdess/01) that is in two corpora, since these may be two people. Names both tables.
    """
    if not tables:
        raise TableError("no tables to merge; name at least one.")
    source = pd.Series([name for name, df in tables for _ in range(len(df))], dtype=object)
    known = [column for column in COLUMNS if any(column in df.columns for _, df in tables)]
    columns = dict.fromkeys([*known, *(column for _, df in tables for column in df.columns)])
    merged = pd.DataFrame({column: _joined(column, tables) for column in columns})
    _check_keys(merged, source)
    _check_speakers(merged, source)
    return check_table(merged, " + ".join(name for name, _ in tables))


def _joined(column: str, tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.Series:
    kinds = {name: _kind(df[column]) for name, df in tables if column in df.columns and df[column].notna().any()}
    incomplete = any(column not in df.columns or df[column].isna().any() for _, df in tables)
    cells: list[Any] = []
    for _, df in tables:
        values = df[column] if column in df.columns else pd.Series([None] * len(df), dtype=object)
        cells.extend(values.astype(object).where(values.notna(), None))
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{kind} in {name}" for name, kind in kinds.items())
        _log.warning("column %r has %s; all its values become strings", column, found)
        return pd.Series([None if cell is None else _text(cell) for cell in cells], dtype=object)
    if "numbers" in kinds.values():
        numbers = pd.Series(cells, dtype=float)
        whole = all(column in df.columns and types.is_integer_dtype(df[column]) for _, df in tables)
        return numbers.astype("int64") if whole else numbers
    return pd.Series(cells, dtype=bool if "truth values" in kinds.values() and not incomplete else object)


def _kind(values: pd.Series) -> str:
    filled = values.dropna().infer_objects()
    if types.is_bool_dtype(filled):
        return "truth values"
    return "numbers" if types.is_numeric_dtype(filled) else "strings"


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_keys(df: pd.DataFrame, source: pd.Series) -> None:
    repeated = df["key"][df["key"].duplicated() & df["key"].notna()]
    if len(repeated):
        key = repeated.min()
        names = source[(df["key"] == key).to_numpy()].tolist()
        where = f"in {names[0]} and in {names[1]}" if names[0] != names[1] else f"twice in {names[0]}"
        raise TableError(
            f"key {key!r} is {where} ({len(repeated)} keys are repeated). Merge each table once; give keys a "
            "prefix, such as the name of the corpus."
        )


def _check_speakers(df: pd.DataFrame, source: pd.Series) -> None:
    bare = df["speaker"].notna() & ~df["speaker"].astype("string").str.contains("/", na=False, regex=False)
    corpora = df[bare].groupby("speaker")["corpus"].nunique()
    if (corpora > 1).any():
        speaker = corpora.index[corpora > 1].min()
        rows = pd.DataFrame({"corpus": df["corpus"], "source": source})[(df["speaker"] == speaker).to_numpy()]
        found = rows.drop_duplicates("corpus").sort_values("corpus")
        places = " and ".join(f"{row.corpus} ({row.source})" for row in found.itertuples())
        raise TableError(
            f"speaker {speaker!r} is in the corpora {places}. If these are different people, write the corpus "
            f"before the name, such as {found['corpus'].iat[0]}/{speaker}; if they are one, give both the same prefix."
        )
