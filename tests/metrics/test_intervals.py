"""The vectorised bootstrap against a loop that goes back to the rows, and its coverage on data of known mean."""

import numpy as np
import pytest

from emofuse.metrics import scores as metrics
from emofuse.metrics.intervals import bootstrap_interval
from emofuse.metrics.outcomes import CATEGORIES, Outcomes
from emofuse.metrics.significance import compare_with_reference


def rows(seed: int = 0, speakers: int = 6, n: int = 90):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    return {
        "groups": np.array([f"s{i}" for i in rng.integers(0, speakers, n)]),
        "classes": (truth, np.where(rng.random(n) < 0.5, truth, rng.integers(0, 4, n))),
        "numbers": (truth / 3, truth / 6 + rng.random(n) / 2),
        "probabilities": (truth, rng.dirichlet(np.ones(4), n)),
    }


KINDS = {
    **dict.fromkeys(["uar", "wa", "macro_f1", "weighted_f1"], "classes"),
    **dict.fromkeys(["ccc", "pearson", "mae"], "numbers"),
    "ece": "probabilities",
}


def resampled_by_loop(score, groups, resamples, seed):
    """Draw the speakers as `intervals` does, then join their rows."""
    members = [np.flatnonzero(groups == name) for name in dict.fromkeys(groups)]
    rng = np.random.default_rng(seed)
    return [
        score(np.concatenate([members[i] for i in draw]))
        for draw in rng.integers(len(members), size=(resamples, len(members)))
    ]


@pytest.mark.parametrize("name", list(metrics.ADDITIVE))
def test_interval_equals_a_loop_over_rows(name):
    data = rows()
    truth, prediction = data[KINDS[name]]
    score = getattr(metrics, name)
    drawn = resampled_by_loop(lambda i: score(truth[i], prediction[i]), data["groups"], 60, seed=3)
    found = bootstrap_interval(name, truth, prediction, data["groups"], resamples=60, level=0.8, seed=3)
    assert found.value == pytest.approx(score(truth, prediction))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))
    assert (found.n, found.groups, found.level) == (90, 6, 0.8)


def test_resampling_in_blocks_changes_nothing(monkeypatch):
    data = rows()
    whole = bootstrap_interval("uar", *data["classes"], data["groups"], resamples=50, seed=0)
    monkeypatch.setattr("emofuse.metrics.intervals.DRAWS_AT_ONCE", 40)
    assert bootstrap_interval("uar", *data["classes"], data["groups"], resamples=50, seed=0) == whole


