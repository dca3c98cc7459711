"""Lasting changes in a series of predictions, by penalised least squares.

The series is cut into parts with constant means so that the weighted squared error, in units of the noise, plus a
penalty for each change is least. The minimum is found exactly, by optimal partitioning (Jackson et al. 2005, "An
algorithm for optimal partitioning of data on an interval", IEEE Signal Processing Letters 12(2), 105-108).
"""

from __future__ import annotations

import numpy as np

MIN_SEGMENTS = 3
"""Fewest segments between two changes."""
MIN_SPEECH = 8.0
"""Fewest seconds of speech between two changes."""
MIN_NOISE = 0.03
"""Least standard deviation of a segment about the mean of its part: smaller differences are not of interest."""
PENALTY = 2.5
"""A change costs this times (columns + 1) times the logarithm of the number of segments. 1 would be BIC's cost."""
FEW_SEGMENTS = 50
"""Number of segments that the penalty assumes if there are fewer: their noise is estimated less well."""


def find_changes(values: np.ndarray, seconds: np.ndarray) -> list[int]:
    """Find where the mean of a series changes for good.

    The covariance of the noise is half that of the differences between successive segments, which few changes hardly
    affect, plus `MIN_NOISE` squared for each column.

    Args:
        values: (n, columns), one row for each segment, in order of time.
        seconds: (n,), duration of each segment, which is its weight.

    Returns:
        Positions of the first segment after each change, in order; empty if nothing changes.
    """
    n, width = values.shape
    if n < 2 * MIN_SEGMENTS or not width or seconds.sum() < 2 * MIN_SPEECH:
        return []
    scaled = _in_units_of_noise(values)
    weights = seconds / seconds.mean()
    # Sums over the first i segments, so that the error of any part is a difference of two of them.
    spoken = np.concatenate([[0.0], np.cumsum(seconds)])
    weight = np.concatenate([[0.0], np.cumsum(weights)])
    total = np.concatenate([np.zeros((1, width)), np.cumsum(weights[:, None] * scaled, axis=0)])
    total_squared = (total**2).sum(axis=1)
    squares = np.concatenate([[0.0], np.cumsum(weights * (scaled**2).sum(axis=1))])
    penalty = PENALTY * (width + 1) * np.log(max(n, FEW_SEGMENTS))
    least = np.full(n + 1, np.inf)  # least cost of the first i segments
    least[0] = -penalty
    previous = np.zeros(n + 1, int)  # where the last part of the first i segments begins
    for end in range(MIN_SEGMENTS, n + 1):
        longest_start = int(np.searchsorted(spoken, spoken[end] - MIN_SPEECH, side="right"))
        starts = slice(min(end - MIN_SEGMENTS + 1, longest_start))
        if not starts.stop:
            continue
        distance = total_squared[end] + total_squared[starts] - 2 * total[starts] @ total[end]
        errors = squares[end] - squares[starts] - distance / (weight[end] - weight[starts])
        costs = least[starts] + errors + penalty
        best = int(np.argmin(costs))
        least[end], previous[end] = costs[best], best
    changes = []
    position = int(previous[n])
    while position:
        changes.append(position)
        position = int(previous[position])
    return changes[::-1]


def _in_units_of_noise(values: np.ndarray) -> np.ndarray:
    """The values without their mean, transformed so that the noise of the columns is independent and of variance 1."""
    differences = np.diff(values, axis=0)
    covariance = differences.T @ differences / (2 * len(differences)) + MIN_NOISE**2 * np.eye(values.shape[1])
    centred = values - values.mean(axis=0)
    return np.asarray(np.linalg.solve(np.linalg.cholesky(covariance), centred.T).T)
