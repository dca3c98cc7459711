"""Whitening of hidden states: what voices, rooms and lines do to them counts as much as any other noise.

Per layer, a linear map after which the clips of one emotion spread alike in all directions, where the spread is that
within an emotion of a speaker, a share of that between speakers, and that between a clip and its varied copy
(`rooms.vary`). Directions in which voices and rooms move the states are shrunk, those in which emotions do stand out.
It is the within-class covariance normalisation of Hatch et al. 2006 ("Within-class covariance normalization for
SVM-based speaker recognition", Interspeech) with nuisances added; to take the nearest class mean afterwards would be
linear discriminant analysis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from emofuse.training.data import Utterances

BETWEEN_SPEAKERS = 0.3  # weight of the covariance of the speakers' means
VARIED = 1.0  # weight of the covariance of what varying changes
RIDGE = 0.1  # share of the mean variance that is added to all directions

Floats = np.ndarray


def whiten(model: Any, train: Utterances) -> None:
    """Fit the map of every layer on the training clips and set it in the model's encoder.

    Layers that are trained too are whitened as they are at first.
    """
    norm = model.encoder.norm
    rows = np.flatnonzero(train.has_audio & ~train.composed)
    means = _means(model, train, rows).reshape(len(train.copies), len(rows), norm.n_layers, -1)
    known = train.table["speaker"].fillna("of " + train.table["corpus"]).to_numpy(str)[rows]
    maps = [nuisance_whitening(means[:, :, layer], train.label[rows], known) for layer in range(norm.n_layers)]
    norm.set_whitening(*(torch.from_numpy(np.stack(part)) for part in zip(*maps, strict=True)))


def _means(model: Any, train: Utterances, rows: Floats) -> Floats:
    """Mean over time of each clip's states as the ladder gets them, float32 (copies, rows, layers * dim)."""
    if model.top_layers is None:
        return train.means()[:, rows]
    clips = [clip for row in rows if (clip := train.clips[row])]
    return np.array([[model.top_layers.clip_mean(features[clip]) for clip in clips] for features in train.copies])


def nuisance_whitening(means: Floats, labels: Floats, speakers: Floats) -> tuple[Floats, Floats]:
    """Fit the map of one layer.

    Args:
        means: states averaged over time, (copies, n, D); first of the clips as they are, then of their varied copies.
        labels: category of each clip, (n,); all the same where there is none.
        speakers: of each clip, (n,).

    Returns:
        Mean (D,) and matrix (D, D), float32: x becomes (x - mean) @ matrix.
    """
    clean = means[0].astype(np.float64)
    mean = clean.mean(axis=0)
    centred = clean - mean
    names, speaker = np.unique(speakers, return_inverse=True)
    emotions, label = np.unique(labels, return_inverse=True)
    voices = np.zeros((len(names), clean.shape[1]))
    for k in range(len(names)):
        own = speaker == k
        # Every emotion counts the same: a speaker who was mostly angry is not taken for an angry voice.
        voices[k] = np.mean([centred[own & (label == c)].mean(axis=0) for c in np.unique(label[own])], axis=0)
    residual = centred - voices[speaker]
    within = residual - np.stack([residual[label == c].mean(axis=0) for c in range(len(emotions))])[label]
    spread = _covariance(within) + BETWEEN_SPEAKERS * _covariance(voices)
    for copy in means[1:]:
        spread += VARIED / (len(means) - 1) * _covariance(copy.astype(np.float64) - clean)
    spread += RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    values, vectors = np.linalg.eigh(spread)
    return mean.astype(np.float32), (vectors / np.sqrt(values)).astype(np.float32)


def _covariance(rows: Floats) -> Floats:
    return rows.T @ rows / len(rows)
