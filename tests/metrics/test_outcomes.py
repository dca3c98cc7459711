"""Answers are joined by key, and what does not fit is refused."""

import numpy as np
import pandas as pd
import pytest

from emofuse.errors import EmofuseError
from emofuse.metrics.outcomes import Outcomes, join_predictions
from emofuse.metrics.scores import ADDITIVE

LABELS = ["calm", "tense"]


def table(order=(0, 1, 2), **columns):
    made = pd.DataFrame(
        {
            "key": ["x", "y", "z"],
            "speaker": ["a", "a", None],
            "truth": [0, 1, -1],
            "probability_0": [0.9, 0.6, 0.2],
            "probability_1": [0.1, 0.4, 0.8],
            "true_valence": [0.1, np.nan, 0.9],
            "valence": [0.2, 0.3, 0.8],
        }
    )
    return made.assign(**columns).iloc[list(order)]


def test_tables_are_joined_by_key():
    tables = {"one": [table(), table((2, 0, 1))], "two": [table((1, 2, 0)), table(probability_1=[0.95, 0.4, 0.8])]}
    found = join_predictions(tables, "uar", labels=LABELS)
    assert found.keys.tolist() == ["x", "y", "z"] and found.truth.tolist() == [0, 1, -1]
    assert found.speakers.tolist()[:2] == ["a", "a"] and found.systems == ["one", "two"]
    assert found.predictions["one"].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert found.predictions["two"].tolist() == [[0, 0, 1], [1, 0, 1]]
    assert join_predictions(tables, "ece", labels=LABELS).predictions["one"].shape == (2, 3, 2)
    valence = join_predictions(tables, "ccc", dimension="valence")
    assert valence.known.tolist() == [True, False, True]
    assert valence.predictions["two"][0].tolist() == [0.2, 0.3, 0.8]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table((0, 1)), r"two, table 1: 1 utterances .*\bz\b"),
        (table((0, 1, 1, 2)), "two, table 1: utterance y"),
        (table(truth=[0, 0, -1]), "two, table 1: truth of y differs"),
        (table((2, 1, 0), speaker=["a", "b", None]), "two, table 1: speaker of y differs"),
    ],
)
def test_tables_that_differ(other, message):
    with pytest.raises(EmofuseError, match=message):
        join_predictions({"one": [table()], "two": [other]}, "uar", labels=LABELS)


def test_other_numbers_of_seeds_and_metrics_that_do_not_fit_the_labels():
    with pytest.raises(EmofuseError, match=r"seeds \(one 2, two 1\)"):
        join_predictions({"one": [table(), table()], "two": [table()]}, "uar", labels=LABELS)
    for none in ({}, {"one": []}):
        with pytest.raises(EmofuseError, match="seeds"):
            join_predictions(none, "uar", labels=LABELS)
    with pytest.raises(ValueError, match="metric ccc with dimension None"):
        join_predictions({"one": [table()]}, "ccc")
    with pytest.raises(ValueError, match="metric ece with dimension valence"):
        join_predictions({"one": [table()]}, "ece", dimension="valence")


@pytest.mark.parametrize("metric", list(ADDITIVE))
def test_sums_over_the_speakers_have_the_score_of_the_rows(metric):
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, 40)
    numbers = np.where(truth < 0, np.nan, truth / 2)
    answers = rng.integers(0, 2, (2, 40))
    if metric == "ece":
        answers = rng.dirichlet(np.ones(2), (2, 40))
    of_classes = metric not in ("ccc", "pearson", "mae")
    outcomes = Outcomes(
        metric, np.arange(40), truth if of_classes else numbers, {"a": answers}, rng.integers(0, 5, 40), LABELS
    )
    sums, n = outcomes.sums()
    assert sums.shape[:3] == (5, 1, 2) and n == (truth >= 0).sum()
    half = ADDITIVE[metric]
    for seed in range(2):
        direct = half.score(half.statistics(outcomes.truth, answers[seed], LABELS).sum(axis=0))
        assert half.score(sums.sum(axis=0))[0, seed] == pytest.approx(direct)


def test_some_rows():
    outcomes = join_predictions({"one": [table(), table()]}, "ece", labels=LABELS)
    part = outcomes.where(outcomes.known)
    assert part.keys.tolist() == ["x", "y"] and part.predictions["one"].shape == (2, 2, 2)
    assert outcomes.where([2, 0]).keys.tolist() == ["z", "x"]


def test_no_truth_at_all():
    sums, n = join_predictions({"one": [table(truth=-1)]}, "uar", labels=LABELS).sums()
    assert sums.shape == (0, 1, 1, 4) and n == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuracy"}, "'accuracy'"),
        ({"labels": None}, "labels"),
        ({"predictions": {}}, "predictions are empty"),
        ({"keys": ["x", "x"]}, "key"),
        ({"truth": [0]}, "2 keys, but 1 rows of truth and 2 speakers"),
        ({"predictions": {"a": [0, 1]}}, r"a: .*\(2,\)"),
        (
            {"predictions": {"a": [[0, 1]], "b": [[0, 1], [0, 1]]}},
            r"b: predictions of shape \(2, 2\), expected \(1, 2\)",
        ),
        ({"predictions": {"a": [[0, 1]], "b": [[0]]}}, r"b: predictions of shape \(1, 1\), expected \(1, 2\)"),
        ({"predictions": {"a": [[0, -1]]}}, "a: no prediction for y, which has a truth"),
        ({"predictions": {"a": [[0, 2]]}}, "class 2, but only 2 labels"),
        ({"metric": "ece"}, r"a: predictions of shape \(1, 2\), expected \(1, 2, classes\)"),
    ],
)
def test_outcomes_that_do_not_fit(options, message):
    given = {
        "metric": "uar",
        "keys": ["x", "y"],
        "truth": [0, 1],
        "predictions": {"a": [[0, 1]]},
        "speakers": ["a", "b"],
        "labels": LABELS,
        **options,
    }
    with pytest.raises(ValueError, match=message):
        Outcomes(**given)
