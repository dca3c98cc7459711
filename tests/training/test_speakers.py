import numpy as np
import pytest

from emofuse.errors import EmofuseError
from emofuse.training.speakers import fit_adapter

D, EMOTIONS = 30, ("anger", "happiness", "neutral", "sadness")
CLASSES = 2.5 * np.random.default_rng(7).standard_normal((4, D)) * (np.arange(D) < 6)


def corpus(n_speakers, each=12, seed=0, classes=CLASSES):
    """Clips of speakers with offsets of their own, and few directions in which emotions differ."""
    rng = np.random.default_rng(seed)
    voices = 5 + 4 * rng.standard_normal((n_speakers, D))
    speaker = np.repeat(np.arange(n_speakers), 4 * each)
    label = np.tile(np.repeat(np.arange(4), each), n_speakers)
    means = voices[speaker] + classes[label] + rng.standard_normal((len(speaker), D))
    return means, np.array(EMOTIONS)[label], np.array([f"s{k:02}" for k in speaker]), voices


@pytest.fixture(scope="module")
def adapter():
    return fit_adapter(*corpus(12)[:3])


def test_the_voice_of_a_new_speaker_is_found_from_mixed_clips(adapter):
    means, _, _, voices = corpus(1, seed=1)
    offset = adapter.offset(means, np.ones(len(means)))
    target = voices[0] + CLASSES.mean(axis=0) - adapter.centre
    assert np.linalg.norm(offset - target) < 0.15 * np.linalg.norm(target)


def test_the_emotion_of_a_new_speaker_stays_when_it_is_the_only_one(adapter):
    means, labels, _, _ = corpus(6, seed=2)
    for k in range(6):
        clips = means[k * 48 : (k + 1) * 48]
        for emotion in EMOTIONS:
            rows = clips[labels[k * 48 : (k + 1) * 48] == emotion]
            plain = np.linalg.norm(rows.mean(axis=0) - adapter.centre)
            assert np.linalg.norm(adapter.offset(rows, np.ones(len(rows)))) < 0.4 * plain


def test_the_directions_are_those_in_which_emotions_differ(adapter):
    assert adapter.directions.shape == (D, 3)
    outside = np.linalg.norm(adapter.directions[6:]) / np.linalg.norm(adapter.directions)
    assert outside < 0.3
    assert 0.5 < adapter.one < 2
    assert adapter.mixed > 3 * adapter.one


def test_an_emotion_that_a_speaker_shows_often_does_not_move_the_centre():
    means, labels, speakers, voices = corpus(8)
    rare = (labels == "anger") & (np.arange(len(labels)) % 3 > 0)
    fitted = fit_adapter(means[~rare], labels[~rare], speakers[~rare])
    expected = voices.mean(axis=0) + CLASSES.mean(axis=0)
    np.testing.assert_allclose(fitted.centre, expected, atol=0.3)


def test_order_does_not_matter():
    means, labels, speakers, _ = corpus(6, each=5)
    turn = np.random.default_rng(3).permutation(len(means))
    first, second = fit_adapter(means, labels, speakers), fit_adapter(means[turn], labels[turn], speakers[turn])
    assert first.one == pytest.approx(second.one)
    assert first.mixed == pytest.approx(second.mixed)
    clips = corpus(1, seed=4)[0]
    ones = np.ones(len(clips))
    np.testing.assert_allclose(first.offset(clips, ones), second.offset(clips, ones), atol=1e-4)


def test_too_few_speakers_are_refused():
    with pytest.raises(EmofuseError, match="at least 4 speakers"):
        fit_adapter(*corpus(3)[:3])


def test_speakers_of_one_emotion_each_are_refused():
    means, labels, speakers, _ = corpus(8)
    own = np.array([EMOTIONS[int(name[1:]) % 4] for name in speakers])
    kept = labels == own
    with pytest.raises(EmofuseError, match="at least 4 clips each of several emotions"):
        fit_adapter(means[kept], labels[kept], speakers[kept])


