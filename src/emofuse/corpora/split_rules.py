"""Rules for splitting a corpus: which values of a column (speakers, sessions) go into the same fold.

No result depends on the order of rows. A change that splits the same table differently needs a new `RULE_VERSION`,
which frozen splits record.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from emofuse.config import SplitConfig
from emofuse.corpora.table import TableError, texts_of

RULE_VERSION = 1
_PARTS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "development": "dev",
    "test": "test",
}


def in_words(config: SplitConfig) -> str:
    """Describe the rule in a sentence, for reports and frozen splits.

    >>> in_words(SplitConfig(rule="leave_one_out", column="session"))
    'each session in turn is for test, the next one for development, the others for training'
    """
    column = config.column or ("official_split" if config.rule == "official" else "speaker")
    if config.rule == "official":
        return f"official parts (column {column}); {config.test} is for test"
    if config.rule == "given":
        return f"folds of {config.folds}"
    if config.rule == "hold_out":
        return (
            f"{config.dev_share:.0%} of the values of {column} are for development and {config.test_share:.0%} for "
            f"test, drawn with seed {config.seed}"
        )
    if config.dev == "other_speaker":
        return f"each speaker in turn is for test, others of the same {column} for development, the rest for training"
    if config.rule == "leave_one_out":
        return f"each {column} in turn is for test, the next one for development, the others for training"
    like = f"like shares of {config.stratify}" if config.stratify else "like numbers of rows and genders"
    return (
        f"{config.k} folds of whole values of {column}, with {like}, made with seed {config.seed}; each in turn is for "
        "test, the next one for development, the others for training"
    )


def values_of(df: pd.DataFrame, column: str) -> pd.Series:
    """The column as text, with the index of the table.

    Raises:
        TableError: the table has no such column, or a row has no value.
    """
    if column not in df.columns:
        raise TableError(f"{corpus_of(df)}: there is no column {column}. Add it, or use another split rule.")
    values = pd.Series(texts_of(df[column]), index=df.index, dtype=object, name=column)
    missing = df.loc[values.isna(), "key"]
    if len(missing):
        kind, way = "", ""
        if column == "speaker":
            kind, way = "speaker-disjoint ", ", or another column with allow_shared_speakers = true"
        raise TableError(
            f"{corpus_of(df)}: {len(missing)} of {len(df)} rows have no {column} (first: {missing.min()}), so no {kind}"
            f'split can be made. Fill the column {column}, or use rule = "official"{way}.'
        )
    return values


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Distinct names, sorted by their words and, for numbers within them, by value.

    >>> in_natural_order(["s10", "s9", "s9"])
    ['s9', 's10']
    """
    return sorted(set(names), key=lambda name: (_pieces(name), name))


def _pieces(name: str) -> list[Any]:
    """The words and numbers of a name in turn."""
    return [int(piece) if i % 2 else piece for i, piece in enumerate(re.split(r"(\d+)", name))]


def balanced_groups(df: pd.DataFrame, values: pd.Series, k: int, seed: int) -> list[list[str]]:
    """Assign values to k groups that are balanced by gender, number of values and number of rows, in this order.

    Values with most rows are assigned first.
    """
    rows = values.value_counts().to_dict()
    _check_enough(df, values, k)
    by_key = df.assign(value=values).sort_values("key")
    gender = by_key.groupby("value")["gender"].first().fillna("").to_dict()
    order = np.random.default_rng(seed).permutation(np.array(sorted(values.unique()), dtype=object))
    groups: list[list[str]] = [[] for _ in range(k)]
    loads = [0] * k
    genders: list[dict[str, int]] = [{} for _ in range(k)]
    for value in sorted(order, key=lambda v: -rows[v]):
        value_gender = gender[value]  # "" if unknown, which is not balanced
        best = min(
            range(k),
            key=lambda i: (genders[i].get(value_gender, 0) if value_gender else 0, len(groups[i]), loads[i], i),
        )
        groups[best].append(value)
        loads[best] += rows[value]
        genders[best][value_gender] = genders[best].get(value_gender, 0) + 1
    return [sorted(group) for group in groups]


