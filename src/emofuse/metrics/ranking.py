"""Compare systems over several tasks: wins, ties and losses, and average ranks with a critical difference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import rankdata, studentized_range

from emofuse.metrics.scores import Floats
from emofuse.metrics.significance import Comparison

if TYPE_CHECKING:
    import pandas as pd

LEAST_TASKS = 3  # with fewer, ranks say no more than the comparisons themselves


def win_tie_loss(tasks: Mapping[str, Sequence[Comparison]], *, alpha: float = 0.05) -> pd.DataFrame:
    """Count the tasks on which a system is better than another, not significantly different, or worse.

    Better is as in `Comparison.better`: p_holm within the task is at most alpha. A tie does not prove equality.

    Args:
        tasks: results of `compare_all` for each task; a task may lack systems.
        alpha: level of the tests.

    Returns:
        One row per ordered pair of systems: system, other, wins, ties, losses. Comparisons without a p (with one
        speaker, say) are not counted. `table.groupby("system")[["wins", "ties", "losses"]].sum()` has the totals.

    Example:
        >>> found = [Comparison("fused", "audio_only", "uar", 0.1, 0.05, 0.15, 0.95, 0.02, 0.001, 0.001, 0.001)]
        >>> win_tie_loss({"ravdess": found, "nemo": found}).to_dict("records")[0]
        {'system': 'fused', 'other': 'audio_only', 'wins': 2, 'ties': 0, 'losses': 0}
    """
    import pandas as pd

    counts: dict[tuple[str, str], list[int]] = {}
    for comparison in (comparison for task in tasks.values() for comparison in task):
        winner = comparison.better(alpha=alpha)
        for one, other in ((comparison.a, comparison.b), (comparison.b, comparison.a)):
            count = counts.setdefault((one, other), [0, 0, 0])
            if not np.isnan(comparison.p_holm):
                count[1 if winner is None else 0 if winner == one else 2] += 1
    rows = [(*pair, *count) for pair, count in counts.items()]
    return pd.DataFrame(rows, columns=["system", "other", "wins", "ties", "losses"])


@dataclass(frozen=True)
class Ranks:
    """Average ranks of systems over tasks.

    Attributes:
        ranks: average rank of each system, 1 is best, in increasing order.
        tasks: number of tasks on which every system has a value; the others are not used.
        p: p of the hypothesis that all systems are equal; NaN with fewer than three tasks or two systems.
        critical_difference: difference of ranks that is significant at level alpha; NaN likewise.
        groups: the largest sets of systems without significant differences, best first (the bars of a
            critical-difference diagram); a system that differs from all others is in none.
    """

    ranks: dict[str, float]
    tasks: int
    p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def average_ranks(
    values: Mapping[str, Mapping[str, float]], *, lower_is_better: Collection[str] = (), alpha: float = 0.05
) -> Ranks:
    """Compute average ranks over tasks, Friedman's test (Iman & Davenport), and Nemenyi's critical difference.

    CD = q sqrt(k (k + 1) / (6 N)) for k systems on N tasks, where q is the (1 - alpha) quantile of the studentized
    range with infinite degrees of freedom, over sqrt(2); F = (N - 1) X / (N (k - 1) - X) with Friedman's X (Demšar
    2006, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, section 3.2).
    Tasks must be independent; two labels of one corpus are not. With few tasks the test has little power.

    Args:
        values: value of each system on each task; equal values share the mean of their ranks.
        lower_is_better: tasks whose metric is an error.
        alpha: level of the critical difference, between 0 and 1.

    Raises:
        ValueError: alpha outside 0..1.

    Example:
        >>> values = {"ravdess": {"fused": 0.6, "audio_only": 0.5}, "nemo": {"fused": 0.5, "audio_only": 0.5}}
        >>> average_ranks(values).ranks
        {'fused': 1.25, 'audio_only': 1.75}
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    systems = list(dict.fromkeys(name for task in values.values() for name in task))
    rows = []
    for task, scores in values.items():
        row = np.array([scores.get(name, np.nan) for name in systems], dtype=np.float64)
        if np.isfinite(row).all():
            rows.append(row if task in lower_is_better else -row)
    k, n = len(systems), len(rows)
    if not rows:
        return Ranks(dict.fromkeys(systems, np.nan), 0, np.nan, np.nan, ())
    means = rankdata(rows, axis=1).mean(axis=0)  # (k,)
    order = np.argsort(means, kind="stable")
    ranks = {systems[i]: float(means[i]) for i in order}
    if n < LEAST_TASKS or k < 2:
        return Ranks(ranks, n, np.nan, np.nan, ())
    difference = _critical_difference(k, n, alpha)
    return Ranks(ranks, n, _friedman_p(means, n), difference, _groups(ranks, difference))


def _friedman_p(means: Floats, n: int) -> float:
    k = len(means)
    chi = 12 * n / (k * (k + 1)) * ((means - (k + 1) / 2) ** 2).sum()
    left = n * (k - 1) - chi  # 0 if all tasks agree
    return float(f_distribution.sf((n - 1) * chi / left, k - 1, (k - 1) * (n - 1))) if left > 1e-9 else 0.0


def _critical_difference(k: int, n: int, alpha: float) -> float:
    return float(studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))


def _groups(ranks: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    names, values = list(ranks), np.array(list(ranks.values()))
    ends = [int((values - values[i] < difference).sum()) for i in range(len(names))]  # first that differs from i
    inner = [False, *(b <= a for a, b in pairwise(ends))]  # within the group before
    return tuple(tuple(names[i:end]) for i, end in enumerate(ends) if end - i > 1 and not inner[i])
