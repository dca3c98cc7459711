"""Behaviour of systems: predictions that fusion changes, recall and confusion of classes, values by a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emofuse.metrics import scores as metrics
from emofuse.metrics.intervals import Interval, bootstrap_interval, number_groups
from emofuse.metrics.outcomes import CATEGORIES, Outcomes
from emofuse.metrics.significance import system_intervals

MISSING = "(missing)"
MOST_VALUES = 10  # numbers with more different values are cut into bins
CHANGES = ("same right", "same wrong", "right to wrong", "wrong to right", "wrong to wrong")


@dataclass(frozen=True)
class Changed:
    """How the predictions of a fused system differ from those of a unimodal one; intervals are over speakers.

    Attributes:
        counts: number of predictions (utterances x seeds) of each of `CHANGES`.
        changed: share of predictions that differ.
        right: share of the differing predictions that are right; NaN if none differs.
        rescued: share of the wrong unimodal predictions that the fused system corrects.
        broken: share of the right unimodal predictions that the fused system gets wrong.
    """

    counts: dict[str, int]
    changed: Interval
    right: Interval
    rescued: Interval
    broken: Interval


def changes(outcomes: Outcomes, unimodal: str, fused: str) -> pd.DataFrame:
    """Classify how each prediction of a unimodal system differs in a fused one.

    Returns:
        One of `CHANGES`, or None without a truth: (n, seeds), with the keys as index and the seeds 0.. as columns.

    Raises:
        ValueError: the metric is not one of classes, or a system is unknown.
    """
    _need_classes(outcomes)
    before, after = (_predictions(outcomes, name) for name in (unimodal, fused))  # (seeds, n)
    truth = np.broadcast_to(outcomes.truth, before.shape)
    same = before == after
    conditions = [truth < 0, same & (after == truth), same, before == truth, after == truth]
    kinds = np.select(conditions, [-1, 0, 1, 2, 3], 4)
    names = np.array([*CHANGES, None], dtype=object)
    return pd.DataFrame(names[kinds].T, index=pd.Index(outcomes.keys, name="key"))


def changed_answers(
    outcomes: Outcomes, unimodal: str, fused: str, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> Changed:
    """Count how often a fused system changes the predictions of a unimodal one, and how often it is then right.

    Args:
        outcomes: classes that both systems predict, of all utterances or some (`Outcomes.where`).
        unimodal: name of the system whose predictions are changed.
        fused: name of the system that changes them.
        resamples: number of bootstrap resamples of speakers (with all their seeds).
        level: coverage of the intervals, between 0 and 1.
        seed: seed of the resampling.

    Raises:
        ValueError: as `changes`, fewer than one resample, or a level outside 0..1.

    Example:
        >>> import numpy as np
        >>> answers = {"audio_only": np.array([[0, 1, 1]]), "fused": np.array([[0, 0, 0]])}
        >>> outcomes = Outcomes("uar", list("xyz"), [0, 0, 1], answers, list("aab"), labels=["calm", "tense"])
        >>> result = changed_answers(outcomes, "audio_only", "fused", seed=0)
        >>> result.counts["wrong to right"], result.right.value, result.right.low, result.right.high
        (1, 0.5, 0.0, 1.0)
    """
    kinds = changes(outcomes, unimodal, fused)
    flat = kinds.to_numpy().ravel()  # seeds of an utterance beside each other
    speakers = np.repeat(number_groups(outcomes.speakers), kinds.shape[1])

    def share(of: str | tuple[str, ...], among: tuple[str, ...]) -> Interval:
        hit, counted = np.isin(flat, of), np.isin(flat, among)
        # The mean of 0 and 1 is their mean absolute error from 0.
        return bootstrap_interval(
            "mae", np.where(counted, 0.0, np.nan), hit, speakers, resamples=resamples, level=level, seed=seed
        )

    changed = CHANGES[2:]
    return Changed(
        counts={kind: int((flat == kind).sum()) for kind in CHANGES},
        changed=share(changed, CHANGES),
        right=share("wrong to right", changed),
        rescued=share("wrong to right", ("same wrong", "wrong to right", "wrong to wrong")),
        broken=share("right to wrong", ("same right", "right to wrong")),
    )


def breakdown(
    outcomes: Outcomes,
    by: pd.Series,
    *,
    bins: int = 4,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int,
) -> pd.DataFrame:
    """Compute the metric of each system for each value of a column, such as gender, language, speaker or duration.

    Args:
        outcomes: predictions of the systems.
        by: the column, with the utterances' keys as index (`table.set_index("key")["gender"]`); it may have more rows.
            Numbers with more than `MOST_VALUES` different values are cut at their quantiles over the utterances with a
            truth.
        bins: number of quantile bins; fewer where quantiles coincide.
        resamples: number of bootstrap resamples.
        level: coverage of the intervals, between 0 and 1.
        seed: seed of the draws.

    Returns:
        One row for each value and system, values in order, "(missing)" last: value (text), system, score, low, high, n,
        speakers, and classes (number that occurs in the truth; 0 for metrics of numbers). UAR counts the classes that
        occur, so chance is 1 / classes: UAR of parts with different classes cannot be compared. Nor can CCC and
        Pearson if the spread of the truth differs.

    Raises:
        ValueError: a key is not in the index or occurs twice; as `system_intervals`.

    Example:
        >>> import numpy as np
        >>> answers = {"fused": np.array([[0, 1, 1, 0]])}
        >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 0, 0], answers, list("abab"), labels=["calm", "tense"])
        >>> gender = pd.Series(["female", "male", "female", "male"], index=list("wxyz"))
        >>> breakdown(outcomes, gender, seed=0)[["value", "score", "n"]].values.tolist()
        [['female', 0.5, 2], ['male', 1.0, 2]]
    """
    known = outcomes.where(outcomes.known)
    values = _binned(_by_key(known, by), bins)
    rows = []
    for value in values.cat.categories:
        part = known.where((values == value).to_numpy())
        classes = len(np.unique(part.truth)) if outcomes.of_classes else 0
        for system, score in system_intervals(part, resamples=resamples, level=level, seed=seed).items():
            rows.append((value, system, score.value, score.low, score.high, score.n, score.groups, classes))
    return pd.DataFrame(rows, columns=["value", "system", "score", "low", "high", "n", "speakers", "classes"])


def recalls(outcomes: Outcomes, *, resamples: int = 10_000, level: float = 0.95, seed: int) -> pd.DataFrame:
    """Compute the recall of each class by each system, with intervals over speakers and seeds.

    Returns:
        As `breakdown`, for each class that occurs in the truth, in the order of the labels.

    Raises:
        ValueError: the metric is not one of classes; as `system_intervals`.
    """
    labels = _need_classes(outcomes)
    names = np.array([*labels, None], dtype=object)[outcomes.truth]
    truth = pd.Categorical(names, categories=list(labels))
    right = replace(outcomes, metric="wa")
    return breakdown(right, pd.Series(truth, index=outcomes.keys), resamples=resamples, level=level, seed=seed)


def confusions(outcomes: Outcomes, *, shares: bool = True) -> pd.DataFrame:
    """Compute the confusion matrices of all systems, all seeds together.

    Args:
        outcomes: classes.
        shares: return shares of the true class (NaN if it does not occur) in place of counts (utterances x seeds).

    Returns:
        (K, systems x K): the index is the truth, the columns are (system, prediction); `table["fused"]` is one matrix.

    Raises:
        ValueError: the metric is not one of classes.
    """
    labels = _need_classes(outcomes)
    matrices = {}
    for name in outcomes.systems:
        counts = sum(metrics.confusion(outcomes.truth, row, labels=labels) for row in outcomes.predictions[name])
        matrix = pd.DataFrame(counts, index=list(labels), columns=list(labels))
        matrices[name] = matrix.div(matrix.sum(axis=1), axis=0) if shares else matrix
    return pd.concat(matrices, axis=1, names=["system", "prediction"]).rename_axis("truth")


def _need_classes(outcomes: Outcomes) -> Sequence[str]:
    if outcomes.metric not in CATEGORIES or outcomes.labels is None:
        raise ValueError(f"expected a metric of classes ({', '.join(CATEGORIES)}), not {outcomes.metric}")
    return outcomes.labels


def _predictions(outcomes: Outcomes, system: str) -> NDArray[np.int64]:
    if system not in outcomes.predictions:
        raise ValueError(f"unknown system {system!r}: expected one of {', '.join(outcomes.systems)}")
    return outcomes.predictions[system]


def _by_key(outcomes: Outcomes, column: pd.Series) -> pd.Series:
    if not column.index.is_unique:
        raise ValueError(f"key {column.index[column.index.duplicated()][0]} occurs twice in the index of the column")
    is_missing = ~np.isin(outcomes.keys, column.index)
    if is_missing.any():
        raise ValueError(f"the column has no row for {is_missing.sum()} keys, such as {outcomes.keys[is_missing][0]}")
    return column.loc[outcomes.keys].reset_index(drop=True)


def _binned(column: pd.Series, bins: int) -> pd.Series:
    """Values or bins as ordered categories of texts, MISSING last."""
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number and column.nunique() > MOST_VALUES:
        edges = np.unique(column.quantile(np.linspace(0, 1, bins + 1)).to_numpy(dtype=np.float64))
        ends = pairwise(_distinct(edges))
        names = [f"{'over ' if i else ''}{low} to {high}" for i, (low, high) in enumerate(ends)]
        values = pd.cut(column, edges.tolist(), labels=names, include_lowest=True)
    else:
        values = column.astype("category").cat.remove_unused_categories()
        values = values.cat.rename_categories([_text(value) for value in values.cat.categories])
    if values.isna().any():
        values = values.cat.add_categories(MISSING).fillna(MISSING)
    return values


def _distinct(edges: NDArray[np.floating]) -> list[str]:
    """Numbers as different texts, with at least 3 digits."""
    texts: list[str] = []
    for digits in range(3, 18):
        texts = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(texts)) == len(texts):
            break
    return texts


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