def stratified_groups(df: pd.DataFrame, values: pd.Series, by: str, k: int, seed: int) -> list[list[str]]:
    """Assign values to k groups with similar shares of the labels in column `by`; a missing label counts as a label.

    Uses scikit-learn's StratifiedGroupKFold on the rows in the order of their keys.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if by not in df.columns:
        raise TableError(
            f"{corpus_of(df)}: there is no column {by} to stratify by; the columns are {', '.join(df.columns)}."
        )
    _check_enough(df, values, k)
    order = df["key"].argsort()
    labels = np.array([label or "" for label in texts_of(df[by])])[order]
    grouped = values.to_numpy()[order]
    folds = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            # A label with fewer rows than folds cannot be in each of them.
            warnings.filterwarnings("ignore", message="The least populated class")
            groups = [sorted(set(grouped[test])) for _, test in folds.split(labels, labels, grouped.astype(str))]
    except ValueError as error:
        raise TableError(f"{corpus_of(df)}: k_fold cannot stratify by {by} ({error}).") from error
    if not all(groups):
        raise TableError(f"{corpus_of(df)}: stratified by {by}, one of the {k} folds is empty. Use fewer folds (k).")
    return groups


def hold_out_groups(df: pd.DataFrame, values: pd.Series, config: SplitConfig) -> tuple[list[str], list[str]]:
    """Draw the values for development and for test."""
    names = np.array(sorted(values.unique()), dtype=object)
    n_test = max(1, round(config.test_share * len(names))) if config.test_share > 0 else 0
    n_dev = max(1, round(config.dev_share * len(names)))
    if n_test + n_dev >= len(names):
        what = plural(values)
        raise TableError(
            f"{corpus_of(df)}: hold_out of {n_dev} {what} for development and {n_test} for test leaves none of the "
            f"{len(names)} for training. Lower dev_share or test_share, or add {what}."
        )
    order = np.random.default_rng(config.seed).permutation(names)
    return order[n_test : n_test + n_dev].tolist(), order[:n_test].tolist()


def place_of_speakers(df: pd.DataFrame, column: str) -> dict[str, str]:
    """The value of the column (such as the session) of each speaker, which at least two speakers must share.

    Raises:
        TableError: a speaker has several values, or is the only one with its value.
    """
    pairs = pd.DataFrame({"speaker": values_of(df, "speaker"), "value": values_of(df, column)}).drop_duplicates()
    several = pairs["speaker"][pairs["speaker"].duplicated()]
    if len(several):
        name = min(several)
        values = ", ".join(in_natural_order(pairs.loc[pairs["speaker"] == name, "value"].tolist()))
        raise TableError(
            f'{corpus_of(df)}: dev = "other_speaker" needs speakers with one {column} each, but {name} has {values}. '
            'Use dev = "next", or another column.'
        )
    alone = pairs.drop_duplicates("value", keep=False)
    if len(alone):
        name, value = min(zip(alone["speaker"], alone["value"], strict=True))
        raise TableError(
            f'{corpus_of(df)}: dev = "other_speaker" needs two speakers or more with the same {column}, but {name} is '
            f'alone in {value}. Use dev = "next", or another column.'
        )
    return dict(zip(pairs["speaker"], pairs["value"], strict=True))


def official_parts(df: pd.DataFrame, column: str, test: str) -> np.ndarray:
    """Part of each row: train, dev, test, or "" for rows of other test parts than the one asked for.

    Raises:
        TableError: the column does not exist, a value does not name a part, or train, dev or the test part is empty.
    """
    if column not in df.columns:
        raise TableError(f"{corpus_of(df)}: there is no column {column}. Add it, or use another split rule.")
    names = pd.Series(texts_of(df[column]), index=df.index, dtype=object).str.lower()
    known = {name for name in names.dropna().unique() if name in _PARTS or name.startswith("test")}
    unknown = ~names.isin(known)
    if unknown.any():
        first = df[unknown].sort_values("key").iloc[0]
        raise TableError(
            f"{corpus_of(df)}: {column} of {first['key']} is {first[column]!r}; "
            f"expected one of {', '.join(_PARTS)}, test1, test2 and so on."
        )
    tests = in_natural_order([name for name in known if name.startswith("test")])
    if test.lower() not in tests and (tests or test != "test"):
        hint = f"Set the key `test` to {' or '.join(tests)}." if tests else "The table has no test rows."
        raise TableError(f"{corpus_of(df)}: {column} has no {test} rows. {hint}")
    part = names.map(dict.fromkeys(tests, "") | _PARTS | {"test": "", test.lower(): "test"}).to_numpy()
    for name in ("train", "dev"):
        if not (part == name).any():
            raise TableError(f"{corpus_of(df)}: {column} has no {name} rows, which training needs.")
    return part


def _check_enough(df: pd.DataFrame, values: pd.Series, k: int) -> None:
    if (n := values.nunique()) < k:
        what = plural(values)
        raise TableError(f"{corpus_of(df)}: k_fold with k = {k} needs at least {k} {what}; the table has {n}.")


def plural(values: pd.Series) -> str:
    """Name of the values of a column, for messages."""
    return "speakers" if values.name == "speaker" else f"values of {values.name}"


def corpus_of(df: pd.DataFrame) -> str:
    """Names of the corpora of a table, for messages."""
    return ", ".join(sorted(df["corpus"].unique()))
