"""Each metric against a second, independent implementation, and without rows, constant, missing, of one row."""

import audmetric
import numpy as np
import pytest
from sklearn import metrics as sk

from emofuse.metrics.scores import (
    ECE_BINS,
    ccc,
    confusion,
    ece,
    f1_per_class,
    macro_f1,
    mae,
    pearson,
    precision_per_class,
    recall_per_class,
    uar,
    wa,
    weighted_f1,
)

NAMES = ["neutral", "happiness", "sadness", "anger", "fear"]
CATEGORY_METRICS = [uar, wa, macro_f1, weighted_f1]
DIMENSION_METRICS = [ccc, pearson, mae]


@pytest.fixture(params=range(4))
def classes(request):
    rng = np.random.default_rng(request.param)
    truth = rng.choice(5, size=200, p=[0.4, 0.3, 0.1, 0.1, 0.1])
    return truth, np.where(rng.random(200) < 0.4, truth, rng.integers(0, 5, 200))


@pytest.fixture(params=range(4))
def numbers(request):
    rng = np.random.default_rng(request.param)
    truth = rng.random(300)
    return truth, 0.3 * truth + 0.2 + 0.4 * rng.random(300)


def test_category_metrics_equal_scikit_learn(classes):
    assert uar(*classes) == pytest.approx(sk.balanced_accuracy_score(*classes))
    assert wa(*classes) == pytest.approx(sk.accuracy_score(*classes))
    assert macro_f1(*classes) == pytest.approx(sk.f1_score(*classes, average="macro"))
    assert weighted_f1(*classes) == pytest.approx(sk.f1_score(*classes, average="weighted"))
    assert recall_per_class(*classes) == pytest.approx(sk.recall_score(*classes, average=None))
    assert precision_per_class(*classes) == pytest.approx(sk.precision_score(*classes, average=None))
    assert f1_per_class(*classes) == pytest.approx(sk.f1_score(*classes, average=None))
    np.testing.assert_array_equal(confusion(*classes), sk.confusion_matrix(*classes))


def test_category_metrics_equal_audmetric(classes):
    assert uar(*classes) == pytest.approx(audmetric.unweighted_average_recall(*classes))
    assert wa(*classes) == pytest.approx(audmetric.accuracy(*classes))
    assert macro_f1(*classes) == pytest.approx(audmetric.unweighted_average_fscore(*classes))
    assert list(recall_per_class(*classes)) == pytest.approx(list(audmetric.recall_per_class(*classes).values()))


def test_dimension_metrics_equal_audmetric(numbers):
    assert ccc(*numbers) == pytest.approx(audmetric.concordance_cc(*numbers))
    assert pearson(*numbers) == pytest.approx(audmetric.pearson_cc(*numbers))
    assert mae(*numbers) == pytest.approx(audmetric.mean_absolute_error(*numbers))


@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (0.0, 1e-6), (-3.0, 7.0)])
def test_dimension_metrics_hold_at_other_scales(numbers, offset, scale):
    truth, prediction = (offset + scale * values for values in numbers)
    assert ccc(truth, prediction) == pytest.approx(audmetric.concordance_cc(truth, prediction), rel=1e-6)
    assert pearson(truth, prediction) == pytest.approx(audmetric.pearson_cc(truth, prediction), rel=1e-6)


def test_ece_equals_a_loop_over_bins():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(5, 0.5), size=500)
    truth = rng.integers(0, 5, 500)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for i in range(ECE_BINS):
        inside = (confidence > i / ECE_BINS) & (confidence <= (i + 1) / ECE_BINS)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert ece(truth, probabilities) == pytest.approx(expected)


def test_ece_of_certain_rows():
    assert ece([0, 1], np.eye(2)) == 0
    assert ece([1, 0], np.eye(2)) == 1
    assert ece(["fear", "anger"], np.eye(2), labels=["anger", "fear"]) == 1


def test_strings_and_numbers_agree(classes):
    words = [[NAMES[i] for i in part] for part in classes]
    for metric in CATEGORY_METRICS:
        assert metric(*words, labels=NAMES) == metric(*classes) == metric(*classes, labels=NAMES)
        assert metric(*words) == pytest.approx(metric(*classes))
    np.testing.assert_array_equal(confusion(*words, labels=NAMES), confusion(*classes))


