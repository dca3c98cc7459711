"""What the differences between systems are worth: intervals, paired comparisons, their correction, power.

The sampling units are speakers and seeds.

* Speakers are drawn with replacement over all folds, not within each: folds part the speakers at random and are no
  strata, and where a fold tests one speaker, draws within it would never vary. A bootstrap over folds, which are few
  and whose training parts overlap, would say less; for it, give the folds as `Outcomes.speakers`.
* A seed is one training of every fold. Speakers are drawn with the seeds as they are, seeds with the speakers as they
  are, and the two changes are added, so that their variances are. Both at once (the pigeonhole bootstrap, Owen 2007,
  Annals of Applied Statistics 1(2)) would count the noise of a speaker under a seed three times instead of twice. S - 1
  of S seeds are drawn, which makes the variance of their mean unbiased (Rao & Wu 1988, JASA 83). With one seed, results
  hold for these trained models only; with two or three, the part of the seeds is rough.
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
    check_options,
    halves,
    percentiles,
    resampled_scores,
    two_sided_p,
)
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.scores import LOWER_IS_BETTER, RANGES, Additive, Floats


@dataclass(frozen=True)
class Comparison:
    """System a against system b on one task.

    Attributes:
        a: name of a system.
        b: name of another.
        metric: what they are compared by.
        difference: value of a - value of b, with its percentile interval, low to high.
        level: coverage of the interval.
        standard_error: of the difference, from the bootstrap.
        p_bootstrap: two-sided; for other speakers and other seeds.
        p_permutation: two-sided; for these trained models.
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
        """The system that is better, if p_holm is at most alpha; lower is better for "mae" and "ece"."""
        if not self.p_holm <= alpha or self.difference == 0:
            return None
        return self.a if (self.difference > 0) != (self.metric in LOWER_IS_BETTER) else self.b


