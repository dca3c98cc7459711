"""Collect the problems of a table, so that one error names all kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from emofuse.csv_table import TableError

_ROWS_SHOWN = 5


@dataclass(frozen=True)
class _Kind:
    rows: list[tuple[int, str]]  # number of the row and what is wrong with it, for the first few
    count: int


class Problems:
    """Problems of a table by kind, each with its first rows and their number.

    Attributes:
        doubtful: columns that are misnamed or wrongly mapped; checking their values would only repeat that.
    """

    def __init__(self) -> None:
        self.doubtful: set[str] = set()
        self._of_table: list[str] = []
        self._of_rows: list[_Kind] = []

    def add_to_table(self, message: str, *columns: str) -> None:
        """Add a problem of the whole table; `columns` become doubtful."""
        self._of_table.append(message)
        self.doubtful.update(columns)

    def add(self, df: pd.DataFrame, mask: Any, explain: Callable[[int], str]) -> None:
        """Add the rows of a mask; `explain` describes the problem of the i-th. The index of `df` holds row numbers."""
        rows = np.flatnonzero(np.asarray(mask, dtype=bool))
        if len(rows):
            shown = [(int(df.index[i]), explain(int(i))) for i in rows[:_ROWS_SHOWN]]
            self._of_rows.append(_Kind(shown, len(rows)))

    def add_outside(
        self, df: pd.DataFrame, column: str, allowed: Callable[[str], bool], explain: Callable[[str], str]
    ) -> None:
        """Add the rows whose value in a column is not allowed; each distinct value is checked once."""
        values = df[column]
        wrong = {str(value) for value in set(values.tolist()) if value is not None and not allowed(str(value))}
        if wrong and column not in self.doubtful:
            self.add(df, values.isin(wrong), lambda i: explain(str(values.iat[i])))

    def refuse(self, source: str) -> None:
        """Raise the problems as one error, if there are any.

        Raises:
            TableError: one line for each row if there is one kind of problem, else one line for each kind.
        """
        kinds = len(self._of_table) + len(self._of_rows)
        if kinds > 1:
            lines = [*self._of_table, *map(_line, self._of_rows)]
            raise TableError(f"{source}: {kinds} kinds of errors\n  " + "\n  ".join(lines))
        if self._of_table:
            raise TableError(f"{source}: {self._of_table[0]}")
        for kind in self._of_rows:
            lines = [f"row {row}: {text}" for row, text in kind.rows]
            more = f"\n  and {kind.count - len(lines)} more" if kind.count > len(lines) else ""
            raise TableError(f"{source}, " + "\n  ".join(lines) + more)


def _line(kind: _Kind) -> str:
    """The rows of a kind, and what is wrong with the first one."""
    rows = ", ".join(str(row) for row, _ in kind.rows)
    more = f" and {kind.count - len(kind.rows)} more" if kind.count > len(kind.rows) else ""
    return f"row{'s' if kind.count > 1 else ''} {rows}{more}: {kind.rows[0][1]}"
