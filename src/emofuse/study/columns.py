"""Columns of the test utterances of tasks, to break results down by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emofuse.errors import EmofuseError
from emofuse.study.folder import Task

KEPT = ("corpus", "speaker", "has_audio", "has_text", "weak_dimensions")  # with the predictions
COUNTED = ("words", "seconds")  # from the transcript and the clip, where the corpora have no such column


def columns_of(tasks: Sequence[Task], columns: Sequence[str], data: Path | None) -> dict[tuple[str, str], pd.Series]:
    """Columns by key, for all test utterances, by task and name; missing where the corpora do not tell.

    The corpora of a task are read once for all columns. In composed pairs `words` is the emotion of the words, a column
    that they have; in all else it is the number of words.

    Args:
        tasks: whose utterances.
        columns: those that predictions have, or those of the corpora (which are then read), or some of `COUNTED`.
        data: folder that relative corpus roots start from.

    Returns:
        Nothing for a task without the column, if another task has it.

    Raises:
        EmofuseError: no task has such a column, or the corpora cannot be read.
    """
    found: dict[tuple[str, str], pd.Series] = {}
    there: set[str] = set(COUNTED)
    for task in tasks:
        answered = next(iter(task.answers.values()))[0].set_index("key")
        read = [column for column in columns if column not in KEPT or column not in answered]
        found |= {(task.name, column): answered[column] for column in columns if column not in read}
        if read:
            table = _rows(task, data).set_index("key", drop=False).reindex(answered.index)
            there |= set(table.columns) - {"key", "file", "text"}
            for column in read:
                if (values := _column(table, column)) is not None:
                    found[task.name, column] = values
    for column in columns:
        if not any(name == column for _, name in found):
            raise EmofuseError(
                f"--by {column}: the corpora of the study have no such column. There are {', '.join(sorted(there))}."
            )
    return found


def _column(table: pd.DataFrame, column: str) -> pd.Series | None:
    from emofuse.corpora.stats import seconds_of, word_counts

    if column in table:
        return table[column]
    if column == "words":
        return word_counts(table).reindex(table.index)
    return pd.Series(seconds_of(table), table.index) if column == "seconds" else None


def _rows(task: Task, data: Path | None) -> pd.DataFrame:
    from emofuse.data.rows import read_rows

    folds = task.folds if task.composed else task.folds[:1]  # pairs are composed anew for each fold
    tables = [table for fold in folds for table, _ in read_rows(task.recipe.with_fold(fold), data=data)[0]]
    return pd.concat(tables, ignore_index=True).drop_duplicates("key")
