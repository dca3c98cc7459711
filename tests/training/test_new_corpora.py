"""Calibration on corpora that were left out: made-up predictions of three corpora of different size and difficulty."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from emofuse.config import load_recipe
from emofuse.metrics import scores
from emofuse.metrics.calibration import apply_temperature
from emofuse.training.calibration import fit_calibration, labelled_rows, uncertain_below_on_each
from emofuse.training.new_corpora import calibrate_on_new_corpora
from emofuse.training.predictions import part_metrics

LABELS = ["neutral", "happiness", "sadness", "anger"]
PROBABILITIES = [f"probability_{k}" for k in range(len(LABELS))]
TEMPERATURES = {"large": 1.5, "middle": 3.0, "small": 0.8}  # at which each corpus is calibrated
ROWS = {"large": 2400, "middle": 600, "small": 300}


def predictions(seed=0, corpora=tuple(ROWS), **columns):
    """Predictions whose truth is drawn from the probabilities at the temperature of their corpus."""
    rng = np.random.default_rng(seed)
    tables = []
    for corpus in corpora:
        n = ROWS[corpus]
        logits = rng.normal(0, 3, (n, len(LABELS)))
        cumulated = apply_temperature(softmax(logits), TEMPERATURES[corpus]).cumsum(axis=1)
        table = pd.DataFrame(softmax(logits), columns=PROBABILITIES)
        table["truth"] = (cumulated < rng.random((n, 1))).sum(axis=1)
        table["key"] = [f"{corpus}/{i:04}" for i in range(n)]
        table["corpus"], table["speaker"] = corpus, [f"{corpus}/{i % 10}" for i in range(n)]
        tables.append(table)
    return pd.concat(tables, ignore_index=True).assign(**columns)


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def mean_loss(table, temperature):
    """Mean over corpora of the negative log-likelihood."""
    losses = []
    for _, rows in table.groupby("corpus"):
        p = apply_temperature(rows[PROBABILITIES], temperature)
        losses.append(-np.log(p[np.arange(len(rows)), rows["truth"]]).mean())
    return np.mean(losses)


def test_the_temperature_minimises_the_mean_loss_of_the_corpora():
    table = predictions()
    best = minimize_scalar(lambda t: mean_loss(table, t), bounds=(0.5, 5), method="bounded").x
    by_corpus = fit_calibration(table, LABELS, rated=False, by_corpus=True).temperature
    assert by_corpus == pytest.approx(best, rel=0.01)  # the prior of ten rows moves it a little
    by_row = fit_calibration(table, LABELS, rated=False).temperature
    assert abs(by_row - best) > 0.05  # the large corpus dominates


def thresholds_that_meet_the_criterion(confidence, correct, corpora):
    for threshold in sorted(confidence):
        kept = [(confidence >= threshold) & (corpora == name) for name in set(corpora)]
        enough = all(one.sum() >= 0.25 * (corpora == name).sum() for one, name in zip(kept, set(corpora), strict=True))
        if enough and all(1 - correct[one].mean() < 0.3 for one in kept):
            yield threshold


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_lowest_that_meets_the_criterion_on_each_corpus(seed):
    rng = np.random.default_rng(seed)
    confidence, corpora = rng.random(90).round(2), np.repeat(["a", "b", "c"], 30)
    correct = rng.random(90) < 0.3 + 0.7 * confidence
    expected = next(thresholds_that_meet_the_criterion(confidence, correct, corpora), None)
    if expected is None:
        worst = min("abc", key=lambda name: correct[corpora == name].mean())
        expected = np.sort(confidence[corpora == worst])[::-1][7]  # 8 of 30 are a quarter at least
    assert uncertain_below_on_each(confidence, correct, corpora) == expected


def test_a_quarter_of_the_worst_corpus_is_kept_if_the_criterion_cannot_be_met():
    confidence, corpora = np.tile(np.arange(20) / 20, 2), np.repeat(["good", "bad"], 20)
    correct = np.r_[np.ones(20, bool), np.arange(20) % 2 == 0]
    confidence[20:] /= 2  # the confidences of the bad corpus are low
    threshold = uncertain_below_on_each(confidence, correct, corpora)
    assert (confidence[20:] >= threshold).sum() == 5


def parts():
    """Predictions with audio by part; of those adapted by five clips, every third row has the offset 0."""
    some = np.arange(sum(ROWS.values())) % 3 > 0
    return {
        "test": predictions(seed=4),
        "new-corpus": predictions(seed=1),
        "new-corpus-adapted": predictions(seed=2, adapted=True),
        "new-corpus-adapted-5": predictions(seed=3, adapted=some),
    }


def test_quality_on_each_corpus_by_a_fit_on_the_others():
    given = parts()
    results = calibrate_on_new_corpora(given, LABELS)
    assert list(results) == ["audio", "audio_adapted"]
    rows, calibration = results["audio"]
    pd.testing.assert_frame_equal(rows, given["new-corpus"])
    assert list(calibration.by_corpus) == ["test", "new-corpus"]
    others = fit_calibration(predictions(seed=1)[rows["corpus"] != "middle"], LABELS, rated=False, by_corpus=True)
    quality = calibration.by_corpus["new-corpus"]["middle"]
    assert (quality["temperature"], quality["uncertain_below"]) == (others.temperature, others.uncertain_below)
    truth, probabilities, _ = labelled_rows(rows[rows["corpus"] == "middle"], LABELS)
    calibrated = apply_temperature(probabilities, others.temperature)
    confidence, right = calibrated.max(axis=1), calibrated.argmax(axis=1) == truth
    kept = confidence >= others.uncertain_below
    assert quality["n"] == ROWS["middle"] and quality["ece"] == scores.ece(truth, calibrated)
    assert quality["kept"] == kept.mean() and quality["wrong"] == pytest.approx(1 - right.mean())
    assert quality["wrong_of_kept"] == pytest.approx(1 - right[kept].mean())
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(confidence[right], confidence[~right])]
    assert quality["auroc"] == pytest.approx(np.mean(pairs))
    assert quality["final"]["temperature"] == calibration.temperature != others.temperature
    assert calibration.by_corpus["test"]["middle"]["temperature"] == calibration.temperature


def test_the_calibration_says_the_means_over_corpora():
    _, calibration = calibrate_on_new_corpora(parts(), LABELS)["audio"]
    by_corpus = calibration.by_corpus["new-corpus"].values()
    assert calibration.ece_after == pytest.approx(np.mean([one["ece"] for one in by_corpus]))
    assert calibration.coverage == pytest.approx(np.mean([one["kept"] for one in by_corpus]))
    assert calibration.risk == pytest.approx(np.mean([one["wrong"] for one in by_corpus]))
    wrong_and_kept = np.mean([one["kept"] * one["wrong_of_kept"] for one in by_corpus])
    assert calibration.risk_kept == pytest.approx(wrong_and_kept / calibration.coverage)


def test_rows_with_an_offset_of_zero_count_as_not_adapted():
    given = parts()
    results = calibrate_on_new_corpora(given, LABELS)
    rows, adapted = results["audio_adapted"]
    assert len(rows) == len(given["new-corpus-adapted"]) + given["new-corpus-adapted-5"]["adapted"].sum()
    plain = results["audio"][1]
    table = given["new-corpus-adapted-5"][given["new-corpus-adapted-5"]["corpus"] == "small"]
    kinds = [adapted if one else plain for one in table["adapted"]]
    kept = [
        apply_temperature(p, kind.temperature).max() >= kind.uncertain_below
        for p, kind in zip(table[PROBABILITIES].to_numpy(), kinds, strict=True)
    ]
    assert adapted.by_corpus["new-corpus-adapted-5"]["small"]["final"]["kept"] == pytest.approx(np.mean(kept))


def test_two_corpora_at_least_are_needed():
    assert calibrate_on_new_corpora({"test": predictions()}, LABELS) == {}
    assert calibrate_on_new_corpora({"new-corpus": predictions(corpora=["small"])}, LABELS) == {}
    given = {"new-corpus": predictions(), "new-corpus-adapted": predictions(corpora=["small"], adapted=True)}
    assert list(calibrate_on_new_corpora(given, LABELS)) == ["audio"]


def test_only_the_categories_of_a_corpus_compete_in_the_scores_of_new_corpora(request):
    toy = request.config.rootpath / "recipes" / "toy.toml"
    recipe = load_recipe(toy, ['model.heads=["categories"]', "training.monitor=uar"])
    table = pd.DataFrame(
        [[0.1, 0.6, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1], [0.2, 0.5, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]],
        columns=PROBABILITIES,
    )
    table["key"], table["speaker"], table["truth"] = list("abcd"), list("ssst"), [2, 0, 1, 3]
    table["corpus"] = ["a", "a", "b", "b"]  # corpus a has no happiness and no anger
    for part, uar in (("new-corpus-adapted", 1), ("test", 0)):
        assert part_metrics(table, recipe, part)["by_corpus"]["a"]["categories"]["uar"]["value"] == uar
        assert part_metrics(table, recipe, part)["by_corpus"]["b"]["categories"]["uar"]["value"] == 1
