"""The difference of two systems on the same rows, with an interval over speakers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from emofuse.metrics.intervals import (
    additive_metric,
    check_options,
    percentiles,
    resampled_scores,
    sums_per_group,
    two_sided_p,
)


class Difference(NamedTuple):
    """The difference a - b, the ends of its percentile interval, and the two-sided p of the hypothesis that it is 0."""

    value: float
    low: float
    high: float
    p: float


def paired_difference(
    metric: str,
    truth: ArrayLike,
    prediction_a: ArrayLike,
    prediction_b: ArrayLike,
    speakers: Sequence[Any],
    *,
    labels: Any = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int,
) -> Difference:
    """Score two systems on the same resamples of speakers; arguments as for `bootstrap_interval`."""
    statistics, score = additive_metric(metric)
    check_options(resamples, level)
    rows_a, rows_b = statistics(truth, prediction_a, labels), statistics(truth, prediction_b, labels)
    width = rows_a.shape[1]
    sums, _ = sums_per_group(np.concatenate([rows_a, rows_b], axis=1), speakers)

    def difference(both: Any) -> Any:
        return score(both[..., :width]) - score(both[..., width:])

    value = float(difference(sums.sum(axis=0)))
    differences = resampled_scores(sums, difference, resamples, seed)
    return Difference(value, *percentiles(differences, value, level), two_sided_p(differences))
