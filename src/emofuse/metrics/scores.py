"""Metrics of categories (UAR, WA, F1, confusion, ECE, ...) and of dimensions (CCC, Pearson, MAE), in plain NumPy.

All functions treat missing values alike:

* Rows with a missing truth (None, NaN, or a negative class number) are left out.
* Rows with a truth need a prediction: a missing category is an error; a NaN or infinite number makes the result NaN.
* Undefined values (no rows, the recall of a class that does not occur, the correlation with a constant) are NaN.

Categories are class numbers from 0, or strings. `labels` names the classes in order: strings are looked up in it, and
numbers are positions in it. Without `labels` the classes are 0..max, or the sorted strings that occur.

Every metric is a function of sums over rows. `ADDITIVE` holds both steps (the statistics of each row, the score of
their sum), so that `emofuse.metrics.intervals` can resample whole speakers efficiently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Labels = Sequence[str] | None

ECE_BINS = 15
LOWER_IS_BETTER = frozenset({"ece", "mae"})
RANGES = dict.fromkeys(("uar", "wa", "macro_f1", "weighted_f1", "ece"), (0.0, 1.0)) | {"mae": (0.0, np.inf)}
RANGES |= dict.fromkeys(("ccc", "pearson"), (-1.0, 1.0))


def uar(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Unweighted average recall, 0..1: the mean recall over the classes that occur in the truth.

    Args:
        truth: (n,) classes.
        prediction: (n,) classes.
        labels: class names in order; see the module's docstring.

    Raises:
        ValueError: the lengths differ, a class is unknown, or a prediction is missing.

    >>> uar([0, 0, 0, 1], [0, 0, 1, 1])
    0.8333333333333333
    """
    return float(_uar(_counts(truth, prediction, labels)))


