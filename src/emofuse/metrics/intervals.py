"""Bootstrap intervals over speakers.

Rows of one speaker are not independent, so whole speakers are drawn with replacement (cluster bootstrap). Every metric
is a function of sums over rows (`emofuse.metrics.scores.ADDITIVE`): the sums are computed once per speaker, and a
resample is a weighted sum of them.
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
    """A metric with its percentile interval, from n rows with a truth in a number of groups."""

    value: float
    low: float
    high: float
    level: float
    n: int
    groups: int


@dataclass(frozen=True)
class Difference(Interval):
    """The difference of two systems, a - b, and the two-sided p of the hypothesis that it is 0."""

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
    """Compute the percentile interval of a metric by resampling groups (speakers) with replacement.

    Args:
        metric: name of a metric of `emofuse.metrics.scores`.
        truth: (n,) classes or numbers; rows with a missing value are left out.
        prediction: (n,) classes or numbers; (n, K) probabilities for "ece".
        groups: (n,) speakers; a row without a speaker (None or NaN) is its own group.
        labels: class names in order.
        resamples: number of bootstrap resamples.
        level: coverage, between 0 and 1.
        seed: seed of the resampling.

    Returns:
        The interval. Its ends are NaN with fewer than two groups or where the metric is NaN. Resamples in which the
        metric is undefined are left out.

    Raises:
        ValueError: an unknown metric, a level outside 0..1, fewer than one resample, or inputs that do not fit.

    >>> interval = bootstrap_interval("wa", [0, 1, 1, 0], [0, 1, 0, 0], ["a", "a", "b", "b"], seed=0)
    >>> interval.value, interval.low, interval.high
    (0.75, 0.5, 1.0)
    """
    statistics, score = additive_metric(metric)
    check_options(resamples, level)
    sums, n = sums_per_group(statistics(truth, prediction, labels), groups)
    value = float(score(sums.sum(axis=0)))
    low, high = percentiles(resampled_scores(sums, score, resamples, seed), value, level)
    return Interval(value, low, high, level, n, len(sums))


def additive_metric(metric: str) -> Additive:
    """Look up a metric in `ADDITIVE`; ValueError for an unknown name."""
    if metric not in ADDITIVE:
        raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(ADDITIVE)}")
    return ADDITIVE[metric]


def check_options(resamples: int, level: float) -> None:
    """Raise ValueError for fewer than one resample, or a level outside 0..1."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")


def number_groups(groups: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Number groups (n,) from 0 in order of appearance; each row without a group (None or NaN) gets its own number."""
    number: dict[Any, int] = {}
    names = ((i, "alone") if name is None or name != name else name for i, name in enumerate(groups))
    return np.array([number.setdefault(name, len(number)) for name in names], dtype=np.int64)


def sums_per_group(rows: Floats, groups: Sequence[Any] | NDArray[Any]) -> tuple[Floats, int]:
    """Sum statistics (n, S) per group to (G, S), without rows that have no truth; also return the number of rows."""
    if len(groups) != len(rows):
        raise ValueError(f"{len(rows)} rows, but {len(groups)} groups")
    present = np.asarray(rows.any(axis=1))
    index = number_groups([group for group, has_truth in zip(groups, present, strict=True) if has_truth])
    sums = np.zeros((index.max(initial=-1) + 1, rows.shape[1]))
    np.add.at(sums, index, rows[present])
    return sums, len(index)


def resampled_scores(sums: Floats, score: Callable[[Floats], Floats], resamples: int, seed: int) -> Floats:
    """Draw groups with replacement, as many as there are, and score the sum of their statistics (G, S).

    `score` maps (r, S) to (r, ...). Draws are equal for equal G and seed, so that systems can be paired. Returns
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
    """Ends of the percentile interval of resampled scores (resamples,); NaN if the value or all scores are NaN."""
    if np.isnan(value) or np.isnan(scores).all():
        return np.nan, np.nan
    low, high = np.nanquantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided_p(differences: Floats) -> float:
    """Two-sided p of resampled differences: twice the smaller share on either side of 0.

    (count + 1) / (resamples + 1), at most 1 (Davison & Hinkley 1997, section 4.2).
    """
    defined = differences[~np.isnan(differences)]
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(defined) + 1)))