def test_classes_that_do_not_occur():
    truth, prediction = [0, 0, 1], [0, 2, 1]
    assert uar(truth, prediction, labels=NAMES) == pytest.approx(0.75)
    assert macro_f1(truth, prediction, labels=NAMES) == pytest.approx((2 / 3 + 1 + 0) / 3)
    np.testing.assert_array_equal(recall_per_class(truth, prediction, labels=NAMES), [0.5, 1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(precision_per_class(truth, prediction, labels=NAMES), [1, 1, 0, np.nan, np.nan])
    np.testing.assert_allclose(f1_per_class(truth, prediction, labels=NAMES), [2 / 3, 1, 0, np.nan, np.nan])
    assert confusion(truth, prediction, labels=NAMES).shape == (5, 5)


@pytest.mark.parametrize("missing", [None, np.nan, -1])
def test_rows_without_a_category_are_left_out(missing):
    for metric in CATEGORY_METRICS:
        assert metric([0, missing, 1, 0], [0, 0, 1, 1]) == metric([0, 1, 0], [0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    assert ece([0, missing, 0], probabilities) == ece([0, 0], probabilities[[0, 2]])


def test_missing_among_strings_is_no_class():
    assert confusion(["a", np.nan, "b"], ["a", "b", "b"]).tolist() == [[1, 0], [0, 1]]
    assert confusion(np.array(["a", None], dtype=object), ["a", "a"]).tolist() == [[1]]


def test_rows_without_a_number_are_left_out():
    for metric in DIMENSION_METRICS:
        assert metric([0.1, np.nan, 0.9, 0.4], [0.2, 0.5, 0.7, 0.1]) == metric([0.1, 0.9, 0.4], [0.2, 0.7, 0.1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_makes_the_result_nan(bad):
    for metric in DIMENSION_METRICS:
        assert np.isnan(metric([0.1, 0.5, 0.9], [0.2, bad, 0.7]))
    assert np.isnan(ece([0, 1], [[np.nan, np.nan], [0.5, 0.5]]))


def test_no_rows():
    for metric in CATEGORY_METRICS:
        assert np.isnan(metric([], []))
        assert np.isnan(metric([-1], [0], labels=NAMES))
    for metric in DIMENSION_METRICS:
        assert np.isnan(metric([], []))
        assert np.isnan(metric([np.nan], [0.5]))
    assert np.isnan(ece([], np.empty((0, 3))))
    assert np.isnan(ece([], []))
    assert confusion([], []).shape == (0, 0)
    assert confusion([], [], labels=NAMES).tolist() == np.zeros((5, 5)).tolist()
    assert np.isnan(recall_per_class([], [], labels=NAMES)).all()


def test_one_row():
    assert uar([1], [1]) == wa([1], [1]) == macro_f1([1], [1]) == weighted_f1([1], [1]) == 1
    assert uar([1], [0]) == macro_f1([1], [0]) == weighted_f1([1], [0]) == 0
    assert np.isnan(ccc([0.3], [0.3])) and np.isnan(pearson([0.3], [0.4]))
    assert mae([0.3], [0.5]) == pytest.approx(0.2)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e5 + 0.1])
def test_constant_numbers(constant):
    flat, varied = np.full(7, constant), constant + np.linspace(0, 1, 7)
    assert ccc(varied, flat) == ccc(flat, varied) == 0
    assert np.isnan(ccc(flat, flat)) and np.isnan(ccc(flat, flat + 0.5))
    for pair in [(varied, flat), (flat, varied), (flat, flat)]:
        assert np.isnan(pearson(*pair))
    assert mae(flat, flat) == 0


def test_ccc_punishes_a_shift_and_a_scale_that_pearson_does_not_see():
    truth = np.linspace(0, 1, 11)
    assert ccc(truth, truth) == pytest.approx(1)
    assert ccc(truth, 1 - truth) == pytest.approx(-1)
    assert ccc(truth, truth + 0.5) < 0.5 and ccc(truth, 0.1 * truth) < 0.3
    assert pearson(truth, truth + 0.5) == pytest.approx(1) == pearson(truth, 0.1 * truth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uar([0, 1], [0]), "2 rows of truth, but 1 of prediction"),
        (lambda: ccc([0.1, 0.2], [0.1]), "2 rows of truth, but 1 of prediction"),
        (lambda: wa([0, 1, 1], [0, 1, -1]), "row 2 has a truth but no prediction"),
        (lambda: wa(["joy"], ["anger"], labels=NAMES), "'joy' is not among the labels: neutral"),
        (lambda: wa([7], [1], labels=NAMES), "class 7, but only 5 labels"),
        (lambda: wa([0.5], [1]), "0.5 is neither a string nor a whole number"),
        (lambda: wa([[0, 1]], [[0, 1]]), "shape"),
        (lambda: ece([0], [0.5]), "probabilities"),
        (lambda: ece([2], [[0.5, 0.5]]), "class 2 in the truth, but probabilities of 2 classes"),
        (lambda: ece([1], [[0.5, 0.5]], labels=NAMES), "5 labels, but probabilities of 2 classes"),
        (lambda: ece(["fear"], [[0.5, 0.5]]), "'fear' is not among the labels: none given"),
    ],
)
def test_input_that_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()