def system_intervals(
    outcomes: Outcomes, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> dict[str, Interval]:
    """Value of each system with its percentile interval over speakers and seeds; see the module for how they are drawn.

    Args:
        outcomes: answers of the systems.
        resamples: number of bootstrap resamples.
        level: coverage, between 0 and 1.
        seed: seed of the draws.

    Returns:
        By system: value (mean over the seeds), interval, n (utterances with a truth), groups (their speakers). Ends are
        NaN with fewer than two speakers; everything is NaN where a seed's metric is.

    Raises:
        ValueError: fewer than one resample, or a level outside 0..1.

    Example:
        >>> import numpy as np
        >>> answers = {"text_only": np.array([[0, 1, 1, 0]])}
        >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 0, 0], answers, list("aabb"), labels=["calm", "tense"])
        >>> found = system_intervals(outcomes, seed=0)["text_only"]
        >>> found.value, found.low, found.high, found.n, found.groups
        (0.75, 0.5, 1.0, 4, 2)
    """
    check_options(resamples, level)
    sums, n = outcomes.sums()
    observed, drawn, picks = _resampled(sums, halves(outcomes.metric), resamples, seed)
    found = {}
    for i, name in enumerate(outcomes.systems):
        value = float(observed[i].mean())
        scores = np.clip(_with_seeds(drawn[:, i], observed[i], picks), *RANGES[outcomes.metric])
        low, high = percentiles(scores, value, level)
        found[name] = Interval(value, low, high, level, n, len(sums))
    return found


def changes_from(
    outcomes: Outcomes, reference: str, *, resamples: int = 10_000, level: float = 0.95, seed: int
) -> dict[str, Difference]:
    """What each other system has more than one of them, paired; drawn as in `system_intervals`.

    Args:
        outcomes: answers of the systems.
        reference: one of them.
        resamples: number of bootstrap resamples.
        level: coverage, between 0 and 1.
        seed: seed of the draws.

    Returns:
        By system: difference, interval, and the two-sided p of the bootstrap, not corrected for several comparisons;
        undefined as in `system_intervals`.

    Raises:
        ValueError: fewer than one resample, or a level outside 0..1.

    Example:
        >>> answers = {"clean": np.array([[0, 1, 0, 0]]), "noisy": np.array([[0, 1, 1, 1]])}
        >>> outcomes = Outcomes("wa", list("wxyz"), [0, 1, 0, 0], answers, list("aabb"), labels=["calm", "tense"])
        >>> found = changes_from(outcomes, "clean", seed=0)["noisy"]
        >>> found.value, found.low, found.high
        (-0.5, -1.0, 0.0)
    """
    check_options(resamples, level)
    sums, n = outcomes.sums()
    observed, drawn, picks = _resampled(sums, halves(outcomes.metric), resamples, seed)
    first = outcomes.systems.index(reference)
    found = {}
    for i, name in enumerate(outcomes.systems):
        if i != first:
            apart = observed[i] - observed[first]
            changes = _with_seeds(drawn[:, i] - drawn[:, first], apart, picks)
            value = float(apart.mean())
            low, high = percentiles(changes, value, level)
            p = two_sided_p(changes) if np.isfinite(low) else np.nan
            found[name] = Difference(value, low, high, level, n, len(sums), p)
    return found


def compare_all(outcomes: Outcomes, *, resamples: int = 10_000, level: float = 0.95, seed: int) -> list[Comparison]:
    """Every system against every other, paired.

    The bootstrap draws as `system_intervals` does; its p is that of `intervals.paired_difference`. The permutation test
    swaps the answers of two systems, all seeds together, speaker by speaker: all 2^(speakers - 1) ways where they are
    at most `resamples` (then p is exact; it cannot be below 1 / that number), else as many at random, p = (count + 1) /
    (resamples + 1) (Phipson & Smyth 2010, "Permutation p-values should never be zero"). The bootstrap asks about other
    speakers and seeds, but trusts few speakers too much; the permutation test is valid with few speakers, but knows no
    other seeds than these. `p_holm` corrects the larger of the two, so a difference must stand before both.

    Args:
        outcomes: answers of the systems.
        resamples: number of bootstrap resamples, and of random permutations.
        level: coverage of the intervals of the differences, between 0 and 1.
        seed: seed of the draws.

    Returns:
        One comparison a pair, in the order of the systems; none of one system. Interval and p are NaN with fewer than
        two speakers, or where a metric is NaN.

    Raises:
        ValueError: fewer than one resample, or a level outside 0..1.

    Example:
        >>> import numpy as np
        >>> truth, speakers = np.tile([0, 1], 8), np.repeat(np.arange(8), 2)
        >>> answers = {"fused": truth[None], "audio_only": np.zeros((1, 16), int)}
        >>> outcomes = Outcomes("uar", np.arange(16), truth, answers, speakers, labels=["calm", "tense"])
        >>> found, = compare_all(outcomes, seed=0)
        >>> found.a, found.b, found.difference, found.p_permutation, found.better()
        ('fused', 'audio_only', 0.5, 0.0078125, 'fused')
    """
    check_options(resamples, level)
    sums, _ = outcomes.sums()
    half = halves(outcomes.metric)
    observed, drawn, picks = _resampled(sums, half, resamples, seed)
    pairs = list(combinations(range(len(outcomes.systems)), 2))
    p_permutation = _permutation_p(sums, half, pairs, resamples, seed)
    found = []
    for (a, b), p in zip(pairs, p_permutation, strict=True):
        apart = observed[a] - observed[b]
        changes = _with_seeds(drawn[:, a] - drawn[:, b], apart, picks)
        value = float(apart.mean())
        low, high = percentiles(changes, value, level)
        defined = changes[~np.isnan(changes)] if np.isfinite(low) else np.full(1, np.nan)
        error = float(defined.std())
        p_bootstrap = two_sided_p(defined) if np.isfinite(low) else np.nan
        names = outcomes.systems[a], outcomes.systems[b]
        found.append(Comparison(*names, outcomes.metric, value, low, high, level, error, p_bootstrap, float(p), np.nan))
    corrected = holm([np.maximum(c.p_bootstrap, c.p_permutation) for c in found])
    return [replace(c, p_holm=float(p)) for c, p in zip(found, corrected, strict=True)]


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down correction (Holm 1979, "A simple sequentially rejective multiple test procedure").

    Adjusted p of the i-th smallest of m (i from 0): the largest of min(1, (m - j) p_j) over j <= i. Those at most alpha
    are rejected with a family-wise error of at most alpha, however the tests depend on each other.

    Args:
        p: (m,) p-values; NaN is no test and stays NaN.

    Returns:
        (m,) adjusted p-values, in the order of the input.

    Example:
        >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
        [0.03, 0.06, 0.06, 0.02]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN sorts last
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return adjusted


def smallest_detectable(standard_error: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test would have found with the given power.

    (z_(1 - alpha / 2) + z_power) * standard error (Bloom 1995, "Minimum detectable effects", Evaluation Review 19). It
    assumes that estimated differences are normal around the true one, and that their standard error, which is itself an
    estimate, would be the same at that difference and in a new study with as many speakers, utterances and seeds.

    Args:
        standard_error: of the difference, as in `Comparison`.
        power: probability to find the difference, between 0 and 1.
        alpha: level of the test, between 0 and 1; for the first step of Holm's correction of m comparisons, alpha / m.

    Returns:
        In the units of the metric; NaN for NaN.

    Raises:
        ValueError: power or alpha outside 0..1.

    Example:
        >>> round(smallest_detectable(0.01), 4)
        0.028
    """
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power and alpha must be between 0 and 1, found {power} and {alpha}")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error


def _resampled(sums: Floats, half: Additive, resamples: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Scores of the sums (G, A, S, W): observed (A, S), of resampled speakers (R, A, S); shares of seeds (R, S)."""
    shape = sums.shape[1:]

    def score(flat: Floats) -> Floats:
        return half.score(flat.reshape(-1, *shape))

    observed = half.score(sums.sum(axis=0))
    drawn = resampled_scores(sums.reshape(len(sums), -1), score, resamples, seed)
    seeds = shape[1]
    rng = np.random.default_rng([seed, 1])
    picks = rng.multinomial(max(seeds - 1, 1), np.full(seeds, 1 / seeds), size=resamples) / max(seeds - 1, 1)
    return observed, drawn, picks


def _with_seeds(drawn: Floats, observed: Floats, picks: Floats) -> Floats:
    """Means of drawn scores (R, S), plus what drawing seeds changes in the mean of the observed ones (S,) -> (R,)."""
    return drawn.mean(axis=1) + picks @ (observed - observed.mean())


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
        """Differences (r,), from sums (r, A, S, W) over speakers, of those swapped with a minus."""
        middle, apart = (total[a] + total[b]) / 2, (swapped[:, a] - swapped[:, b]) / 2  # (S, W), (r, S, W)
        return (half.score(middle + apart) - half.score(middle - apart)).mean(axis=1)

    observed = np.array([changes(total[None], a, b)[0] for a, b in pairs])
    bar = np.abs(observed) * (1 - 1e-9) - 1e-12  # differences that are equal but for rounding
    hits = np.zeros(len(pairs))
    step = max(1, DRAWS_AT_ONCE // max(flat.shape))
    for start in range(0, count, step):
        block = np.arange(start, min(start + step, count))
        if exact:  # the first speaker as is: swapping all changes the sign only
            signs = 1.0 - 2.0 * (block[:, None] >> np.arange(speakers - 1) & 1)
            signs = np.insert(signs, 0, 1.0, axis=1)
        else:
            signs = rng.integers(2, size=(len(block), speakers)) * 2.0 - 1.0  # (r, G)
        swapped = (signs @ flat).reshape(-1, *shape)
        for i, (a, b) in enumerate(pairs):
            hits[i] += (~(np.abs(changes(swapped, a, b)) < bar[i])).sum()  # an undefined one counts
    p = hits / count if exact else (hits + 1) / (count + 1)
    return np.where(np.isnan(observed), np.nan, p)