def test_seed_decides():
    data = rows()
    intervals = [bootstrap_interval("ccc", *data["numbers"], data["groups"], seed=seed) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_rows_without_truth_and_their_speakers_are_left_out():
    kept = bootstrap_interval("uar", [0, 1, 0, 1], [0, 1, 1, 1], ["a", "a", "b", "b"], seed=0)
    more = bootstrap_interval("uar", [0, 1, -1, 0, 1, -1], [0, 1, 0, 1, 1, 1], ["a", "a", "a", "b", "b", "c"], seed=0)
    assert kept == more
    assert (more.n, more.groups) == (4, 2)


def test_rows_without_speaker_stand_alone():
    assert bootstrap_interval("wa", [0, 1, 1], [0, 1, 0], [None, None, "a"], seed=0).groups == 3
    assert bootstrap_interval("wa", [0, 1, 1], [0, 1, 0], [np.nan, np.nan, np.nan], seed=0).groups == 3


def test_undefined():
    one = bootstrap_interval("wa", [0, 1], [0, 0], ["a", "a"], seed=0)
    assert one.value == 0.5 and np.isnan([one.low, one.high]).all()
    empty = bootstrap_interval("ccc", [], [], [], seed=0)
    assert np.isnan([empty.value, empty.low, empty.high]).all() and empty.n == empty.groups == 0
    diverged = bootstrap_interval("ccc", [0.1, 0.5, 0.9], [0.2, np.nan, 0.3], ["a", "b", "c"], seed=0)
    assert np.isnan([diverged.value, diverged.low, diverged.high]).all()
    assert np.isnan(paired_difference("wa", [0, 1], [0, 0], [0, 1], ["a", "a"], seed=0).p)


def test_resamples_where_the_metric_is_undefined_are_left_out():
    found = bootstrap_interval("ccc", [0.2, 0.2, 0.1, 0.9], [0.3, 0.3, 0.2, 0.8], ["a", "a", "b", "b"], seed=0)
    assert 0 < found.low < found.high < 1


def test_coverage_of_speakers_that_differ():
    """Rows of a speaker share a shift: an interval over speakers covers the mean ; one over rows does not."""
    rng = np.random.default_rng(0)
    hits = {"speakers": 0, "rows": 0}
    for trial in range(200):
        error = np.repeat(10 + rng.normal(size=40), 20) + 0.1 * rng.normal(size=800)
        for name, groups in (("speakers", np.repeat(np.arange(40), 20)), ("rows", np.arange(800))):
            found = bootstrap_interval("mae", np.zeros(800), error, groups, resamples=200, seed=trial)
            hits[name] += found.low <= 10 <= found.high
    assert 0.88 <= hits["speakers"] / 200 <= 0.99
    assert hits["rows"] / 200 < 0.6


def paired_difference(metric, truth, a, b, groups, *, resamples=1000, seed):
    """Difference a - b of two systems with one seed each."""
    predictions = {"a": np.asarray(a)[None], "b": np.asarray(b)[None]}
    labels = list("abcd") if metric in CATEGORIES else None
    outcomes = Outcomes(metric, np.arange(len(groups)), truth, predictions, groups, labels=labels)
    return compare_with_reference(outcomes, "b", resamples=resamples, seed=seed)["a"]


@pytest.mark.parametrize("name", ["uar", "ccc"])
def test_difference_equals_a_loop_over_rows(name):
    data = rows()
    truth, a = data[KINDS[name]]
    b = np.roll(a, 1)
    score = getattr(metrics, name)
    drawn = np.array(
        resampled_by_loop(lambda i: score(truth[i], a[i]) - score(truth[i], b[i]), data["groups"], 60, seed=5)
    )
    found = paired_difference(name, truth, a, b, data["groups"], resamples=60, seed=5)
    assert found.value == pytest.approx(score(truth, a) - score(truth, b))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert found.p == pytest.approx(min(1, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / 61))


def test_difference_of_equal_systems_and_of_swapped_ones():
    data = rows(speakers=20)
    truth, a = data["classes"]
    equal = paired_difference("uar", truth, a, a, data["groups"], seed=0)
    assert (equal.value, equal.low, equal.high, equal.p) == (0, 0, 0, 1)
    better = paired_difference("uar", truth, truth, a, data["groups"], seed=0)
    worse = paired_difference("uar", truth, a, truth, data["groups"], seed=0)
    assert better.low > 0 and better.p == pytest.approx(2 / 1001)
    assert (worse.value, worse.low, worse.high, worse.p) == pytest.approx(
        (-better.value, -better.high, -better.low, better.p)
    )


def test_pairing_is_tighter_than_two_separate_intervals():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(30), 10)
    shift = np.repeat(rng.random(30), 10)
    a, b = shift, shift + 0.05 + 0.01 * rng.random(300)
    difference = paired_difference("mae", np.zeros(300), a, b, groups, seed=0)
    alone = bootstrap_interval("mae", np.zeros(300), a, groups, seed=0)
    assert difference.high < 0
    assert difference.high - difference.low < 0.1 * (alone.high - alone.low)


def test_p_is_spread_evenly_where_the_systems_do_not_differ():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 5)
    p = [
        paired_difference("mae", np.zeros(150), *rng.normal(size=(2, 150)), groups, resamples=200, seed=i).p
        for i in range(200)
    ]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.12
    assert 0.4 <= np.mean(p) <= 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuracy"}, "'accuracy'.*uar"),
        ({"resamples": 0}, "resamples"),
        ({"level": 95}, "level"),
        ({"groups": ["a"]}, "2 .*1 "),
    ],
)
def test_input_that_does_not_fit(options, message):
    given = {"metric": "wa", "truth": [0, 1], "prediction": [0, 1], "groups": ["a", "b"], "seed": 0, **options}
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(**given)
