"""Fit a calibration on development data: temperature, threshold of "uncertain", and intervals of dimensions.

* Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks"): one number T, p = softmax(z / T).
* Risk-coverage curve (El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017): the error among the predictions that remain
  when the least confident ones are dropped; from it, the confidence below which a prediction is called uncertain.
* Split-conformal intervals of arousal, valence and dominance whose exchangeable unit is the speaker (Dunn, Wasserman &
  Ramdas 2022, "Distribution-free prediction sets for two-layer hierarchical models"; Lee, Barber & Willett 2023,
  "Distribution-free inference with hierarchical data").

Intervals and temperature hold for speech like that of the rows. Where these are predictions on corpora that were left
out of training (`by_corpus`), all corpora have the same weight, by a criterion that was fixed before any result:

* The temperature minimises the mean over corpora of the negative log-likelihood.
* The threshold is the lowest at which, on each corpus, under 30 % of the certain answers are wrong and at least a
  quarter of all answers are certain. If there is none, it is the highest at which a quarter of the answers are certain
  on the worst corpus, the one with the largest share of wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emofuse.labels import DIMENSIONS
from emofuse.metrics import scores as metrics
from emofuse.metrics.calibration import Calibration, apply_temperature, log_of, softmax
from emofuse.metrics.intervals import number_groups
from emofuse.metrics.scores import Floats

if TYPE_CHECKING:
    import pandas as pd

COLDEST, HOTTEST = 0.2, 10.0
PRIOR_ROWS = 10.0  # weight of the prior in the fit of the temperature, in rows
LOWEST_LOG = -100.0  # float32 probabilities can be 0

RISK_RATIO, TOLERABLE_RISK, LEAST_COVERAGE = 2 / 3, 0.05, 0.7
CORPUS_RISK, CORPUS_COVERAGE = 0.3, 0.25  # on each corpus that was left out
FOLDS = 10


def fit_calibration(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    *,
    rated: ArrayLike | bool,
    level: float = 0.9,
    by_corpus: bool = False,
) -> Calibration:
    """Fit temperature, threshold and intervals on the predictions of a development part.

    Args:
        predictions: columns as `emofuse.training.module.Outputs.table` returns them; a head without columns or
            labels is not calibrated.
        labels: categories in the order of the columns probability_0.. .
        rated: True if the true dimensions are human ratings of such input; (n,) if it differs by row. Other rows are
            not used for intervals: prototypes of categories are not perceived ratings, and sentences without a
            speaker, each a group of its own, would outnumber the speakers.
        level: coverage of the intervals, between 0 and 1.
        by_corpus: whether the rows are predictions on corpora that were left out of training. Then all corpora have the
            same weight, in the fit and in its quality, which is measured on corpora that it was not fitted on.

    Raises:
        ValueError: as `fit_temperature` and `dimension_interval`.
    """
    truth, probabilities, speakers = labelled_rows(predictions, labels)
    corpora = labelled_rows(predictions, labels, group="corpus").groups if by_corpus else None
    temperature, threshold = fit_categories(truth, probabilities, corpora)
    held_out = cross_fitted(truth, probabilities, speakers if corpora is None else corpora, by_corpus=by_corpus)
    weights = row_weights(truth, corpora)
    kept = 0.0 if held_out is None else float(weights @ held_out.kept)
    return Calibration(
        temperature=temperature,
        uncertain_below=threshold,
        dimension_half_width=_half_widths(predictions, rated, level),
        level=level,
        ece_before=_mean_ece(truth, probabilities, corpora) if len(truth) else None,
        ece_after=_mean_ece(truth, held_out.probabilities, corpora) if held_out else None,
        coverage=kept if held_out else None,
        risk=float(weights @ held_out.wrong) if held_out else None,
        risk_kept=float(weights @ (held_out.kept & held_out.wrong)) / kept if held_out and kept else None,
        n=len(truth),
        speakers=len(set(number_groups(speakers).tolist())),
    )


def fit_temperature(logits: ArrayLike, truth: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Temperature with the lowest negative log-likelihood (Guo et al. 2017, section 4.2), between 0.2 and 10.

    The likelihood is concave in 1 / T, so there is one optimum. A prior of ten rows drawn from the model's own
    probabilities keeps the temperature near 1 if there are few rows; without rows it is 1.

    Args:
        logits: (n, K) logits or log-probabilities; clipped to at most 100 below the highest of their row.
        truth: (n,) class numbers; rows with -1 are left out.
        weights: (n,) weight of each row in the likelihood, at least 0; equal if None.

    Raises:
        ValueError: a row with a truth has no finite highest logit.

    Example:
        >>> logits = np.log([[0.99, 0.01], [0.01, 0.99]] * 100)
        >>> round(fit_temperature(logits, [0, 1] * 70 + [1, 0] * 30), 2)  # sure at 0.99, right at 0.7
        5.03
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    weight = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    z, y, weight = z[y >= 0], y[y >= 0], weight[y >= 0]
    if not len(y):
        return 1.0
    if not np.isfinite(z.max(axis=1)).all():
        raise ValueError("a row with a truth has logits that are not finite")
    z = np.maximum(z - z.max(axis=1, keepdims=True), LOWEST_LOG)
    share = PRIOR_ROWS / len(y)
    target = z[np.arange(len(y)), y] + share * (softmax(z) * z).sum(axis=1)

    def slope(sharpness: float) -> float:
        """Derivative of the negative log-likelihood by 1 / T; it rises."""
        expected = (softmax(z * sharpness) * z).sum(axis=1)
        return float(weight @ ((1 + share) * expected - target))

    return 1 / _root(slope, 1 / HOTTEST, 1 / COLDEST)


class RiskCoverage(NamedTuple):
    """Risk-coverage curve: (m,) each, one point for each distinct confidence, from the highest down.

    Attributes:
        threshold: predictions with at least this confidence are kept.
        coverage: their share, rising to 1.
        risk: share of wrong predictions among them.
        aurc: area under it, the mean risk over all numbers of kept answers, ties in random order; NaN without rows.
    """

    threshold: Floats
    coverage: Floats
    risk: Floats
    aurc: float


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Risk-coverage curve of a classifier that may decline to answer.

    Args:
        confidence: (n,) numbers, higher is surer.
        correct: (n,) whether the answer is right.

    Example:
        >>> curve = risk_coverage([0.9, 0.8, 0.6, 0.6], [True, True, False, True])
        >>> curve.coverage, curve.risk, round(curve.aurc, 4)
        (array([0.25, 0.5 , 1.  ]), array([0.  , 0.  , 0.25]), 0.1042)
    """
    c, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if not len(c):
        return RiskCoverage(c, c, c, np.nan)
    falling, place, count = np.unique(-c, return_inverse=True, return_counts=True)
    kept = np.cumsum(count)
    wrong = np.cumsum(np.bincount(place, ~right))
    each = np.arange(1, len(c) + 1)
    errors = np.interp(each, [0, *kept], [0, *wrong])
    return RiskCoverage(-falling, kept / len(c), wrong / kept, float((errors / each).mean()))