def wa(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Weighted accuracy, 0..1: the share of correct rows. Arguments and errors as `uar`.

    >>> wa([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    return float(_wa(_counts(truth, prediction, labels)))


def macro_f1(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Mean of the classes' F1, 0..1, over the classes that occur in truth or prediction. Arguments and errors as `uar`.

    >>> round(macro_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
    0.7333
    """
    return float(_macro_f1(_counts(truth, prediction, labels)))


def weighted_f1(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Mean of the classes' F1, 0..1, weighted by frequency in the truth. Arguments and errors as `uar`.

    >>> round(weighted_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
    0.7667
    """
    return float(_weighted_f1(_counts(truth, prediction, labels)))


def recall_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """Recall of each class (K,), 0..1; NaN for a class that is not in the truth. Arguments and errors as `uar`.

    >>> recall_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"])
    array([0.5, 1. , nan])
    """
    return _recall(_counts(truth, prediction, labels))


def precision_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """Precision of each class (K,), 0..1; NaN for a class that is never predicted. Arguments and errors as `uar`.

    >>> precision_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"])
    array([1. , 0.5, nan])
    """
    return _recall(_counts(truth, prediction, labels).swapaxes(-1, -2))


def f1_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """F1 of each class, 2 TP / (2 TP + FP + FN): (K,), 0..1; NaN for a class in neither. Arguments, errors as `uar`.

    >>> f1_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"]).round(4)
    array([0.6667, 0.6667,    nan])
    """
    return _f1(_counts(truth, prediction, labels))


def confusion(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> NDArray[np.int64]:
    """Confusion matrix, (K, K) counts: rows are the truth, columns the prediction. Arguments and errors as `uar`.

    >>> confusion(["anger", "fear", "fear"], ["anger", "fear", "anger"])
    array([[1, 0],
           [1, 1]])
    """
    return _counts(truth, prediction, labels).astype(np.int64)


def ece(truth: ArrayLike, probabilities: ArrayLike, *, labels: Labels = None) -> float:
    """Expected calibration error, 0..1: the mean over rows of |accuracy - confidence| of the row's confidence bin.

    Confidence is the highest probability of a row; `ECE_BINS` bins of equal width, closed above (Guo et al. 2017).

    Args:
        truth: (n,) classes.
        probabilities: (n, K), each row a distribution.
        labels: the K class names in order, where `truth` holds strings.

    Raises:
        ValueError: the shapes do not fit, a class is unknown, or `truth` holds strings and `labels` is not given.

    >>> round(ece([0, 1], [[0.9, 0.1], [0.7, 0.3]]), 3)
    0.4
    """
    return float(_ece(_calibration(truth, probabilities, labels).sum(axis=0)))


def ccc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989) of (n,) numbers, -1..1, with population variances.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2); 0 if one of the two is constant, NaN if both are (so
    also with fewer than two rows). ValueError if the lengths differ.

    >>> round(ccc([0.0, 0.5, 1.0], [0.1, 0.5, 0.9]), 4)
    0.9756
    """
    return float(_ccc(_moments(truth, prediction).sum(axis=0)))


def pearson(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation, -1..1; NaN if one of the two is constant. Arguments and errors as `ccc`.

    >>> round(pearson([0.0, 0.5, 1.0], [0.1, 0.5, 0.9]), 4)
    1.0
    """
    return float(_pearson(_moments(truth, prediction).sum(axis=0)))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error, in the units of the input. Arguments and errors as `ccc`.

    >>> round(mae([0.0, 0.5], [0.1, 0.5]), 4)
    0.05
    """
    return float(_mae(_moments(truth, prediction).sum(axis=0)))


def class_numbers(classes: ArrayLike, *, labels: Labels = None) -> NDArray[np.int64]:
    """Convert classes (n,) to numbers, -1 where missing. ValueError if a class is unknown or the shape is not (n,).

    >>> class_numbers(["fear", None, "anger"], labels=["anger", "fear"])
    array([ 1, -1,  0])
    """
    values = as_array(classes)
    if values.ndim != 1:
        raise ValueError(f"classes must have the shape (rows,), not {values.shape}")
    if values.dtype.kind in "iu":
        codes = np.where(values < 0, -1, values).astype(np.int64)
    else:
        numbers = {label: number for number, label in enumerate(labels or ())}
        codes = np.array([_class_number(value, numbers) for value in values], dtype=np.int64)
    if labels is not None and codes.max(initial=-1) >= len(labels):
        raise ValueError(f"class {codes.max()}, but only {len(labels)} labels: {', '.join(labels)}")
    return codes


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Make an array in which a list of strings and NaN stays as it is ("nan" would be a string otherwise)."""
    return np.asarray(values, dtype=None if hasattr(values, "dtype") else object)


def _class_number(value: Any, numbers: dict[str, int]) -> int:
    if value is None or value != value:
        return -1
    if isinstance(value, str):
        if value not in numbers:
            raise ValueError(f"class {value!r} is not among the labels: {', '.join(numbers) or 'none given'}")
        return numbers[value]
    if int(value) != value:
        raise ValueError(f"class {value!r} is neither a string nor a whole number")
    return max(int(value), -1)


def _counts(truth: ArrayLike, prediction: ArrayLike, labels: Labels) -> Floats:
    return _square(_cells(truth, prediction, labels).sum(axis=0))


# Scores of summed statistics: (..., S) -> (...), of confusion matrices: (..., truth, prediction) -> (...).


def _square(cells: Floats) -> Floats:
    k = round(cells.shape[-1] ** 0.5)
    return cells.reshape(*cells.shape[:-1], k, k)


def _divide(numerator: Any, denominator: Any) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, np.divide(numerator, denominator))


def _mean_of_defined(values: Floats) -> Floats:
    return _divide(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1))


def _hits(matrix: Floats) -> Floats:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _recall(matrix: Floats) -> Floats:
    return _divide(_hits(matrix), matrix.sum(axis=-1))


def _f1(matrix: Floats) -> Floats:
    return _divide(2 * _hits(matrix), matrix.sum(axis=-1) + matrix.sum(axis=-2))


def _uar(matrix: Floats) -> Floats:
    return _mean_of_defined(_recall(matrix))


def _wa(matrix: Floats) -> Floats:
    return _divide(_hits(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def _macro_f1(matrix: Floats) -> Floats:
    return _mean_of_defined(_f1(matrix))


def _weighted_f1(matrix: Floats) -> Floats:
    return _divide(np.nansum(_f1(matrix) * matrix.sum(axis=-1), axis=-1), matrix.sum(axis=(-2, -1)))


def _ece(sums: Floats) -> Floats:
    return _divide(np.abs(sums[..., 1:]).sum(axis=-1), sums[..., 0])


def _spread(sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Variances, covariance and mean squared difference."""
    _, x, y, xx, yy, xy, difference, _ = np.moveaxis(_divide(sums, sums[..., :1]), -1, 0)
    return _variance(xx, x), _variance(yy, y), xy - x * y, difference


def _variance(mean_square: Floats, mean: Floats) -> Floats:
    variance = mean_square - mean**2
    return np.where(variance <= 1e-12 * mean_square, 0.0, variance)  # constant up to rounding


def _ccc(sums: Floats) -> Floats:
    var_x, var_y, covariance, difference = _spread(sums)
    # var(x) + var(y) + (mean(x) - mean(y))^2 = mean((x - y)^2) + 2 cov(x, y)
    value = _divide(2 * covariance, difference + 2 * covariance)
    value = np.where((var_x == 0) | (var_y == 0), 0.0 * value, value)
    return np.where((var_x == 0) & (var_y == 0), np.nan, value)


def _pearson(sums: Floats) -> Floats:
    var_x, var_y, covariance, _ = _spread(sums)
    return np.clip(_divide(covariance, np.sqrt(var_x * var_y)), -1.0, 1.0)


def _mae(sums: Floats) -> Floats:
    return _divide(sums[..., 7], sums[..., 0])


# Statistics of each row: -> (n, S), all zero where the truth is missing.


def _cells(truth: ArrayLike, prediction: ArrayLike, labels: Labels) -> Floats:
    true, predicted = as_array(truth), as_array(prediction)
    _same_length(true, predicted)
    if labels is None:
        labels = sorted({value for value in (*true.ravel(), *predicted.ravel()) if isinstance(value, str)}) or None
    x, y = class_numbers(true, labels=labels), class_numbers(predicted, labels=labels)
    present = x >= 0
    if (present & (y < 0)).any():
        raise ValueError(f"row {int(np.argmax(present & (y < 0)))} has a truth but no prediction")
    k = len(labels) if labels is not None else int(max(x.max(initial=-1), y.max(initial=-1))) + 1
    cells = np.zeros((len(x), k * k))
    cells[present, x[present] * k + y[present]] = 1
    return cells


def _calibration(truth: ArrayLike, probabilities: ArrayLike, labels: Labels) -> Floats:
    """1, and confidence - correctness in the column of the row's bin."""
    values = np.asarray(probabilities, dtype=np.float64)  # (n, K)
    true = as_array(truth)
    if values.ndim != 2 and len(true) + len(values) > 0:
        raise ValueError(f"probabilities must have the shape (rows, classes), not {values.shape}")
    _same_length(true, values)
    sums = np.zeros((len(true), 1 + ECE_BINS))
    if not len(true):
        return sums
    if labels is not None and len(labels) != values.shape[1]:
        raise ValueError(f"{len(labels)} labels, but probabilities of {values.shape[1]} classes")
    x = class_numbers(true, labels=labels)
    if x.max() >= values.shape[1]:
        raise ValueError(f"class {x.max()} in the truth, but probabilities of {values.shape[1]} classes")
    confidence = values.max(axis=1)  # (n,)
    edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    bins = np.searchsorted(edges, confidence, side="left")
    sums[:, 0] = 1
    sums[np.arange(len(x)), 1 + bins] = confidence - (values.argmax(axis=1) == x)
    sums[x < 0] = 0
    return sums


def _moments(truth: ArrayLike, prediction: ArrayLike, _labels: Labels = None) -> Floats:
    """1, x, y, xx, yy, xy, (x - y)^2, |x - y|, with the first truth subtracted from x and y.

    This keeps precision at any offset. As it does not depend on the prediction, sums of two systems can be mixed.
    """
    x = np.asarray(truth, dtype=np.float64).reshape(-1)
    y = np.asarray(prediction, dtype=np.float64).reshape(-1)
    _same_length(x, y)
    present = ~np.isnan(x)
    x, y = x[present], np.where(np.isfinite(y), y, np.nan)[present]
    d = x - y
    u, v = x - x[:1], y - x[:1]
    sums = np.zeros((len(present), 8))
    sums[present] = np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, d * d, np.abs(d)], axis=1)
    return sums


def _same_length(truth: Sequence[Any] | NDArray[Any], prediction: Sequence[Any] | NDArray[Any]) -> None:
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} rows of truth, but {len(prediction)} of prediction")


class Additive(NamedTuple):
    """A metric in two steps: score(statistics(truth, prediction, labels).sum(axis=0))."""

    statistics: Callable[[ArrayLike, ArrayLike, Labels], Floats]  # -> (n, S), zero where the truth is missing
    score: Callable[[Floats], Floats]  # (..., S) -> (...)


def _of_classes(score: Callable[[Floats], Floats]) -> Additive:
    return Additive(_cells, lambda cells: score(_square(cells)))


ADDITIVE = {
    "uar": _of_classes(_uar),
    "wa": _of_classes(_wa),
    "macro_f1": _of_classes(_macro_f1),
    "weighted_f1": _of_classes(_weighted_f1),
    "ece": Additive(_calibration, _ece),
    "ccc": Additive(_moments, _ccc),
    "pearson": Additive(_moments, _pearson),
    "mae": Additive(_moments, _mae),
}