def reference_spreads(means, labels, speakers):
    """The two spreads by another formula: variances in the metric of the discriminants, without finding their axes.

    Discriminants have a ridge of 1 on standardised features; speakers are measured in four folds, each by the
    discriminants of the other three.
    """
    voice = {
        name: np.mean([means[(speakers == name) & (labels == c)].mean(axis=0) for c in EMOTIONS], axis=0)
        for name in np.unique(speakers)
    }
    residual = means - np.stack([voice[name] for name in speakers])
    fold_of = {name: i % 4 for i, name in enumerate(sorted(voice))}
    fold = np.array([fold_of[name] for name in speakers])
    one, mixed = [], []
    for test in range(4):
        train = fold != test
        class_means = np.stack([residual[train & (labels == c)].mean(axis=0) for c in EMOTIONS])
        within = residual[train] - class_means[[EMOTIONS.index(c) for c in labels[train]]]
        scale = within.std(axis=0)
        covariance = np.cov((within / scale).T, bias=True)
        centred = (class_means - class_means.mean(axis=0)) / scale
        discriminants = np.linalg.inv(covariance + np.eye(D)) @ centred.T  # (D, 4), of rank 3
        metric = discriminants @ np.linalg.pinv(discriminants.T @ covariance @ discriminants) @ discriminants.T
        for name in voice:
            if fold_of[name] == test:
                clips = residual[speakers == name] / scale
                groups = [clips[labels[speakers == name] == c] for c in EMOTIONS]
                one += [np.trace(metric @ np.cov(group.T)) / 3 for group in groups]
                mixed.append(np.trace(metric @ np.cov(clips.T)) / 3)
    return np.mean(one), np.mean(mixed)


def test_spreads_are_those_of_a_second_formula():
    means, labels, speakers, _ = corpus(10, each=6, seed=5)
    fitted = fit_adapter(means, labels, speakers)
    one, mixed = reference_spreads(means, labels, speakers)
    assert fitted.one == pytest.approx(one, rel=1e-4)
    assert fitted.mixed == pytest.approx(mixed, rel=1e-4)
    assert fitted.shrinkage == 3.0


def test_directions_have_variance_1_within_an_emotion_of_a_speaker():
    means, labels, speakers, _ = corpus(10, each=6, seed=5)
    directions = fit_adapter(means * np.linspace(0.1, 10, D), labels, speakers).directions
    voice = {name: means[speakers == name].mean(axis=0) for name in np.unique(speakers)}
    residual = means - np.stack([voice[name] for name in speakers])
    for c in EMOTIONS:
        residual[labels == c] -= residual[labels == c].mean(axis=0)
    projected = (residual * np.linspace(0.1, 10, D)) @ directions
    np.testing.assert_allclose(np.cov(projected.T, bias=True), np.eye(3), atol=1e-3)


def test_four_speakers_and_four_clips_of_two_emotions_are_enough():
    means, labels, speakers, _ = corpus(4, each=4)
    assert fit_adapter(means, labels, speakers).mixed > 1
    two = np.isin(labels, EMOTIONS[:2])
    assert fit_adapter(means[two], labels[two], speakers[two]).directions.shape == (D, 1)
    means, labels, speakers, _ = corpus(4, each=3)
    with pytest.raises(EmofuseError):
        fit_adapter(means, labels, speakers)


def test_speakers_of_one_emotion_do_not_count_in_the_spreads():
    means, labels, speakers, _ = corpus(9, each=6, seed=5)
    last = speakers == "s08"
    kept = ~last | (labels == "anger")
    wide = means.copy()
    wide[last] += 50 * np.random.default_rng(0).standard_normal(means[last].shape)
    with_wide, without = (fit_adapter(*(column[rows] for column in (wide, labels, speakers))) for rows in (kept, ~last))
    assert with_wide.mixed < 2 * without.mixed