def uncertain_below(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Confidence below which an answer is called uncertain: the threshold, 0..1; 0 without rows.

    It is the lowest threshold at which at least 70 % of the answers remain and their error is at most two thirds of the
    error of all answers, or 5 %, whichever is higher. If no threshold does this, the least confident answers, at most
    30 %, are uncertain. If all answers are equally confident, none is uncertain.

    Args:
        confidence: (n,) highest calibrated probability of each development row, 0..1.
        correct: (n,) whether its answer is right.

    Example:
        >>> uncertain_below([0.9] * 6 + [0.5, 0.4, 0.3, 0.2], [True] * 8 + [False] * 2)
        0.3
    """
    curve = risk_coverage(confidence, correct)
    if not len(curve.threshold):
        return 0.0
    target = max(RISK_RATIO * curve.risk[-1], TOLERABLE_RISK)
    enough = curve.coverage >= LEAST_COVERAGE - 1e-9
    met = np.flatnonzero(enough & (curve.risk <= target + 1e-9))
    return float(curve.threshold[met[-1] if len(met) else np.argmax(enough)])


def uncertain_below_on_each(confidence: ArrayLike, correct: ArrayLike, corpora: Sequence[Any] | NDArray[Any]) -> float:
    """Threshold of "uncertain" by corpora that were left out of training, as the module's criterion says; 0..1.

    Args:
        confidence: (n,) highest calibrated probability of each row, 0..1; n at least 1.
        correct: (n,) whether its answer is right.
        corpora: (n,) corpus of each row.

    Example:
        >>> confidence, correct = [0.9, 0.8, 0.7, 0.6] * 2, [True, True, False, True, True, False, False, False]
        >>> uncertain_below_on_each(confidence, correct, ["a"] * 4 + ["b"] * 4)
        0.9
    """
    sure, right, corpus = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool), np.asarray(corpora)
    curves = [risk_coverage(sure[corpus == name], right[corpus == name]) for name in np.unique(corpus)]
    thresholds = np.unique(sure)
    met = np.ones(len(thresholds), dtype=bool)
    for curve in curves:
        point = np.searchsorted(-curve.threshold, -thresholds, side="right") - 1  # -1: no answer is as confident
        met &= (point >= 0) & (curve.coverage[point] >= CORPUS_COVERAGE - 1e-9) & (curve.risk[point] < CORPUS_RISK)
    if met.any():
        return float(thresholds[met][0])
    worst = max(curves, key=lambda curve: float(curve.risk[-1]))
    return float(worst.threshold[np.argmax(worst.coverage >= CORPUS_COVERAGE - 1e-9)])


def dimension_interval(
    truth: ArrayLike, prediction: ArrayLike, speakers: Sequence[Any] | NDArray[Any], *, level: float = 0.9
) -> Floats:
    """Half-widths of intervals that hold the truth of a clip of a new speaker at least in a share `level` of cases.

    Split conformal prediction of absolute residuals; the exchangeable unit is the speaker (Lee, Barber & Willett 2023):
    each of k speakers has weight 1 / (k + 1), shared by that speaker's clips, the new one has the rest at infinity, and
    the half-width is the quantile `level` of that distribution. The share is a mean over speakers; for an
    unusual one it is lower.

    Fewer than level / (1 - level) speakers (9 for 0.9, 4 for 0.8) are too few for a bound: the half-width is then 1,
    the whole scale. With exactly that number it is the largest residual seen.

    Args:
        truth: (n, 3) dimensions, 0..1; NaN where a row lacks a dimension; each dimension is treated separately.
        prediction: (n, 3) predicted dimensions.
        speakers: (n,) speakers; a row without a speaker (None or NaN) counts as a speaker of its own.
        level: between 0 and 1.

    Returns:
        (3,) half-widths, 0..1. The interval is prediction ± half-width, cut to 0..1.

    Raises:
        ValueError: a row with a truth has no finite prediction.

    Example:
        >>> truth, guess = np.full((9, 3), 0.5), np.full((9, 3), 0.4)
        >>> dimension_interval(truth, guess, list("abcdefghi")).round(2)
        array([0.1, 0.1, 0.1])
        >>> dimension_interval(truth[:8], guess[:8], list("abcdefgh"))
        array([1., 1., 1.])
    """
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if not np.isfinite(y[~np.isnan(x)]).all():
        raise ValueError("a row with a truth has no finite prediction")
    groups = number_groups(speakers)
    return np.array([_half_width(np.abs(x - y)[:, i], groups, level) for i in range(x.shape[1])])


class CrossFitted(NamedTuple):
    """Rows calibrated by fits on other groups of rows (speakers or corpora)."""

    probabilities: Floats  # (n, K)
    kept: NDArray[np.bool_]  # (n,) not called uncertain
    wrong: NDArray[np.bool_]  # (n,)


def cross_fitted(
    truth: NDArray[np.int64],
    probabilities: Floats,
    groups: Sequence[Any] | NDArray[Any],
    *,
    by_corpus: bool = False,
) -> CrossFitted | None:
    """Calibrate each row with a fit on the folds that do not contain its group; None with fewer than two groups.

    Arguments as `labelled_rows` returns them; groups are speakers, or corpora with `by_corpus` (see `fit_calibration`).
    """
    fold = number_groups(groups) % FOLDS
    if fold.max(initial=0) == 0:
        return None
    calibrated, kept = np.empty(probabilities.shape), np.empty(len(truth), dtype=bool)
    for number in range(fold.max() + 1):
        rest, held = fold != number, fold == number
        corpora = np.asarray(groups)[rest] if by_corpus else None
        temperature, threshold = fit_categories(truth[rest], probabilities[rest], corpora)
        calibrated[held] = apply_temperature(probabilities[held], temperature)
        kept[held] = calibrated[held].max(axis=1) >= threshold
    return CrossFitted(calibrated, kept, calibrated.argmax(axis=1) != truth)


class LabelledRows(NamedTuple):
    """The rows of predictions with a category, in the order of their keys."""

    truth: NDArray[np.int64]  # (n,)
    probabilities: Floats  # (n, K)
    groups: NDArray[Any]  # (n,) speakers, or the values of another column


def labelled_rows(predictions: pd.DataFrame, labels: Sequence[str], *, group: str = "speaker") -> LabelledRows:
    """The rows with a category; empty if the model does not predict categories.

    Arguments as `fit_calibration`; `group` is the column of the groups.
    """
    names = [f"probability_{k}" for k in range(len(labels))]
    if not names or names[0] not in predictions.columns:
        return LabelledRows(np.zeros(0, dtype=np.int64), np.zeros((0, 1)), np.zeros(0, dtype=object))
    rows = predictions[predictions["truth"] >= 0].sort_values("key", kind="stable")
    probabilities = rows[names].to_numpy(dtype=np.float64)
    return LabelledRows(rows["truth"].to_numpy(), probabilities, rows[group].to_numpy(dtype=object))


def fit_categories(
    truth: NDArray[np.int64], probabilities: Floats, corpora: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Temperature, and the threshold at that temperature; by the criterion for corpora that were left out, if given."""
    temperature = fit_temperature(log_of(probabilities), truth, weights=row_weights(truth, corpora) * len(truth))
    calibrated = apply_temperature(probabilities, temperature)
    confidence, correct = calibrated.max(axis=1), calibrated.argmax(axis=1) == truth
    if corpora is None or not len(truth):
        return temperature, uncertain_below(confidence, correct)
    return temperature, uncertain_below_on_each(confidence, correct, corpora)


def row_weights(truth: NDArray[np.int64], corpora: NDArray[Any] | None) -> Floats:
    """Weight of each row, (n,), of sum 1: equal for all rows, or for all corpora."""
    if corpora is None:
        return np.full(len(truth), 1 / max(len(truth), 1))
    _, corpus, rows = np.unique(corpora.astype(str), return_inverse=True, return_counts=True)
    weights: Floats = 1 / (len(rows) * rows[corpus])
    return weights


def _mean_ece(truth: NDArray[np.int64], probabilities: Floats, corpora: NDArray[Any] | None) -> float:
    """Expected calibration error, of all rows or as the mean over corpora."""
    if corpora is None:
        return metrics.ece(truth, probabilities)
    each = [metrics.ece(truth[rows], probabilities[rows]) for rows in (corpora == name for name in np.unique(corpora))]
    return float(np.mean(each))


def _half_widths(predictions: pd.DataFrame, rated: ArrayLike | bool, level: float) -> tuple[float, float, float] | None:
    names = list(DIMENSIONS)
    if names[0] not in predictions.columns:
        return None
    truth = predictions[[f"true_{name}" for name in names]].to_numpy(dtype=np.float64)
    used = np.broadcast_to(np.asarray(rated, dtype=bool), len(predictions)) & ~np.isnan(truth).all(axis=1)
    if not used.any():
        return None
    values = predictions[names].to_numpy(dtype=np.float64)
    speakers = predictions["speaker"].to_numpy(dtype=object)
    return tuple(dimension_interval(truth[used], values[used], speakers[used], level=level).tolist())


def _half_width(residuals: Floats, groups: NDArray[np.int64], level: float) -> float:
    present = ~np.isnan(residuals)
    _, speaker, clips = np.unique(groups[present], return_inverse=True, return_counts=True)
    order = np.argsort(residuals[present], kind="stable")
    weight = np.cumsum(1 / clips[speaker][order])  # rises to the number of speakers
    reached = np.flatnonzero(weight >= level * (len(clips) + 1) - 1e-9)
    return min(float(residuals[present][order][reached[0]]), 1.0) if len(reached) else 1.0


def _root(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0, by halving between 1 and the end on the other side; that end if it is not reached.

    A function that is 0 at 1 may be 0 everywhere (all rows fully sure and right): then 1.
    """
    at_one = slope(1.0)
    if at_one == 0:
        return 1.0
    near, far = 1.0, high if at_one < 0 else low
    if slope(far) * at_one >= 0:
        return far
    for _ in range(50):
        middle = (near + far) / 2
        near, far = (middle, far) if slope(middle) * at_one > 0 else (near, middle)
    return far
