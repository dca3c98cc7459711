"""Bootstrap intervals over speakers, and the paired comparison of two systems.

Rows of one speaker are alike, so whole speakers are drawn with replacement (the cluster bootstrap), never rows. Every
metric is a function of sums over rows (`emofuse.metrics.scores.ADDITIVE`): the sums are taken once per speaker, and
a resample is a weighted sum of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.metrics.scores import ADDITIVE, Additive, Floats, Labels

Metric = Literal["uar", "wa", "macro_f1", "weighted_f1", "ece", "ccc", "pearson", "mae"]

DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval; n rows with a truth, from so many groups."""

    value: float
    low: float
    high: float
    level: float
    n: int
    groups: int


@dataclass(frozen=True)
class Difference(Interval):
    """The difference of two systems, a - b, with the two-sided p of the hypothesis that it is 0."""

    p: float


def bootstrap_interval(
    metric: Metric,
    truth: ArrayLike,
    prediction: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    *,
    labels: Labels = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> Interval:
    """Percentile interval of a metric, from resampling groups (speakers) with replacement.

    Args:
        metric: name of a metric of `emofuse.metrics.scores`.
        truth: (n,) classes or numbers; rows without one are left out.
        prediction: (n,) classes or numbers; (n, K) probabilities for "ece".
        groups: (n,) speakers; a row without one (None or NaN) is a group of its own.
        labels: class names in order.
        resamples: number of bootstrap resamples.
        level: coverage, between 0 and 1.
        seed: seed of the resampling.

    Returns:
        The interval. Its ends are NaN with fewer than two groups or where the metric is NaN. Resamples in which the
        metric is undefined are left out.

    Raises:
        ValueError: an unknown metric, a level outside 0..1, fewer than one resample, or inputs that do not fit.

    Example:
        >>> interval = bootstrap_interval("wa", [0, 1, 1, 0], [0, 1, 0, 0], ["a", "a", "b", "b"], seed=0)
        >>> interval.value, interval.low, interval.high
        (0.75, 0.5, 1.0)
    """
    statistics, score = halves(metric)
    check_options(resamples, level)
    sums, n = sums_per_group(statistics(truth, prediction, labels), groups)
    value = float(score(sums.sum(axis=0)))
    low, high = percentiles(resampled_scores(sums, score, resamples, seed), value, level)
    return Interval(value, low, high, level, n, len(sums))


def paired_difference(
    metric: Metric,
    truth: ArrayLike,
    prediction_a: ArrayLike,
    prediction_b: ArrayLike,
    groups: Sequence[Any] | NDArray[Any],
    *,
    labels: Labels = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> Difference:
    """Difference of two systems on the same rows (a - b), both scored on the same resamples of speakers.

    The p-value is twice the smaller share of resamples on either side of 0, (count + 1) / (resamples + 1), at most 1
    (Davison & Hinkley 1997, section 4.2). It is not corrected for several comparisons.

    Args:
        metric: as in `bootstrap_interval`.
        truth: as in `bootstrap_interval`.
        prediction_a: the first system's predictions.
        prediction_b: the second system's predictions of the same rows, in the same order.
        groups: as in `bootstrap_interval`.
        labels: as in `bootstrap_interval`.
        resamples: as in `bootstrap_interval`.
        level: as in `bootstrap_interval`.
        seed: as in `bootstrap_interval`.

    Returns:
        The difference; its ends and p are NaN with fewer than two groups or where a metric is NaN.

    Raises:
        ValueError: as `bootstrap_interval`.

    Example:
        >>> truth, speakers = [0, 1, 0, 1, 0, 1], ["a", "a", "b", "b", "c", "c"]
        >>> paired_difference("uar", truth, truth, [0, 0, 0, 0, 0, 0], speakers, seed=0).value
        0.5
    """
    statistics, score = halves(metric)
    check_options(resamples, level)
    rows_a, rows_b = statistics(truth, prediction_a, labels), statistics(truth, prediction_b, labels)
    width = rows_a.shape[1]
    sums, n = sums_per_group(np.concatenate([rows_a, rows_b], axis=1), groups)

    def difference(both: Floats) -> Floats:
        return score(both[..., :width]) - score(both[..., width:])

    value = float(difference(sums.sum(axis=0)))
    drawn = resampled_scores(sums, difference, resamples, seed)
    low, high = percentiles(drawn, value, level)
    return Difference(value, low, high, level, n, len(sums), two_sided_p(drawn) if np.isfinite(low) else np.nan)


def halves(metric: str) -> Additive:
    """The two halves of a metric; ValueError for one that does not exist."""
    if metric not in ADDITIVE:
        raise ValueError(f"no metric {metric!r}: expected one of {', '.join(ADDITIVE)}")
    return ADDITIVE[metric]


def check_options(resamples: int, level: float) -> None:
    """ValueError for fewer than one resample, or a level outside 0..1."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, found {level}")


def numbered(groups: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Groups (n,) as numbers 0.. by first row; a row without one (None or NaN) is a group of its own."""
    number: dict[Any, int] = {}
    names = ((i, "alone") if name is None or name != name else name for i, name in enumerate(groups))
    return np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)


def sums_per_group(rows: Floats, groups: Sequence[Any] | NDArray[Any]) -> tuple[Floats, int]:
    """Sum the statistics (n, S) of each group -> (G, S), leaving out rows without truth; and the number of the rest."""
    if len(groups) != len(rows):
        raise ValueError(f"{len(rows)} rows, but {len(groups)} groups")
    present = np.asarray(rows.any(axis=1))
    index = numbered([group for group, there in zip(groups, present, strict=True) if there])
    sums = np.zeros((index.max(initial=-1) + 1, rows.shape[1]))
    np.add.at(sums, index, rows[present])
    return sums, len(index)


def resampled_scores(sums: Floats, score: Callable[[Floats], Floats], resamples: int, seed: int) -> Floats:
    """Scores of sums over as many groups as there are, drawn with replacement.

    Args:
        sums: (G, S) statistics of each group.
        score: (r, S) -> (r, ...).
        resamples: number of draws.
        seed: seed of the draws; equal for equal G and seed, so that systems can be paired.

    Returns:
        (resamples, ...); NaN with fewer than two groups.
    """
    size = len(sums)
    if size < 2:
        return np.full((resamples, *score(sums.sum(axis=0, keepdims=True)).shape[1:]), np.nan)
    rng = np.random.default_rng(seed)
    step = max(1, DRAWS_AT_ONCE // max(sums.shape))
    scores = []
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]  # (count, G)
        weights = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        scores.append(score(weights.astype(np.float64) @ sums))  # (count, ...)
    return np.concatenate(scores)


def percentiles(scores: Floats, value: float, level: float) -> tuple[float, float]:
    """Ends of the percentile interval of resampled scores (resamples,); NaN where value, or every score, is NaN."""
    if np.isnan(value) or np.isnan(scores).all():
        return np.nan, np.nan
    low, high = np.nanquantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided_p(differences: Floats) -> float:
    """Twice the smaller share of resampled differences on either side of 0, as in `paired_difference`."""
    defined = differences[~np.isnan(differences)]
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(defined) + 1)))
