"""Ranks against Demšar's published example and SciPy; win, tie, loss by hand."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from emofuse.metrics.ranking import average_ranks, win_tie_loss
from emofuse.metrics.significance import Comparison

# Demšar 2006, table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets.
DEMSAR = [
    (4, 3, 2, 1), (1, 2, 3, 4), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1), (1, 2.5, 4, 2.5), (3, 2, 4, 1),
    (2.5, 2.5, 4, 1), (4, 3, 2, 1), (2.5, 2.5, 2.5, 2.5), (4, 2.5, 1, 2.5), (3, 2, 4, 1), (4, 1, 2, 3), (3, 1, 4, 2),
]  # fmt: skip
SYSTEMS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def tasks(rows, systems=SYSTEMS):
    return {f"task {i}": dict(zip(systems, map(float, row), strict=True)) for i, row in enumerate(rows)}


def test_the_published_example():
    values = tasks(DEMSAR)
    found = average_ranks(values, lower_is_better=values, alpha=0.1)
    assert {name: round(rank, 3) for name, rank in found.ranks.items()} == {
        "C4.5+m+cf": 1.964, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5": 3.143,
    }  # fmt: skip
    assert list(found.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert found.tasks == 14
    assert found.critical_difference == pytest.approx(1.12, abs=0.005)
    assert average_ranks(values).critical_difference == pytest.approx(1.25, abs=0.005)
    assert 0.01 < found.p < 0.05  # F = 3.69 above the critical 2.85 at 0.05
    assert found.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


def test_friedmans_statistic_is_scipys():
    """Without ties; the F of Iman & Davenport is a function of it."""
    from scipy.stats import f

    rows = np.random.default_rng(0).random((9, 5))
    chi = friedmanchisquare(*rows.T).statistic
    expected = f.sf(8 * chi / (9 * 4 - chi), 4, 32)
    assert average_ranks(tasks(rows, "abcde")).p == pytest.approx(expected)


def test_friedman_and_nemenyi_keep_their_level():
    rng = np.random.default_rng(0)
    wrong, apart = [], []
    for _ in range(400):
        found = average_ranks(tasks(rng.random((12, 5)), "abcde"))
        ranks = list(found.ranks.values())
        wrong.append(found.p <= 0.05)
        apart.append(ranks[-1] - ranks[0] >= found.critical_difference)
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.035)
    assert np.mean(apart) <= 0.08


def test_groups_are_the_largest_sets_within_the_critical_difference():
    rows = [(0.9, 0.8, 0.3, 0.2, 0.1)] * 30  # ranks 1 to 5, critical difference 1.11
    found = average_ranks(tasks(rows, "abcde"))
    assert found.groups == (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))
    assert found.p == 0
    assert average_ranks(tasks(rows * 2, "abcde")).groups == ()
    equal = average_ranks(tasks([(0.5, 0.5, 0.5)] * 4, "abc"))
    assert equal.p == 1 and equal.groups == (("a", "b", "c"),) and set(equal.ranks.values()) == {2.0}


def test_few_tasks_one_system_and_missing_values():
    two = average_ranks(tasks(DEMSAR[:2]))
    assert two.tasks == 2 and np.isnan([two.p, two.critical_difference]).all() and two.groups == ()
    assert np.isnan(average_ranks(tasks([(1,)] * 5, "a")).critical_difference)
    assert average_ranks({}).ranks == {}
    values = tasks(DEMSAR)
    values["task 0"]["C4.5"] = np.nan
    del values["task 1"]["C4.5"]
    assert average_ranks(values).tasks == 12
    assert np.isnan(list(average_ranks({"x": {"a": np.nan, "b": 1.0}}).ranks.values())).all()
    with pytest.raises(ValueError, match=r"alpha.*5"):
        average_ranks(values, alpha=5)


def comparison(a, b, difference, p, metric="uar"):
    return Comparison(a, b, metric, difference, 0, 0, 0.95, 0, p, p, p)


def test_win_tie_loss():
    found = win_tie_loss(
        {
            "one": [comparison("a", "b", 0.1, 0.01), comparison("a", "c", -0.1, 0.04)],
            "two": [comparison("b", "a", 0.1, 0.2), comparison("a", "c", 0.1, np.nan)],
            "error": [comparison("a", "b", 0.1, 0.01, "mae")],
        }
    ).set_index(["system", "other"])
    assert found.loc[("a", "b")].tolist() == [1, 1, 1]
    assert found.loc[("b", "a")].tolist() == [1, 1, 1]
    assert found.loc[("a", "c")].tolist() == [0, 0, 1]
    assert found.loc[("c", "a")].tolist() == [1, 0, 0]
    assert list(win_tie_loss({}).columns) == ["system", "other", "wins", "ties", "losses"]
