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
    """Unweighted average recall: the mean recall over the classes that occur in the truth.

    Args:
        truth: (n,) classes.
        prediction: (n,) classes.
        labels: class names in order; see the module's docstring.

    Returns:
        Value in 0..1; NaN without rows.

    Raises:
        ValueError: the lengths differ, a class is unknown, or a prediction is missing.

    Example:
        >>> uar([0, 0, 0, 1], [0, 0, 1, 1])
        0.8333333333333333
    """
    return float(_uar(_cells(truth, prediction, labels).sum(axis=0)))


def wa(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Weighted accuracy: the share of correct rows (recall weighted by class frequency).

    Args, Raises: as `uar`.

    Returns:
        Value in 0..1; NaN without rows.

    Example:
        >>> wa([0, 0, 0, 1], [0, 0, 1, 1])
        0.75
    """
    return float(_wa(_cells(truth, prediction, labels).sum(axis=0)))


def macro_f1(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Mean of the classes' F1 = 2 TP / (2 TP + FP + FN), over the classes that occur in truth or prediction.

    Args, Raises: as `uar`.

    Returns:
        Value in 0..1; NaN without rows.

    Example:
        >>> round(macro_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
        0.7333
    """
    return float(_macro_f1(_cells(truth, prediction, labels).sum(axis=0)))


def weighted_f1(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> float:
    """Mean of the classes' F1, weighted by how often each class occurs in the truth.

    Args, Raises: as `uar`.

    Returns:
        Value in 0..1; NaN without rows.

    Example:
        >>> round(weighted_f1([0, 0, 0, 1], [0, 0, 1, 1]), 4)
        0.7667
    """
    return float(_weighted_f1(_cells(truth, prediction, labels).sum(axis=0)))


def recall_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """Recall of each class.

    Args, Raises: as `uar`.

    Returns:
        (K,) values in 0..1, in the order of the classes; NaN for a class that does not occur in the truth.

    Example:
        >>> recall_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"])
        array([0.5, 1. , nan])
    """
    return _recall(_cells(truth, prediction, labels).sum(axis=0))


def precision_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """Precision of each class: the share of correct rows among those predicted as the class.

    Args, Raises: as `uar`.

    Returns:
        (K,) values in 0..1, in the order of the classes; NaN for a class that is never predicted.

    Example:
        >>> precision_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"])
        array([1. , 0.5, nan])
    """
    return _precision(_cells(truth, prediction, labels).sum(axis=0))


def f1_per_class(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> Floats:
    """F1 of each class: 2 TP / (2 TP + FP + FN).

    Args, Raises: as `uar`.

    Returns:
        (K,) values in 0..1, in the order of the classes; NaN for a class in neither truth nor prediction.

    Example:
        >>> f1_per_class([0, 0, 1], [0, 1, 1], labels=["anger", "fear", "disgust"]).round(4)
        array([0.6667, 0.6667,    nan])
    """
    return _f1(_cells(truth, prediction, labels).sum(axis=0))


def confusion(truth: ArrayLike, prediction: ArrayLike, *, labels: Labels = None) -> NDArray[np.int64]:
    """Confusion matrix: rows are the truth, columns the prediction.

    Args, Raises: as `uar`.

    Returns:
        (K, K) counts.

    Example:
        >>> confusion(["anger", "fear", "fear"], ["anger", "fear", "anger"])
        array([[1, 0],
               [1, 1]])
    """
    return _square(_cells(truth, prediction, labels).sum(axis=0)).astype(np.int64)


def ece(truth: ArrayLike, probabilities: ArrayLike, *, labels: Labels = None) -> float:
    """Expected calibration error: the mean over rows of |accuracy - confidence| of the row's confidence bin.

    Confidence is the highest probability of a row; `ECE_BINS` bins of equal width, closed above (Guo et al. 2017).

    Args:
        truth: (n,) classes.
        probabilities: (n, K), each row a distribution.
        labels: the K class names in order, where `truth` holds strings.

    Returns:
        Value in 0..1; NaN without rows.

    Raises:
        ValueError: the shapes do not fit, a class is unknown, or `truth` holds strings and `labels` is not given.

    Example:
        >>> round(ece([0, 1], [[0.9, 0.1], [0.7, 0.3]]), 3)
        0.4
    """
    return float(_ece(_calibration(truth, probabilities, labels).sum(axis=0)))


def ccc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989) in the covariance form, with population variances.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)

    Args:
        truth: (n,) numbers, any scale.
        prediction: (n,) numbers, the same scale.

    Returns:
        Value in -1..1. 0 if one of the two is constant; NaN if both are (so also with fewer than two rows).

    Raises:
        ValueError: the lengths differ.

    Example:
        >>> round(ccc([0.0, 0.5, 1.0], [0.1, 0.5, 0.9]), 4)
        0.9756
    """
    return float(_ccc(_moments(truth, prediction).sum(axis=0)))


def pearson(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation cov(x, y) / (sd(x) sd(y)).

    Args, Raises: as `ccc`.

    Returns:
        Value in -1..1; NaN if one of the two is constant.

    Example:
        >>> round(pearson([0.0, 0.5, 1.0], [0.1, 0.5, 0.9]), 4)
        1.0
    """
    return float(_pearson(_moments(truth, prediction).sum(axis=0)))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error.

    Args, Raises: as `ccc`.

    Returns:
        Value from 0 up, in the units of the input; NaN without rows.

    Example:
        >>> round(mae([0.0, 0.5], [0.1, 0.5]), 4)
        0.05
    """
    return float(_mae(_moments(truth, prediction).sum(axis=0)))


def class_numbers(classes: ArrayLike, *, labels: Labels = None) -> NDArray[np.int64]:
    """Convert classes (n,) to numbers, -1 where missing; see the module's docstring.

    Raises:
        ValueError: a class is unknown, or the shape is not (n,).

    Example:
        >>> class_numbers(["fear", None, "anger"], labels=["anger", "fear"])
        array([ 1, -1,  0])
    """
    return _codes(_values(classes), labels)


# Scores of summed statistics: (..., S) -> (...). Confusion matrices are flat, S = K * K.


def _square(cells: Floats) -> Floats:
    k = round(cells.shape[-1] ** 0.5)
    return cells.reshape(*cells.shape[:-1], k, k)  # (..., truth, prediction)


def _divide(numerator: Any, denominator: Any) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.nan, np.divide(numerator, denominator))


def _mean_of_defined(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    return _divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _recall(cells: Floats) -> Floats:
    matrix = _square(cells)
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1))


def _precision(cells: Floats) -> Floats:
    matrix = _square(cells)
    return _divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-2))


def _uar(cells: Floats) -> Floats:
    return _mean_of_defined(_recall(cells))


def _wa(cells: Floats) -> Floats:
    return _divide(np.trace(_square(cells), axis1=-2, axis2=-1), cells.sum(axis=-1))


def _f1(cells: Floats) -> Floats:
    matrix = _square(cells)
    return _divide(2 * np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1) + matrix.sum(axis=-2))


def _macro_f1(cells: Floats) -> Floats:
    return _mean_of_defined(_f1(cells))


def _weighted_f1(cells: Floats) -> Floats:
    return _divide(np.nansum(_f1(cells) * _square(cells).sum(axis=-1), axis=-1), cells.sum(axis=-1))


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
    true, predicted = _values(truth), _values(prediction)
    _same_length(true, predicted)
    if labels is None:
        labels = sorted({value for value in (*true, *predicted) if isinstance(value, str)}) or None
    x, y = _codes(true, labels), _codes(predicted, labels)
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
    true = _values(truth)
    if values.ndim != 2 and len(true) + len(values) > 0:
        raise ValueError(f"probabilities must have the shape (rows, classes), not {values.shape}")
    _same_length(true, values)
    sums = np.zeros((len(true), 1 + ECE_BINS))
    if not len(true):
        return sums
    if labels is not None and len(labels) != values.shape[1]:
        raise ValueError(f"{len(labels)} labels, but probabilities of {values.shape[1]} classes")
    x = _codes(true, labels)
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


def _values(classes: ArrayLike) -> NDArray[Any]:
    # A list of strings and NaN would become an array of strings, with "nan" among them.
    values = np.asarray(classes, dtype=None if hasattr(classes, "dtype") else object)
    if values.ndim != 1:
        raise ValueError(f"classes must have the shape (rows,), not {values.shape}")
    return values


def _codes(values: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    """Class numbers, -1 where missing."""
    if values.dtype.kind in "iu":
        codes = np.where(values < 0, -1, values).astype(np.int64)
    else:
        numbers = {label: number for number, label in enumerate(labels or ())}
        codes = np.array([_code(value, numbers) for value in values], dtype=np.int64)
    if labels is not None and codes.max(initial=-1) >= len(labels):
        raise ValueError(f"class {codes.max()}, but only {len(labels)} labels: {', '.join(labels)}")
    return codes


def _code(value: Any, numbers: dict[str, int]) -> int:
    if value is None or value != value:
        return -1
    if isinstance(value, str):
        if value not in numbers:
            raise ValueError(f"class {value!r} is not among the labels: {', '.join(numbers) or 'none given'}")
        return numbers[value]
    if int(value) != value:
        raise ValueError(f"class {value!r} is neither a string nor a whole number")
    return max(int(value), -1)


class Additive(NamedTuple):
    """A metric in two steps: score(statistics(truth, prediction, labels).sum(axis=0))."""

    statistics: Callable[[ArrayLike, ArrayLike, Labels], Floats]  # -> (n, S), zero where the truth is missing
    score: Callable[[Floats], Floats]  # (..., S) -> (...)


ADDITIVE = {
    "uar": Additive(_cells, _uar),
    "wa": Additive(_cells, _wa),
    "macro_f1": Additive(_cells, _macro_f1),
    "weighted_f1": Additive(_cells, _weighted_f1),
    "ece": Additive(_calibration, _ece),
    "ccc": Additive(_moments, _ccc),
    "pearson": Additive(_moments, _pearson),
    "mae": Additive(_moments, _mae),
}
