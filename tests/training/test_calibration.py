"""Calibration on data whose right answer is known: the temperature put in, the coverage on speakers never seen."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from emofuse.metrics import scores as metrics
from emofuse.metrics.calibration import Calibration, apply_temperature
from emofuse.training.calibration import (
    cross_fitted,
    dimension_interval,
    fit_calibration,
    fit_temperature,
    labelled_rows,
    risk_coverage,
    uncertain_below,
)

LABELS = ["neutral", "happiness", "sadness", "anger"]


def softmax(z):
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def answers(n=4000, scale=2.0, temperature=1.0, seed=0):
    """Truth drawn from softmax(z), and the logits that a model of that temperature says."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, scale, (n, len(LABELS)))
    truth = (softmax(z).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return truth, z * temperature


def table(n=900, speakers=12, temperature=3.0, seed=0):
    truth, z = answers(n, 1.5, temperature, seed)
    rng = np.random.default_rng(seed + 1)
    df = pd.DataFrame(softmax(z).astype(np.float32), columns=[f"probability_{k}" for k in range(4)])
    df["key"] = [f"row{i:04}" for i in range(n)]
    df["speaker"] = [f"s{i}" for i in rng.integers(0, speakers, n)]
    df["truth"] = truth
    for name in ("arousal", "valence", "dominance"):
        df[f"true_{name}"] = rng.random(n)
        df[name] = df[f"true_{name}"] + rng.normal(0, 0.05, n)
    return df


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(temperature):
    truth, z = answers(temperature=temperature)
    assert fit_temperature(z, truth) == pytest.approx(temperature, rel=0.1)
    assert fit_temperature(np.log(softmax(z)), truth) == pytest.approx(fit_temperature(z, truth))


def test_temperature_has_the_lowest_loss():
    truth, z = answers(n=500, temperature=2.0)

    def loss(t):
        own, at = softmax(z), np.log(softmax(z / t))
        return -at[np.arange(len(truth)), truth].sum() - 10 / len(truth) * (own * at).sum()

    found = fit_temperature(z, truth)
    assert loss(found) < min(loss(found * 0.99), loss(found * 1.01))


def test_temperature_stays_near_one_with_few_rows_and_within_bounds_with_many():
    sure_and_right = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 0.5 < fit_temperature(sure_and_right, [0, 1]) < 1
    assert fit_temperature(np.tile(sure_and_right, (5000, 1)), [0, 1] * 5000) == pytest.approx(0.2)
    assert fit_temperature(np.tile(sure_and_right, (5000, 1)), [1, 0] * 5000) == pytest.approx(10)
    assert fit_temperature(np.zeros((0, 2)), []) == 1


def test_rows_without_truth_do_not_count():
    truth, z = answers(n=300)
    more = np.concatenate([z, 9 * z[::-1]])
    found = fit_temperature(z, truth)
    assert fit_temperature(more, [*truth, *[-1] * 300]) == pytest.approx(found)


def test_a_probability_of_zero_is_no_accident():
    with np.errstate(divide="ignore"):
        logs = np.log(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    assert fit_temperature(logs, [0, 1, 0]) == pytest.approx(1, abs=0.01)  # as sure as can be, and right
    assert 1 < fit_temperature(logs, [0, 1, 1]) <= 10
    assert apply_temperature([1.0, 0.0], 3.0).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        ([[0.0, np.nan]], [0], "not finite"),
    ],
)
def test_temperature_refuses(logits, truth, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, truth)


def test_apply_temperature_is_the_softmax_of_divided_logits():
    _, z = answers(n=50)
    np.testing.assert_allclose(apply_temperature(softmax(z), 2.5), softmax(z / 2.5))
    np.testing.assert_allclose(apply_temperature(softmax(z), 1.0), softmax(z))


def test_risk_coverage_against_a_loop_and_in_any_order():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(60), rng.random(60) < 0.6
    curve = risk_coverage(confidence, correct)
    ranked = correct[np.argsort(-confidence)]
    risks = [1 - ranked[: i + 1].mean() for i in range(60)]
    np.testing.assert_allclose(curve.risk, risks)
    np.testing.assert_allclose(curve.coverage, np.arange(1, 61) / 60)
    assert curve.aurc == pytest.approx(np.mean(risks))
    ties = np.round(confidence, 1)
    order = rng.permutation(60)
    assert risk_coverage(ties, correct).aurc == pytest.approx(risk_coverage(ties[order], correct[order]).aurc)
    assert risk_coverage(np.ones(60), correct).aurc == pytest.approx(1 - correct.mean())


@pytest.mark.parametrize("scale", [3.0, 5.0, 8.0])
def test_what_is_called_uncertain_is_wrong_more_often(scale):
    truth, z = answers(scale=scale)
    probabilities = softmax(z)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    kept = confidence >= uncertain_below(confidence, correct)
    assert 0.7 <= kept.mean() < 1
    assert 1 - correct[kept].mean() <= max(2 / 3 * (1 - correct.mean()), 0.05)
    assert correct[~kept].mean() < correct[kept].mean() - 0.2


def test_uncertain_of_the_very_good_and_the_very_bad():
    confidence = np.linspace(0.2, 1, 100)
    nearly = np.arange(100) >= 4
    assert uncertain_below(confidence, nearly) == confidence[0]  # 4 % wrong: all of these are kept
    always_wrong = uncertain_below(confidence, np.zeros(100, dtype=bool))
    assert (confidence >= always_wrong).sum() == 70
    assert uncertain_below(np.full(100, 0.4), nearly) == 0.4
    assert uncertain_below([], []) == 0


