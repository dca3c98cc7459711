"""Properties of the metrics: order of rows, names of labels, bounds, perfect and constant predictions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emofuse.metrics.intervals import bootstrap_interval
from emofuse.metrics.scores import (
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

CATEGORY_METRICS = [uar, wa, macro_f1, weighted_f1]
DIMENSION_METRICS = [ccc, pearson, mae]
CLASSES = 4

category_rows = st.lists(st.tuples(st.integers(-1, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=30)
# Hundredths, so that a spread is either 0 or far above rounding errors.
numbers = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
number_rows = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30)


def columns(rows):
    truth, prediction = zip(*rows, strict=True)
    return np.array(truth), np.array(prediction)


def probabilities_of(rows, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(CLASSES), size=len(rows))


@settings(max_examples=50, deadline=None)
@given(category_rows, st.integers(0, 99))
def test_order_of_rows_does_not_change_a_category_metric(rows, seed):
    truth, prediction = columns(rows)
    probabilities = probabilities_of(rows, seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    for metric in CATEGORY_METRICS:
        assert metric(truth[order], prediction[order]) == pytest.approx(metric(truth, prediction), nan_ok=True)
    assert ece(truth[order], probabilities[order]) == pytest.approx(ece(truth, probabilities), nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(category_rows, st.permutations(range(CLASSES)))
def test_renaming_the_labels_changes_no_mean_and_permutes_the_values_of_classes(rows, new_names):
    truth, prediction = columns(rows)
    renamed = np.append(new_names, -1)  # -1, a missing truth, stays missing
    labels = [f"label {i}" for i in range(CLASSES)]
    before, after = (truth, prediction), (renamed[truth], renamed[prediction])
    for metric in CATEGORY_METRICS:
        assert metric(*after, labels=labels) == pytest.approx(metric(*before, labels=labels), nan_ok=True)
    for metric in (recall_per_class, precision_per_class, f1_per_class):
        np.testing.assert_allclose(metric(*after, labels=labels)[new_names], metric(*before, labels=labels))
    moved = confusion(*after, labels=labels)[np.ix_(new_names, new_names)]
    np.testing.assert_array_equal(moved, confusion(*before, labels=labels))


@settings(max_examples=50, deadline=None)
@given(category_rows, st.integers(0, 99))
def test_category_metrics_are_between_0_and_1(rows, seed):
    truth, prediction = columns(rows)
    assume((truth >= 0).any())
    values = [metric(truth, prediction) for metric in CATEGORY_METRICS]
    values.append(ece(truth, probabilities_of(rows, seed)))
    assert all(0 <= value <= 1 for value in values)
    recalls = recall_per_class(truth, prediction)
    assert uar(truth, prediction) == pytest.approx(np.nanmean(recalls))
    assert confusion(truth, prediction).sum() == (truth >= 0).sum()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=30), st.integers(0, CLASSES - 1))
def test_perfect_and_constant_categories(truth, constant):
    for metric in CATEGORY_METRICS:
        assert metric(truth, truth) == 1
    assert ece(truth, np.eye(CLASSES)[truth]) == 0
    always = np.full(len(truth), constant)
    occurs = constant in truth
    assert uar(truth, always) == pytest.approx(occurs / len(set(truth)))
    assert wa(truth, always) == pytest.approx(truth.count(constant) / len(truth))


@settings(max_examples=50, deadline=None)
@given(number_rows, st.integers(0, 99))
def test_dimension_metrics_have_bounds_and_ignore_the_order_of_rows(rows, seed):
    truth, prediction = columns(rows)
    order = np.random.default_rng(seed).permutation(len(rows))
    for metric in DIMENSION_METRICS:
        again = metric(truth[order], prediction[order])
        assert again == pytest.approx(metric(truth, prediction), rel=1e-6, abs=1e-9, nan_ok=True)
    assert mae(truth, prediction) >= 0
    concordance, correlation = ccc(truth, prediction), pearson(truth, prediction)
    if not np.isnan(correlation):
        assert -1 <= correlation <= 1
        assert abs(concordance) <= abs(correlation) + 1e-9
        assert concordance * correlation >= 0


@settings(max_examples=50, deadline=None)
@given(number_rows, numbers, st.sampled_from([0.1, 1.0, 20.0]), st.sampled_from([-3.0, 0.0, 50.0]))
def test_ccc_is_symmetric_and_independent_of_a_common_scale(rows, constant, scale, offset):
    truth, prediction = columns(rows)
    expected = ccc(truth, prediction)
    assert ccc(prediction, truth) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    rescaled = ccc(scale * truth + offset, scale * prediction + offset)
    assert rescaled == pytest.approx(expected, abs=1e-6, nan_ok=True)
    varies = len(set(truth)) > 1
    assert ccc(truth, truth) == pytest.approx(1 if varies else np.nan, nan_ok=True)
    assert mae(truth, truth) == 0
    always = np.full(len(truth), constant)
    assert ccc(truth, always) == pytest.approx(0 if varies else np.nan, nan_ok=True)
    assert np.isnan(pearson(truth, always))


@settings(max_examples=25, deadline=None)
@given(category_rows, st.integers(2, 5), st.integers(0, 9))
def test_an_interval_contains_only_values_in_range_and_surrounds_a_perfect_score(rows, speakers, seed):
    truth, prediction = columns(rows)
    speaker = np.arange(len(rows)) % speakers
    interval = bootstrap_interval("uar", truth, prediction, speaker, resamples=40, seed=seed)
    assert interval.n == (truth >= 0).sum()
    assert interval.groups == len(set(speaker[truth >= 0]))
    if interval.groups > 1:
        assert 0 <= interval.low <= interval.high <= 1
        perfect = bootstrap_interval("uar", truth, truth, speaker, resamples=40, seed=seed)
        assert (perfect.low, perfect.value, perfect.high) == (1, 1, 1)
    else:
        assert np.isnan(interval.low) and np.isnan(interval.high)
