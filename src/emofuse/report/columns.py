"""A column of the test utterances of a task, to break results down by."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emofuse.errors import EmofuseError
from emofuse.report.data import Task

KEPT = ("corpus", "speaker", "has_audio", "has_text", "weak_dimensions")  # with the predictions
COUNTED = ("words", "seconds")  # from the transcript and the clip, where the corpora have no such column


def column_of(task: Task, column: str, data: Path | None) -> pd.Series:
    """A column by key, for all test utterances of a task; missing where the corpora do not tell.

    Args:
        task: whose utterances.
        column: one that predictions have, or one of the corpora (which are then read), or one of `COUNTED`.
        data: folder that relative corpus roots start from.

    Raises:
        EmofuseError: the corpora have no such column, or cannot be read.
    """
    answered = next(iter(task.answers.values()))[0].set_index("key")
    if column in KEPT and column in answered:
        return answered[column]
    table = _corpora(task, data)
    if column in COUNTED and column not in table:
        from emofuse.corpora.stats import seconds_of, word_counts

        table = table[table["key"].isin(answered.index)]
        counted = word_counts(table) if column == "words" else pd.Series(seconds_of(table), table.index)
        table = table.assign(**{column: counted})
    if column not in table:
        raise EmofuseError(
            f"--by {column}: the corpora of task {task.name} have no such column. There are "
            f"{', '.join(sorted({*table.columns, *COUNTED} - {'key', 'file', 'text'}))}."
        )
    return table.set_index("key")[column].reindex(answered.index)


def _corpora(task: Task, data: Path | None) -> pd.DataFrame:
    from emofuse.training.prepare import read_rows

    folds = task.folds if task.composed else task.folds[:1]  # pairs are composed anew for each fold
    tables = [table for fold in folds for table, _ in read_rows(task.recipe.with_fold(fold), data=data)[0]]
    return pd.concat(tables, ignore_index=True).drop_duplicates("key")
