"""Comparisons against loops over rows and enumeration, corrections against second formulas, error rates on noise."""

from itertools import chain, combinations, product

import numpy as np
import pytest

from emofuse.metrics import scores as metrics
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import (
    Comparison,
    compare_all,
    compare_with_reference,
    holm,
    smallest_detectable,
    system_intervals,
)

LABELS = ["anger", "joy", "neutral", "sadness"]
NUMBERS = ("ccc", "pearson", "mae")


def made(metric, *, systems=3, seeds=3, speakers=6, n=90, seed=0):
    """Systems of different quality whose answers differ by seed; the first rows have no truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    predictions = {}
    for i in range(systems):
        shape = (seeds, n)
        if metric in NUMBERS:
            predictions[f"s{i}"] = truth / 6 + rng.random(shape) * (i + 1) / 4
        elif metric == "ece":
            predictions[f"s{i}"] = rng.dirichlet(np.ones(4) + i, shape)
        else:
            right = rng.random(shape) < 0.4 + 0.1 * i
            predictions[f"s{i}"] = np.where(right, truth, rng.integers(0, 4, shape))
    if metric in NUMBERS:
        truth = np.r_[np.full(3, np.nan), truth[3:] / 3]
    else:
        truth[:3] = -1
    names = np.array([f"v{i}" for i in rng.integers(0, speakers, n)])
    return Outcomes(metric, np.arange(n), truth, predictions, names, None if metric in NUMBERS else LABELS)


def score(outcomes, system, rows, seeds):
    metric = getattr(metrics, outcomes.metric)
    options = {} if outcomes.metric in NUMBERS else {"labels": LABELS}
    return np.mean([metric(outcomes.truth[rows], outcomes.predictions[system][s][rows], **options) for s in seeds])


def present(outcomes):
    return np.flatnonzero(outcomes.truth >= 0)


def draws_by_loop(outcomes, value, resamples, seed):
    """`value(rows, seeds)` of drawn speakers, plus what drawn seeds change, going back to the rows."""
    rows, seeds = present(outcomes), np.arange(len(outcomes.predictions["s0"]))
    members = [rows[outcomes.speakers[rows] == name] for name in dict.fromkeys(outcomes.speakers[rows])]
    speakers = np.random.default_rng(seed).integers(len(members), size=(resamples, len(members)))
    less = len(seeds) - 1
    picked = np.random.default_rng([seed, 1]).multinomial(less, np.full(len(seeds), 1 / len(seeds)), size=resamples)
    return [
        value(np.concatenate([members[i] for i in draw]), seeds)
        + value(rows, np.repeat(seeds, picks))
        - value(rows, seeds)
        for draw, picks in zip(speakers, picked, strict=True)
    ]


@pytest.mark.parametrize("metric", list(metrics.ADDITIVE))
def test_bootstrap_equals_a_loop_over_rows(metric):
    outcomes = made(metric)
    rows, seeds = present(outcomes), range(3)
    intervals = system_intervals(outcomes, resamples=40, level=0.8, seed=3)
    for name, found in intervals.items():
        drawn = draws_by_loop(outcomes, lambda i, s, name=name: score(outcomes, name, i, s), 40, 3)
        assert found.value == pytest.approx(score(outcomes, name, rows, seeds))
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))
        assert (found.n, found.groups, found.level) == (87, 6, 0.8)
    for found in compare_all(outcomes, resamples=40, level=0.8, seed=3):
        drawn = np.array(
            draws_by_loop(
                outcomes, lambda i, s, c=found: score(outcomes, c.a, i, s) - score(outcomes, c.b, i, s), 40, 3
            )
        )
        assert found.difference == pytest.approx(intervals[found.a].value - intervals[found.b].value)
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.1, 0.9])))
        assert found.standard_error == pytest.approx(drawn.std())
        assert found.p_bootstrap == pytest.approx(min(1, 2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / 41))


@pytest.mark.parametrize("metric", list(metrics.ADDITIVE))
def test_changes_from_one_are_the_differences_of_all_pairs(metric):
    outcomes = made(metric)
    pairs = {(c.b, c.a): c for c in compare_all(outcomes, resamples=60, seed=3)}
    reference = outcomes.systems[-1]
    found = compare_with_reference(outcomes, reference, resamples=60, seed=3)
    assert set(found) == set(outcomes.systems) - {reference}
    for name, change in found.items():
        pair = pairs[reference, name]
        assert (change.value, change.low, change.high) == pytest.approx((pair.difference, pair.low, pair.high))
        assert change.p == pytest.approx(pair.p_bootstrap) and (change.n, change.groups) == (87, 6)


@pytest.mark.parametrize("metric", list(metrics.ADDITIVE))
def test_exact_permutation_equals_enumeration_over_rows(metric):
    """All 2^6 swaps; the code goes through half of them."""
    outcomes = made(metric)
    rows = present(outcomes)
    names = sorted(set(outcomes.speakers[rows]))
    options = {} if metric in NUMBERS else {"labels": LABELS}
    for found in compare_all(outcomes, resamples=64, seed=0):
        a, b = outcomes.predictions[found.a], outcomes.predictions[found.b]
        changes = []
        for swap in product([False, True], repeat=len(names)):
            swapped = np.isin(outcomes.speakers, [name for name, yes in zip(names, swap, strict=True) if yes])
            swapped = swapped[:, None] if metric == "ece" else swapped
            pairs = [(np.where(swapped, y, x)[rows], np.where(swapped, x, y)[rows]) for x, y in zip(a, b, strict=True)]
            value = getattr(metrics, metric)
            truth = outcomes.truth[rows]
            changes.append(np.mean([value(truth, x, **options) - value(truth, y, **options) for x, y in pairs]))
        assert found.p_permutation == pytest.approx(np.mean(np.abs(changes) >= abs(changes[0]) - 1e-12))


def test_random_permutations_approach_the_exact_p():
    outcomes = made("uar", speakers=13, n=400)
    exact = compare_all(outcomes, resamples=4096, seed=0)
    close = compare_all(outcomes, resamples=4095, seed=0)
    pairs = [(x.p_permutation, y.p_permutation) for x, y in zip(exact, close, strict=True)]
    assert any(x != y for x, y in pairs)
    assert all(y == pytest.approx(x, abs=0.03) for x, y in pairs)


def test_resampling_in_blocks_changes_nothing(monkeypatch):
    outcomes = made("macro_f1", speakers=14)
    whole = compare_all(outcomes, resamples=100, seed=0), system_intervals(outcomes, resamples=100, seed=0)
    exact = compare_all(outcomes, resamples=2**13, seed=0)
    monkeypatch.setattr("emofuse.metrics.intervals.DRAWS_AT_ONCE", 1000)
    monkeypatch.setattr("emofuse.metrics.significance.DRAWS_AT_ONCE", 100_000)
    assert (compare_all(outcomes, resamples=100, seed=0), system_intervals(outcomes, resamples=100, seed=0)) == whole
    assert [c.p_permutation for c in compare_all(outcomes, resamples=2**13, seed=0)] == [c.p_permutation for c in exact]


def test_p_is_spread_evenly_where_the_systems_do_not_differ():
    """Two systems alike up to noise that a speaker shares: either p is rarely below 0.05."""
    rng = np.random.default_rng(0)
    speakers, found = np.repeat(np.arange(15), 4), []
    for _ in range(300):
        answers = {name: rng.normal(size=(1, 15)).repeat(4, axis=1) + rng.normal(size=(1, 60)) for name in "ab"}
        found += compare_all(Outcomes("mae", np.arange(60), np.zeros(60), answers, speakers), resamples=200, seed=0)
    p = np.array([c.p_permutation for c in found])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert abs((p <= level).mean() - level) < 3.5 * np.sqrt(level * (1 - level) / 300)
    assert np.mean([c.p_holm <= 0.05 for c in found]) <= 0.08


def test_intervals_cover_the_truth_under_noise_of_speakers_and_seeds():
    """Values with noise of speakers, of seeds and of both together; speakers alone miss too often."""
    rng = np.random.default_rng(1)
    hits = {"all": 0, "speakers": 0}
    for trial in range(300):
        noise = 0.3 * rng.normal(size=(1, 30)) + 0.15 * rng.normal(size=(5, 1)) + rng.normal(size=(5, 30))
        answers = {"a": 10 + noise, "b": np.zeros((5, 30))}
        outcomes = Outcomes("mae", np.arange(30), np.zeros(30), answers, np.arange(30))
        found = compare_all(outcomes, resamples=200, seed=trial)[0]
        hits["all"] += found.low <= 10 <= found.high
        mean = Outcomes("mae", np.arange(30), np.zeros(30), {"a": answers["a"].mean(axis=0)[None]}, np.arange(30))
        alone = system_intervals(mean, resamples=200, seed=trial)["a"]
        hits["speakers"] += alone.low <= 10 <= alone.high
    assert 0.92 <= hits["all"] / 300 <= 0.99
    assert hits["speakers"] / 300 <= 0.9


def test_seeds_alone_have_the_variance_of_their_mean():
    values = np.array([1.0, 2.0, 4.0])
    answers = {"a": np.repeat(values[:, None], 20, axis=1), "b": np.zeros((3, 20))}
    found = compare_all(Outcomes("mae", np.arange(20), np.zeros(20), answers, np.arange(20)), resamples=20_000, seed=0)
    assert found[0].standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(3), rel=0.02)


def test_equal_systems_ties_and_swapped_names():
    outcomes = made("uar", systems=1)
    same = {"a": outcomes.predictions["s0"], "b": outcomes.predictions["s0"]}
    tied = Outcomes("uar", outcomes.keys, outcomes.truth, same, outcomes.speakers, LABELS)
    found = compare_all(tied, resamples=100, seed=0)[0]
    assert (found.difference, found.low, found.high, found.standard_error) == (0, 0, 0, 0)
    assert (found.p_bootstrap, found.p_permutation, found.p_holm, found.better()) == (1, 1, 1, None)
    three = made("ccc")
    backward = Outcomes("ccc", three.keys, three.truth, dict(reversed(three.predictions.items())), three.speakers)
    there = {(c.a, c.b): c for c in compare_all(three, resamples=100, seed=0)}
    for back in compare_all(backward, resamples=100, seed=0):
        other = there[back.b, back.a]
        assert (back.difference, back.low, back.high) == pytest.approx((-other.difference, -other.high, -other.low))
        assert (back.p_bootstrap, back.p_permutation) == pytest.approx((other.p_bootstrap, other.p_permutation))


def test_one_system_one_seed_one_speaker():
    assert compare_all(made("uar", systems=1), resamples=10, seed=0) == []
    single = made("uar", seeds=1)
    many = Outcomes(
        "uar",
        single.keys,
        single.truth,
        {name: np.repeat(values, 4, axis=0) for name, values in single.predictions.items()},
        single.speakers,
        LABELS,
    )  # equal seeds add nothing
    for one, four in zip(
        compare_all(single, resamples=50, seed=0), compare_all(many, resamples=50, seed=0), strict=True
    ):
        assert (one.low, one.high, one.p_holm) == pytest.approx((four.low, four.high, four.p_holm))
    alone = made("uar", speakers=1)
    assert np.isnan([[i.low, i.high] for i in system_intervals(alone, resamples=10, seed=0).values()]).all()
    for found in compare_all(alone, resamples=10, seed=0):
        assert np.isfinite(found.difference) and found.better() is None
        assert np.isnan([found.low, found.high, found.standard_error]).all()
        assert np.isnan([found.p_bootstrap, found.p_permutation, found.p_holm]).all()


def test_a_class_that_one_speaker_has_may_miss_in_a_resample():
    truth, speakers = np.array([0, 1, 0, 1, 2]), np.array(["a", "a", "b", "b", "b"])
    answers = {"x": truth[None], "y": np.zeros((1, 5), int)}
    found = compare_all(Outcomes("uar", np.arange(5), truth, answers, speakers, LABELS), resamples=200, seed=0)[0]
    assert (found.low, found.high) == (0.5, pytest.approx(2 / 3))  # speaker a alone has two classes


def test_a_diverged_system_takes_no_other_with_it():
    outcomes = made("ccc")
    broken = {**outcomes.predictions, "s0": np.full((3, 90), np.nan)}
    found = compare_all(Outcomes("ccc", outcomes.keys, outcomes.truth, broken, outcomes.speakers), resamples=50, seed=0)
    for comparison in found:
        figures = [comparison.difference, comparison.low, comparison.p_permutation, comparison.p_holm]
        assert np.isnan(figures).all() if comparison.a == "s0" else np.isfinite(figures).all()
    assert found[-1].p_holm == max(found[-1].p_bootstrap, found[-1].p_permutation)


def test_better_knows_where_less_is_better():
    def comparison(metric, difference, p):
        return Comparison("a", "b", metric, difference, 0, 0, 0.95, 0, p, p, p)

    assert comparison("uar", 0.1, 0.01).better() == comparison("mae", -0.1, 0.01).better() == "a"
    assert comparison("uar", -0.1, 0.05).better() == comparison("ece", 0.1, 0.05).better() == "b"
    assert comparison("uar", 0.1, 0.03).better(alpha=0.02) is comparison("uar", 0.1, np.nan).better() is None


def test_holm_equals_the_closed_test_of_bonferroni():
    """Holm 1979: a hypothesis falls if Bonferroni rejects every intersection that holds it."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 7):
        p = np.round(rng.random(m) ** 3, 2)
        subsets = list(chain.from_iterable(combinations(range(m), size) for size in range(1, m + 1)))
        closed = [max(min(1, len(s) * p[list(s)].min()) for s in subsets if i in s) for i in range(m)]
        assert holm(p) == pytest.approx(closed)


def test_intervals_of_shares_stay_between_0_and_1():
    """Seeds that differ near the end of the range would lead beyond it."""
    truth, speakers = np.zeros(40, int), np.repeat(np.arange(10), 4)
    answers = np.zeros((3, 40), int)
    answers[0, :12] = 1
    outcomes = Outcomes("wa", np.arange(40), truth, {"a": answers, "b": 1 - answers}, speakers, labels=["x", "y"])
    found = system_intervals(outcomes, resamples=500, seed=0)
    assert found["a"].high == 1 and found["b"].low == 0


def test_holm_without_tests():
    assert holm([]).shape == (0,)
    assert holm([np.nan, 0.02, 0.03]) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)


def test_a_study_finds_the_smallest_detectable_difference_as_often_as_promised():
    rng = np.random.default_rng(0)
    true = smallest_detectable(0.7, power=0.9, alpha=0.01)
    estimates = rng.normal(true, 0.7, 20_000)
    assert (np.abs(estimates) / 0.7 > 2.5758).mean() == pytest.approx(0.9, abs=0.01)
    assert np.isnan(smallest_detectable(np.nan))
    with pytest.raises(ValueError, match="80"):
        smallest_detectable(0.1, power=80)
