"""Systems over several tasks: who wins, ties and loses, and average ranks with their critical difference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from emofuse.metrics.scores import Floats
from emofuse.metrics.significance import Comparison

if TYPE_CHECKING:
    import pandas as pd

LEAST_TASKS = 3  # below, ranks say nothing that the comparisons themselves do not


def win_tie_loss(tasks: Mapping[str, Sequence[Comparison]], *, alpha: float = 0.05) -> pd.DataFrame:
    """On how many tasks a system is better than another, not told apart from it, and worse.

    Better means `Comparison.better`: p_holm of the task at most alpha. A tie is no proof that two systems are equal.

    Args:
        tasks: of each task what `compare_all` found; a task may lack systems.
        alpha: level of the tests.

    Returns:
        One row a system and other system (both ways round): system, other, wins, ties, losses. Comparisons without a p
        (one speaker, say) count nowhere. `table.groupby("system")[["wins", "ties", "losses"]].sum()` has the totals.

    Example:
        >>> found = [Comparison("fused", "audio_only", "uar", 0.1, 0.05, 0.15, 0.95, 0.02, 0.001, 0.001, 0.001)]
        >>> win_tie_loss({"ravdess": found, "nemo": found}).to_dict("records")[0]
        {'system': 'fused', 'other': 'audio_only', 'wins': 2, 'ties': 0, 'losses': 0}
    """
    import pandas as pd

    counts: dict[tuple[str, str], list[int]] = {}
    for comparison in (found for task in tasks.values() for found in task):
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
        ranks: average rank of each system, 1 is best, in rising order.
        tasks: how many tasks were counted: those on which every system has a value.
        p: of the hypothesis that all systems are alike; NaN with fewer than three tasks or two systems.
        critical_difference: two systems whose ranks differ by as much differ at level alpha; NaN likewise.
        groups: the largest sets of systems that are not told apart, best first (the bars of a critical-difference
            diagram); a system that differs from all others is in none.
    """

    ranks: dict[str, float]
    tasks: int
    p: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def average_ranks(
    values: Mapping[str, Mapping[str, float]], *, lower_is_better: Collection[str] = (), alpha: float = 0.05
) -> Ranks:
    """Average ranks over tasks, Friedman's test in the form of Iman & Davenport, and Nemenyi's critical difference.

    CD = q sqrt(k (k + 1) / (6 N)) of k systems on N tasks, where q is the (1 - alpha) quantile of the studentized range
    with infinite degrees of freedom, over sqrt(2); F = (N - 1) X / (N (k - 1) - X) with Friedman's X (Demšar 2006,
    "Statistical comparisons of classifiers over multiple data sets", JMLR 7, section 3.2). Tasks must be independent
    samples of what the systems are for: two labels of one corpus are not. With few tasks the test finds little.

    Args:
        values: of each task the value of each system; equal values share their ranks.
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
        raise ValueError(f"alpha must be between 0 and 1, found {alpha}")
    systems = list(dict.fromkeys(name for task in values.values() for name in task))
    rows = []
    for task, found in values.items():
        row = np.array([found.get(name, np.nan) for name in systems], dtype=np.float64)
        if np.isfinite(row).all():
            rows.append(row if task in lower_is_better else -row)
    k, n = len(systems), len(rows)
    if not rows:
        return Ranks(dict.fromkeys(systems, np.nan), 0, np.nan, np.nan, ())
    means = np.mean([_ranks(row) for row in rows], axis=0)  # (k,)
    order = np.argsort(means, kind="stable")
    ranks = {systems[i]: float(means[i]) for i in order}
    if n < LEAST_TASKS or k < 2:
        return Ranks(ranks, n, np.nan, np.nan, ())
    difference = _critical_difference(k, n, alpha)
    return Ranks(ranks, n, _friedman_p(means, n), difference, _groups(ranks, difference))


def _ranks(row: Floats) -> Floats:
    """1 for the lowest; equal values get the mean of their ranks."""
    below = (row[None] < row[:, None]).sum(axis=1)
    return below + ((row[None] == row[:, None]).sum(axis=1) + 1) / 2


def _friedman_p(means: Floats, n: int) -> float:
    from scipy.stats import f

    k = len(means)
    chi = 12 * n / (k * (k + 1)) * ((means - (k + 1) / 2) ** 2).sum()
    left = n * (k - 1) - chi
    return float(f.sf((n - 1) * chi / left, k - 1, (k - 1) * (n - 1))) if left > 1e-9 else 0.0  # all tasks agree


def _critical_difference(k: int, n: int, alpha: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))


def _groups(ranks: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    names, values = list(ranks), np.array(list(ranks.values()))
    ends = [int((values - values[i] < difference).sum()) for i in range(len(names))]  # first that differs from i
    inner = [False, *(b <= a for a, b in pairwise(ends))]  # within the group before
    return tuple(tuple(names[i:end]) for i, end in enumerate(ends) if end - i > 1 and not inner[i])