def speakers_of(rng, count):
    """Clips of speakers who differ in how wrong the model is; who is easy to hear says more."""
    spread = rng.uniform(0.02, 0.2, count)
    clips = np.where(spread < 0.1, 60, 5)
    who = np.repeat(np.arange(count), clips)
    return who, np.abs(rng.normal(0, spread, count)[who] + rng.normal(0, spread[who] / 2))


def test_interval_covers_new_speakers_where_one_over_clips_does_not():
    rng = np.random.default_rng(0)
    by_speaker, by_clip = [], []
    for _ in range(300):
        who, error = speakers_of(rng, 20)
        truth = np.full((len(who), 3), 0.5)
        half = dimension_interval(truth, truth + error[:, None], who, level=0.9)[0]
        naive = np.quantile(error, 0.9)
        new, wrong = speakers_of(rng, 10)
        each = pd.DataFrame({"by_speaker": wrong <= half, "by_clip": wrong <= naive}).groupby(new).mean().mean()
        by_speaker.append(each["by_speaker"])
        by_clip.append(each["by_clip"])
    assert 0.89 < np.mean(by_speaker) < 0.95
    assert np.mean(by_clip) < 0.85


def test_interval_counts_speakers_not_clips():
    truth = np.full((10, 3), 0.5)
    error = np.linspace(0.01, 0.1, 10)[:, None]
    half = dimension_interval(truth, truth + error, list("abcdefghij"), level=0.8)
    assert half == pytest.approx(0.09)  # 9 of 10 + 1
    repeated = np.repeat(np.arange(10), [50, *[1] * 9])
    more = dimension_interval(
        truth[repeated], (truth + error)[repeated], np.array(list("abcdefghij"))[repeated], level=0.8
    )
    assert more == pytest.approx(half)


def test_interval_with_few_speakers_is_the_whole_scale():
    rng = np.random.default_rng(0)
    truth = rng.random((900, 3))
    guess = truth + 0.01
    assert (dimension_interval(truth, guess, [f"s{i % 8}" for i in range(900)]) == 1).all()
    assert dimension_interval(truth, guess, [f"s{i % 9}" for i in range(900)]) == pytest.approx(0.01)
    assert dimension_interval(truth, guess, [None] * 900) == pytest.approx(0.01)  # each row a speaker


def test_interval_leaves_out_missing_truth_dimension_by_dimension():
    truth = np.full((40, 3), 0.5)
    guess = truth + np.array([0.1, 0.2, 0.3])
    truth[20:, 1], truth[:, 2], guess[20:, 1] = np.nan, np.nan, np.nan
    assert dimension_interval(truth, guess, np.arange(40)) == pytest.approx([0.1, 0.2, 1.0])
    guess[0, 0] = np.nan
    with pytest.raises(ValueError, match="no finite prediction"):
        dimension_interval(truth, guess, np.arange(40))


def test_calibration_of_a_model_that_is_too_sure():
    df = table()
    found = fit_calibration(df, LABELS, rated=True)
    truth, probabilities, _ = labelled_rows(df, LABELS)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert found.ece_before == metrics.ece(truth, probabilities)
    assert found.ece_before > 0.1 > 0.05 > found.ece_after
    assert found.risk_kept < found.risk and 0.6 < found.coverage < 1
    assert (found.n, found.speakers, found.level) == (900, 12, 0.9)
    assert found.dimension_half_width == pytest.approx([0.05 * 2.24] * 3, rel=0.15)  # 11.7 of 12 speakers
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_calibration_does_not_depend_on_the_order_of_rows():
    df = table(n=300)
    df.loc[:40, "speaker"] = np.nan
    assert fit_calibration(df, LABELS, rated=True) == fit_calibration(
        df.sample(frac=1, random_state=0), LABELS, rated=True
    )


def test_after_is_measured_on_speakers_it_was_not_fitted_on():
    """Two speakers, one answered with certainty and rightly, one wrongly: each is judged by the other."""
    sure = np.tile([0.9, 0.1], (200, 1))
    truth, speakers = np.repeat([0, 1], 100), np.repeat(["a", "b"], 100)
    held_out = cross_fitted(truth, sure, speakers)
    assert (held_out.probabilities[:100, 0] < 0.9).all() and (held_out.probabilities[100:, 0] > 0.9).all()
    assert metrics.ece(truth, held_out.probabilities) > metrics.ece(truth, sure)
    assert cross_fitted(truth, sure, ["a"] * 200) is None


def test_weak_dimensions_have_no_interval():
    df = table()
    assert fit_calibration(df, LABELS, rated=False).dimension_half_width is None
    rated = (df.index < 300).astype(bool)
    df.loc[300:, "arousal"] += 0.5  # of no account
    some = fit_calibration(df, LABELS, rated=rated).dimension_half_width
    assert some == fit_calibration(df[:300], LABELS, rated=True).dimension_half_width
    assert fit_calibration(df, LABELS, rated=True).dimension_half_width[0] > some[0] + 0.2


def test_heads_and_labels_that_are_not_there():
    df = table()
    categories = df[
        [name for name in df if "arousal" not in name and "valence" not in name and "dominance" not in name]
    ]
    assert fit_calibration(categories, LABELS, rated=True).dimension_half_width is None
    for nothing in (
        fit_calibration(df.drop(columns=[f"probability_{k}" for k in range(4)]), [], rated=True),
        fit_calibration(df.assign(truth=-1), LABELS, rated=True),
    ):
        assert (nothing.temperature, nothing.uncertain_below, nothing.n, nothing.speakers) == (1, 0, 0, 0)
        assert nothing.ece_before is nothing.ece_after is nothing.coverage is None
        assert nothing.dimension_half_width is not None


def test_prediction_may_import_it():
    heavy = "{'pandas', 'torch', 'scipy', 'matplotlib'}"
    code = f"import emofuse.metrics.calibration, sys; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
