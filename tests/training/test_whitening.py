"""Whitening of hidden states: nuisances are shrunk, emotions are not."""

import numpy as np
import pytest

from emofuse.training.whitening import BETWEEN_SPEAKERS, RIDGE, VARIED, nuisance_whitening

N_SPEAKERS, PER_CELL, DIM = 12, 20, 6


def clips(seed=0, *, copies=1):
    """Emotion on axis 0, voice on axis 1 (much larger), room on axis 2 (in copies only), noise everywhere."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(N_SPEAKERS), 2 * PER_CELL)
    labels = np.tile(np.repeat([0, 1], PER_CELL), N_SPEAKERS)
    clean = rng.standard_normal((len(labels), DIM))
    clean[:, 0] += 4 * labels
    clean[:, 1] += 20 * rng.standard_normal(N_SPEAKERS)[speakers]
    varied = [clean.copy() for _ in range(copies)]
    for copy in varied:
        copy[:, 2] += 10 * rng.standard_normal(len(labels))
    return np.stack([clean, *varied]).astype(np.float32) + 3, labels, speakers


def test_directions_of_voices_and_rooms_are_shrunk_and_emotions_stand_out():
    means, labels, speakers = clips()
    mean, matrix = nuisance_whitening(means, labels, speakers)
    assert mean.dtype == matrix.dtype == np.float32
    found = (means - mean) @ matrix

    def length(offset):
        return np.linalg.norm(np.asarray(offset) @ matrix)

    axes = np.eye(DIM)
    voice, room, emotion, noise = length(axes[1]), length(axes[2]), length(axes[0]), length(axes[3])
    assert voice < 0.35 * noise and room < 0.35 * noise
    assert emotion == pytest.approx(noise, rel=0.2)
    np.testing.assert_allclose(found[0].mean(axis=0), 0, atol=1e-3)


def test_covariance_within_an_emotion_and_its_nuisances_becomes_the_identity(monkeypatch):
    monkeypatch.setattr("emofuse.training.whitening.RIDGE", 0.0)
    means, labels, speakers = clips(copies=2)
    _, matrix = nuisance_whitening(means, labels, speakers)
    clean = means[0].astype(float)
    spread = np.zeros((DIM, DIM))
    voices = []
    for speaker in np.unique(speakers):
        own = clean[speakers == speaker]
        voices.append(np.mean([own[labels[speakers == speaker] == c].mean(axis=0) for c in (0, 1)], axis=0))
    voices = np.array(voices)
    for c in (0, 1):
        rows = clean[labels == c] - voices[speakers[labels == c]]
        spread += len(rows) / len(clean) * np.cov(rows.T, bias=True)
    offsets = voices - clean.mean(axis=0)
    spread += BETWEEN_SPEAKERS * offsets.T @ offsets / len(offsets)
    for copy in means[1:]:
        moved = copy.astype(float) - clean
        spread += VARIED / 2 * moved.T @ moved / len(moved)
    np.testing.assert_allclose(matrix.T @ spread @ matrix, np.eye(DIM), atol=1e-3)


def test_fewer_clips_than_dimensions_and_constant_values_stay_finite():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((1, 5, 40)).astype(np.float32)
    means[:, :, 7] = 2.0
    _, matrix = nuisance_whitening(means, np.array([0, 0, 1, 1, -1]), np.array(["a", "b", "a", "b", "c"]))
    assert np.isfinite(matrix).all() and RIDGE > 0
