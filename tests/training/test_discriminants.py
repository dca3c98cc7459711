from dataclasses import replace

import numpy as np
import pytest

from emofuse.training.discriminants import LabelledClips, fit_discriminants
from made_up.voices import CATEGORIES, EMOTIONS, D, draw_clips

NO_SHIFTS = np.zeros((0, D))


def labelled(*parts):
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return LabelledClips(**columns, shifts=NO_SHIFTS)


def fit(clips, sets=((0, 1, 2),), *, n_layers=3, n_categories=CATEGORIES):
    return fit_discriminants(clips, sets, n_layers=n_layers, n_categories=n_categories)


@pytest.fixture(scope="module")
def clips():
    return labelled(draw_clips(12)[0])


def uar(scores, label):
    guess = scores.argmax(axis=1)
    return np.mean([(guess[label == category] == category).mean() for category in np.unique(label)])


def test_speakers_who_show_one_emotion_most_are_not_taken_for_it():
    """Means of raw states have the voices of those who show an emotion most; the discriminant has not."""
    columns, voices = draw_clips(4)
    often = columns["label"] == np.array([int(name[1:]) for name in columns["speaker"]])
    clips = labelled({name: column[often | (np.arange(len(often)) % 4 == 0)] for name, column in columns.items()})
    new, new_voices = draw_clips(6, seed=1)
    fitted = fit(clips)
    raw = np.stack([clips.means[clips.label == category].mean(axis=0) for category in range(CATEGORIES)])

    def both(means):
        distance = np.square(means[:, None] - raw).sum(axis=2)
        return uar(fitted.scores(means), new["label"]), uar(-distance, new["label"])

    by_discriminant, by_means = both(new["means"])
    assert by_discriminant > by_means
    moved = np.repeat(new_voices - voices.mean(axis=0), len(new["label"]) // 6, axis=0)
    assert both(new["means"] - moved)[0] > 0.95


def test_the_centre_is_the_mean_of_the_voices_whatever_emotion_they_show_most():
    columns, voices = draw_clips(8)
    used = (columns["label"] != 0) | (np.arange(len(columns["label"])) % 3 == 0)
    fitted = fit(labelled({name: column[used] for name, column in columns.items()}))
    np.testing.assert_allclose(fitted.centre, voices.mean(axis=0) + EMOTIONS.mean(axis=0), atol=0.3)


def test_corpora_weigh_alike():
    """A corpus with eight times as many clips, in which two categories are interchanged, outweighs nobody."""
    small, _ = draw_clips(4, each=3, corpus="a")
    large, _ = draw_clips(4, each=24, seed=1, corpus="b")
    large["label"] = np.array([1, 0, 2, 3])[large["label"]]
    both = fit(labelled(small, large))
    difference = both.weight[:, 0] - both.weight[:, 1]
    of_others = both.weight[:, 2] - both.weight[:, 3]
    assert np.linalg.norm(difference) < 0.35 * np.linalg.norm(of_others)
    np.testing.assert_allclose(
        both.centre, np.mean([fit(labelled(part)).centre for part in (small, large)], axis=0), atol=1e-9
    )
    weights = labelled(small, large).weights()
    assert weights.mean() == pytest.approx(1)
    assert weights[: len(small["label"])].sum() == pytest.approx(weights[len(small["label"]) :].sum())


def test_categories_of_a_corpus_weigh_alike(clips):
    rows = np.flatnonzero((clips.label != 2) | (np.arange(len(clips.label)) % 4 == 0))
    some = clips.rows(rows)
    totals = [some.weights()[some.label == category].sum() for category in range(CATEGORIES)]
    np.testing.assert_allclose(totals, len(rows) / CATEGORIES)


def test_order_of_rows_does_not_matter(clips):
    turn = np.random.default_rng(3).permutation(len(clips.label))
    one, other = fit(clips), fit(clips.rows(turn))
    for name in ("centre", "weight", "bias"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)


def test_a_category_without_clips_never_wins(clips):
    fitted = fit(clips, n_categories=CATEGORIES + 2)
    wide = np.random.default_rng(0).normal(5, 20, (500, D))
    for means in (clips.means, wide - wide.mean(axis=0) + fitted.centre):
        assert fitted.scores(means).argmax(axis=1).max() < CATEGORIES
    np.testing.assert_allclose(fitted.scores(clips.means)[:, :CATEGORIES], fit(clips).scores(clips.means), atol=1e-9)


def test_shifts_reduce_the_weight_of_their_direction(clips):
    direction = np.eye(D)[0]  # one of those in which emotions differ
    shifts = 10 * np.array([direction, -direction])
    plain, shifted = fit(clips), fit(replace(clips, shifts=shifts))
    share = [np.linalg.norm(one.weight[0]) / np.linalg.norm(one.weight[1:18]) for one in (plain, shifted)]
    assert share[1] < 0.3 * share[0]


def test_the_average_of_sets_is_the_mean_of_their_scores(clips):
    first, second = fit(clips, [[0]]), fit(clips, [[2, 1]])
    both = fit(clips, [[0], [2, 1]])
    expected = (first.scores(clips.means) + second.scores(clips.means)) / 2
    np.testing.assert_allclose(both.scores(clips.means), expected, atol=1e-9)
    width = D // 3
    assert not first.weight[width:].any() and not second.weight[:width].any()
    np.testing.assert_allclose(fit(clips, [[1, 2]]).weight, second.weight, atol=1e-9)


def test_scores_are_log_probabilities_of_normal_classes():
    """By hand: one layer of two values, equal variance 1 but for the ridge, no shifts."""
    rng = np.random.default_rng(0)
    label = np.tile([0, 1], 4000)
    means = np.where(label[:, None] == 0, [-1.0, 0.0], [1.0, 0.0]) + rng.standard_normal((8000, 2))
    speaker = np.repeat(["a", "b", "c", "d"], 2000)
    clips = LabelledClips(means, label, speaker, np.full(8000, "x"), np.zeros((0, 2)))
    fitted = fit(clips, [[0]], n_layers=1, n_categories=2)
    # Features are divided by their standard deviations: sqrt(2) and 1. The variances within, 0.5 and 1, both gain three
    # times their mean, 2.25.
    scale, variance = np.sqrt([2.0, 1.0]), np.array([0.5, 1.0]) + 3 * 0.75
    centres = np.array([[-1.0, 0.0], [1.0, 0.0]]) / scale
    np.testing.assert_allclose(fitted.weight, (centres / variance / scale).T, atol=0.03)
    np.testing.assert_allclose(fitted.bias, -0.5 * (centres**2 / variance).sum(axis=1), atol=0.01)
