"""Changed answers, breakdowns and side-by-side tables against counting by hand and the metrics themselves."""

import numpy as np
import pandas as pd
import pytest

from emofuse.metrics import scores as metrics
from emofuse.metrics.outcomes import Outcomes
from emofuse.metrics.significance import system_intervals
from emofuse.report.behaviour import CHANGES, MISSING, breakdown, changed_answers, changes, confusions, recalls

LABELS = ["anger", "joy", "neutral"]


def made(metric="uar", n=120, seeds=2, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    answers = {
        name: np.where(rng.random((seeds, n)) < right, truth, rng.integers(0, 3, (seeds, n)))
        for name, right in (("audio_only", 0.3), ("fused", 0.6))
    }
    truth[:5] = -1
    if metric in ("ccc", "mae"):
        truth, answers = np.where(truth < 0, np.nan, truth / 2), {k: v / 2 for k, v in answers.items()}
    keys = np.array([f"u{i}" for i in range(n)])
    return Outcomes(metric, keys, truth, answers, rng.integers(0, 8, n), LABELS)


def options(**more):
    return {"resamples": 50, "seed": 0, **more}


def test_changes_row_by_row():
    outcomes = made()
    found = changes(outcomes, "audio_only", "fused")
    assert found.index.tolist() == outcomes.keys.tolist() and found.shape == (120, 2)
    for (key, row), truth in zip(found.iterrows(), outcomes.truth, strict=True):
        for s, kind in enumerate(row):
            i = int(str(key)[1:])
            before, after = outcomes.predictions["audio_only"][s, i], outcomes.predictions["fused"][s, i]
            if truth < 0:
                assert pd.isna(kind)
            elif before == after:
                assert kind == ("same right" if after == truth else "same wrong")
            else:
                assert kind == f"{'right' if before == truth else 'wrong'} to {'right' if after == truth else 'wrong'}"


def test_changed_answers_are_counted_and_their_gain_is_the_gain_in_accuracy():
    outcomes = made()
    found = changed_answers(outcomes, "audio_only", "fused", **options())
    counts = found.counts
    assert tuple(counts) == CHANGES and sum(counts.values()) == 2 * 115 == found.changed.n
    gain = (counts["wrong to right"] - counts["right to wrong"]) / 230
    wa = system_intervals(Outcomes("wa", *arguments(outcomes)), **options())
    assert gain == pytest.approx(wa["fused"].value - wa["audio_only"].value)
    changed = 230 - counts["same right"] - counts["same wrong"]
    assert found.changed.value == pytest.approx(changed / 230)
    assert found.right.value == pytest.approx(counts["wrong to right"] / changed) and found.right.n == changed
    before_right = counts["same right"] + counts["right to wrong"]
    assert found.broken.value == pytest.approx(counts["right to wrong"] / before_right)
    assert found.rescued.value == pytest.approx(counts["wrong to right"] / (230 - before_right))
    assert found.right.groups == 8 and found.right.low < found.right.value < found.right.high


def arguments(outcomes):
    return outcomes.keys, outcomes.truth, outcomes.predictions, outcomes.speakers, outcomes.labels


def test_nothing_changed_and_rows_without_speaker():
    outcomes = made()
    same = changed_answers(outcomes, "fused", "fused", **options())
    assert same.changed.value == 0 and np.isnan(same.right.value) and same.right.n == 0
    alone = Outcomes("uar", outcomes.keys, outcomes.truth, outcomes.predictions, [None] * 120, LABELS)
    assert changed_answers(alone, "audio_only", "fused", **options()).changed.groups == 115  # with both seeds


@pytest.mark.parametrize("metric", ["uar", "wa", "ccc", "mae"])
def test_breakdown_is_the_metric_of_the_part(metric):
    outcomes = made(metric)
    rng = np.random.default_rng(1)
    column = pd.Series(rng.choice(["male", "female", None], 130), index=[f"u{i}" for i in rng.permutation(130)])
    found = breakdown(outcomes, column, **options())
    assert found["value"].tolist() == ["female", "female", "male", "male", MISSING, MISSING]
    for row in found.itertuples():
        there = column.loc[outcomes.keys]
        rows = (there.isna() if row.value == MISSING else there == row.value).to_numpy() & outcomes.known
        named = {"labels": LABELS} if metric in ("uar", "wa") else {}
        values = [
            getattr(metrics, metric)(outcomes.truth[rows], prediction[rows], **named)
            for prediction in outcomes.predictions[row.system]
        ]
        assert row.score == pytest.approx(np.mean(values)) and row.low <= row.score <= row.high
        assert row.n == rows.sum() and row.speakers == len(set(outcomes.speakers[rows]))
        assert row.classes == (3 if named else 0)


def test_numbers_are_cut_at_quantiles_and_a_few_values_are_not():
    outcomes = made()
    seconds = pd.Series(np.linspace(1, 5, 120), index=outcomes.keys)
    found = breakdown(outcomes, seconds, bins=2, **options()).drop_duplicates("value")
    assert found["value"].tolist() == ["1.17 to 3.08", "over 3.08 to 5"]
    assert found["n"].tolist() == [58, 57]
    near = pd.Series(1000 + np.arange(120) / 1e6, index=outcomes.keys)
    assert breakdown(outcomes, near, **options())["value"].nunique() == 4
    mostly_zero = pd.Series(np.maximum(np.arange(120) - 80, 0), index=outcomes.keys)
    assert breakdown(outcomes, mostly_zero, **options()).groupby("value")["n"].first().sum() == 115
    session = pd.Series(np.arange(120) % 10 + 1.0, index=outcomes.keys)
    values = breakdown(outcomes, session, **options())["value"].unique().tolist()
    assert values == [str(i) for i in range(1, 11)]
    scripted = pd.Series(np.arange(120) % 2 == 0, index=outcomes.keys)
    assert breakdown(outcomes, scripted, **options())["value"].unique().tolist() == ["False", "True"]


def test_a_part_of_one_speaker_has_no_interval():
    outcomes = made()
    found = breakdown(outcomes, pd.Series(outcomes.speakers, index=outcomes.keys), **options())
    assert len(found) == 16 and (found["speakers"] == 1).all()
    assert found["score"].notna().all() and found[["low", "high"]].isna().all(axis=None)


def test_recalls_side_by_side():
    outcomes = made()
    found = recalls(outcomes, **options())
    wide = found.pivot(index="value", columns="system", values="score").loc[LABELS]
    for name, predictions in outcomes.predictions.items():
        expected = np.mean([metrics.recall_per_class(outcomes.truth, p, labels=LABELS) for p in predictions], axis=0)
        assert wide[name].to_numpy() == pytest.approx(expected)
    assert found["value"].unique().tolist() == LABELS
    uar = system_intervals(outcomes, **options())
    assert wide.mean().to_dict() == pytest.approx({name: interval.value for name, interval in uar.items()})
    without = recalls(outcomes.where(outcomes.truth != 1), **options())
    assert without["value"].unique().tolist() == ["anger", "neutral"]


def test_confusions_side_by_side():
    outcomes = made()
    counts, shares = confusions(outcomes, shares=False), confusions(outcomes)
    assert counts.index.tolist() == LABELS and counts.shape == (3, 6)
    for name, predictions in outcomes.predictions.items():
        expected = sum(metrics.confusion(outcomes.truth, p, labels=LABELS) for p in predictions)
        assert counts[name].to_numpy().tolist() == expected.tolist()
        assert shares[name].sum(axis=1).to_numpy() == pytest.approx(1)
        assert shares[name].loc["joy", "anger"] == pytest.approx(expected[1, 0] / expected[1].sum())
    assert confusions(outcomes.where(outcomes.truth != 1))["fused"].loc["joy"].isna().all()


def test_input_that_does_not_fit():
    numbers = made("ccc")
    for work in (lambda: recalls(numbers, seed=0), lambda: confusions(numbers), lambda: changes(numbers, "a", "b")):
        with pytest.raises(ValueError, match="metric of classes"):
            work()
    outcomes = made()
    with pytest.raises(ValueError, match=r"'late'.* audio_only, fused"):
        changes(outcomes, "audio_only", "late")
    with pytest.raises(ValueError, match=r"115 keys.* u5"):
        breakdown(outcomes, pd.Series(range(120)), seed=0)
    with pytest.raises(ValueError, match="key u1 "):
        breakdown(outcomes, pd.Series([1, 2], index=["u1", "u1"]), seed=0)
