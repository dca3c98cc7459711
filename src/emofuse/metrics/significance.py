"""Significance of differences between systems: intervals, paired comparisons, Holm correction, power.

The sampling units are speakers and seeds.

* Speakers are drawn with replacement over all folds, not within folds: folds are random partitions of the speakers,
  not strata, and draws within a fold with one test speaker would never vary. Folds are few and their training parts
  overlap, so a bootstrap over folds says less; for it, give the folds as `Outcomes.speakers`.
* A seed is one training of every fold. Speakers are drawn with fixed seeds, seeds are drawn with fixed speakers, and
  the two changes are added, so that their variances add up. Drawing both at once (the pigeonhole bootstrap, Owen 2007,
  Annals of Applied Statistics 1(2)) would count the noise of a speaker under a seed three times instead of twice. S - 1
  of S seeds are drawn, which makes the variance of their mean unbiased (Rao & Wu 1988, JASA 83). With one seed, results
  hold only for these trained models; with two or three, the variance over seeds is a rough estimate.
* All systems are scored on the same draws, so comparisons are paired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.metrics.intervals import (
    DRAWS_AT_ONCE,
    Difference,
    Interval,
    Metric,
    additive_metric,
    check_options,
    percentiles,
    resampled_scores,
    two_sided_p,
)
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.scores import LOWER_IS_BETTER, RANGES, Additive, Floats


@dataclass(frozen=True)
class Comparison:
    """Comparison of system a with system b on one task.

    Attributes:
        a: name of a system.
        b: name of another.
        metric: name of the metric.
        difference: value of a - value of b, with its percentile interval, low to high.
        level: coverage of the interval.
        standard_error: of the difference, from the bootstrap.
        p_bootstrap: two-sided; generalises to other speakers and seeds.
        p_permutation: two-sided; valid for these trained models.
        p_holm: the larger of the two, after Holm's correction for all comparisons of the task.
    """

    a: str
    b: str
    metric: Metric
    difference: float
    low: float
    high: float
    level: float
    standard_error: float
    p_bootstrap: float
    p_permutation: float
    p_holm: float

    def better(self, *, alpha: float = 0.05) -> str | None:
        """Name of the better system if p_holm is at most alpha, otherwise None. Lower is better for "mae" and "ece"."""
        if not self.p_holm <= alpha or self.difference == 0:
            return None
        return self.a if (self.difference > 0) != (self.metric in LOWER_IS_BETTER) else self.b


def system_intervals(
    outcomes: Outcomes, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> dict[str, Interval]:
    """Compute the value of each system with its percentile interval over speakers and seeds, drawn as described above.

    Args:
        outcomes: predictions of the systems.
        resamples: number of bootstrap resamples.
        level: coverage, between 0 and 1.
        seed: seed of the draws.

    Returns:
        For each system: value (mean over the seeds), interval, n (utterances with a truth), groups (their speakers).
        Ends are NaN with fewer than two speakers; everything is NaN if the metric of a seed is.

    Raises:
        ValueError: fewer than one resample, or a level outside 0..1.

    >>> import numpy as np
    >>> answers = {"text_only": np.array([[0, 1, 1, 0]])}
    >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 0, 0], answers, list("aabb"), labels=["calm", "tense"])
    >>> found = system_intervals(outcomes, seed=0)["text_only"]
    >>> found.value, found.low, found.high, found.n, found.groups
    (0.75, 0.5, 1.0, 4, 2)
    """
    draws = _Draws(outcomes, resamples, level, seed)
    intervals = {}
    for i, name in enumerate(outcomes.systems):
        value, scores = draws.changes(i)
        low, high = percentiles(np.clip(scores, *RANGES[outcomes.metric]), value, level)
        intervals[name] = Interval(value, low, high, level, draws.n, len(draws.sums))
    return intervals


def compare_with_reference(
    outcomes: Outcomes, reference: str, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> dict[str, Difference]:
    """Paired difference of each other system to a reference, with arguments and draws of `system_intervals`.

    The two-sided p of the bootstrap is not corrected for multiple comparisons.

    >>> answers = {"clean": np.array([[0, 1, 0, 0]]), "noisy": np.array([[0, 1, 1, 1]])}
    >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 0, 0], answers, list("aabb"), labels=["calm", "tense"])
    >>> found = compare_with_reference(outcomes, "clean", seed=0)["noisy"]
    >>> found.value, found.low, found.high
    (-0.5, -1.0, 0.0)
    """
    draws = _Draws(outcomes, resamples, level, seed)
    first = outcomes.systems.index(reference)
    return {name: draws.difference(i, first)[0] for i, name in enumerate(outcomes.systems) if i != first}


def compare_all(outcomes: Outcomes, *, resamples: int = 10_000, level: float = 0.95, seed: int) -> list[Comparison]:
    """Compare all pairs of systems, in their order, with arguments and bootstrap of `system_intervals`.

    The permutation test swaps the predictions of two systems, all seeds together, speaker by speaker: in all
    2^(speakers - 1) ways if these are at most `resamples` (p is then exact, and at least 1 / that number), otherwise in
    random ways, with p = (count + 1) / (resamples + 1) (Phipson & Smyth 2010, "Permutation p-values should never be
    zero"). The bootstrap generalises to other speakers and seeds, but is too optimistic with few speakers; the
    permutation test is valid with few speakers, but only for these seeds. `p_holm` corrects the larger p, so that both
    tests must agree. Interval and p are NaN with fewer than two speakers, or if a metric is NaN.

    >>> truth, speakers = np.tile([0, 1], 8), np.repeat(np.arange(8), 2)
    >>> answers = {"fused": truth[None], "audio_only": np.zeros((1, 16), int)}
    >>> outcomes = Outcomes("uar", np.arange(16), truth, answers, speakers, labels=["calm", "tense"])
    >>> found, = compare_all(outcomes, seed=0)
    >>> found.a, found.b, found.difference, found.p_permutation, found.better()
    ('fused', 'audio_only', 0.5, 0.0078125, 'fused')
    """
    draws = _Draws(outcomes, resamples, level, seed)
    pairs = list(combinations(range(len(outcomes.systems)), 2))
    p_permutation = _permutation_p(draws.sums, draws.metric, pairs, resamples, seed)
    comparisons = []
    for (a, b), p in zip(pairs, p_permutation, strict=True):
        found, changes = draws.difference(a, b)
        error = float(changes[~np.isnan(changes)].std()) if np.isfinite(found.low) else np.nan
        names, ends = (outcomes.systems[a], outcomes.systems[b]), (found.low, found.high, level)
        comparisons.append(
            Comparison(
                *names, outcomes.metric, found.value, *ends, error, found.p, p_permutation=float(p), p_holm=np.nan
            )
        )
    corrected = holm([np.maximum(c.p_bootstrap, c.p_permutation) for c in comparisons])
    return [replace(c, p_holm=float(p)) for c, p in zip(comparisons, corrected, strict=True)]


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down correction (Holm 1979, "A simple sequentially rejective multiple test procedure").

    Adjusted p of the i-th smallest of m (i from 0): the largest of min(1, (m - j) p_j) over j <= i. Those at most alpha
    are rejected with a family-wise error of at most alpha, however the tests depend on each other.

    Takes (m,) p-values and returns (m,) in the same order; NaN is not counted as a test and stays NaN.

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN sorts last
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return adjusted


def smallest_detectable(standard_error: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test detects with the given power.

    (z_(1 - alpha / 2) + z_power) * standard error (Bloom 1995, "Minimum detectable effects", Evaluation Review 19). It
    assumes that estimated differences are normally distributed around the true one, with the same standard error (which
    is itself an estimate) at that difference and in a new study with as many speakers, utterances and seeds.

    Args:
        standard_error: of the difference, as in `Comparison`.
        power: probability of detecting the difference, between 0 and 1.
        alpha: level of the test, between 0 and 1; alpha / m for the first step of Holm's correction of m comparisons.

    Raises:
        ValueError: power or alpha outside 0..1.

    >>> round(smallest_detectable(0.01), 4)
    0.028
    """
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power and alpha must be between 0 and 1, not {power} and {alpha}")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error


class _Draws:
    """Scores of resampled speakers and shares of resampled seeds for the systems of `Outcomes`."""

    def __init__(self, outcomes: Outcomes, resamples: int, level: float, seed: int):
        check_options(resamples, level)
        self.level = level
        self.metric = additive_metric(outcomes.metric)
        self.sums, self.n = outcomes.sums()  # (speakers, systems, seeds, statistics)
        shape = self.sums.shape[1:]
        self._observed = self.metric.score(self.sums.sum(axis=0))  # (systems, seeds)
        self._drawn = resampled_scores(  # (resamples, systems, seeds)
            self.sums.reshape(len(self.sums), -1),
            lambda flat: self.metric.score(flat.reshape(-1, *shape)),
            resamples,
            seed,
        )
        seeds, drawn_seeds = shape[1], max(shape[1] - 1, 1)
        rng = np.random.default_rng([seed, 1])
        self._shares = rng.multinomial(drawn_seeds, np.full(seeds, 1 / seeds), size=resamples) / drawn_seeds

    def changes(self, a: int, b: int | None = None) -> tuple[float, Floats]:
        """Value of system a, or of a - b, and its resampled values (resamples,): speakers' plus the change by seeds."""
        observed = self._observed[a] if b is None else self._observed[a] - self._observed[b]
        drawn = self._drawn[:, a] if b is None else self._drawn[:, a] - self._drawn[:, b]
        return float(observed.mean()), drawn.mean(axis=1) + self._shares @ (observed - observed.mean())

    def difference(self, a: int, b: int) -> tuple[Difference, Floats]:
        """Difference of two systems with interval and p, and its resampled values (resamples,)."""
        value, changes = self.changes(a, b)
        low, high = percentiles(changes, value, self.level)
        p = two_sided_p(changes) if np.isfinite(low) else np.nan
        return Difference(value, low, high, self.level, self.n, len(self.sums), p), changes


def _permutation_p(
    sums: Floats, half: Additive, pairs: list[tuple[int, int]], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Two-sided p of each pair of systems, from swapping their sums (G, A, S, W) speaker by speaker."""
    speakers, *shape = sums.shape
    if speakers < 2 or not pairs:
        return np.full(len(pairs), np.nan)
    exact = 2 ** (speakers - 1) <= resamples
    count = 2 ** (speakers - 1) if exact else resamples
    rng = np.random.default_rng([seed, 2])
    flat = sums.reshape(speakers, -1)
    total = sums.sum(axis=0)

    def changes(swapped: Floats, a: int, b: int) -> Floats:
        """Differences (r,) from sums (r, A, S, W) over speakers, those of swapped speakers with a minus sign."""
        middle, apart = (total[a] + total[b]) / 2, (swapped[:, a] - swapped[:, b]) / 2  # (S, W), (r, S, W)
        return (half.score(middle + apart) - half.score(middle - apart)).mean(axis=1)

    observed = np.array([changes(total[None], a, b)[0] for a, b in pairs])
    bar = np.abs(observed) * (1 - 1e-9) - 1e-12  # tolerance for rounding
    hits = np.zeros(len(pairs))
    step = max(1, DRAWS_AT_ONCE // max(flat.shape))
    for start in range(0, count, step):
        block = np.arange(start, min(start + step, count))
        if exact:  # the first speaker is never swapped: swapping all only changes the sign
            signs = 1.0 - 2.0 * (block[:, None] >> np.arange(speakers - 1) & 1)
            signs = np.insert(signs, 0, 1.0, axis=1)
        else:
            signs = rng.integers(2, size=(len(block), speakers)) * 2.0 - 1.0  # (r, G)
        swapped = (signs @ flat).reshape(-1, *shape)
        for i, (a, b) in enumerate(pairs):
            hits[i] += (~(np.abs(changes(swapped, a, b)) < bar[i])).sum()  # an undefined difference counts
    p = hits / count if exact else (hits + 1) / (count + 1)
    return np.where(np.isnan(observed), np.nan, p)
