"""Fits a `SpeakerAdapter`: the directions in which emotions differ, and how far clips spread along them.

Regularised linear discriminants (Friedman 1989, "Regularized discriminant analysis") on clips less their speaker's
mean. The spreads are measured on speakers that the directions have not seen: on their own, clips seem to spread less.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emofuse.errors import EmofuseError
from emofuse.models.adapter import SpeakerAdapter, spread

Floats = np.ndarray

FOLDS = 4  # of speakers
RIDGE = (
    1.0  # added to the covariance of features of variance 1; with less, unseen speakers spread far more than seen ones
)
_FEWEST = 4  # clips of an emotion whose spread is measured
_SMALLEST = 1e-3  # within-class variance of a direction, as a share of the largest, below which it is dropped


def fit_adapter(means: Floats, labels: Floats, speakers: Floats, shrinkage: float = 3.0) -> SpeakerAdapter:
    """Fit on labelled clips of several speakers.

    Args:
        means: hidden states of each clip averaged over time, (n, D); as recorded, not varied.
        labels: category of each, (n,).
        speakers: (n,); across corpora, names must differ.
        shrinkage: see `SpeakerAdapter`.

    Raises:
        EmofuseError: fewer than four speakers, or none that spoke two emotions several times.
    """
    order = np.lexsort((labels, speakers))
    means = np.asarray(means, np.float64)[order]
    names, speaker = np.unique(np.asarray(speakers)[order], return_inverse=True)
    emotions, label = np.unique(np.asarray(labels)[order], return_inverse=True)
    if len(names) < 4:
        raise EmofuseError(f"speaker adaptation: {len(names)} speakers with labels; expected 4 or more. Add a corpus.")
    voices = np.stack([_voice(means[speaker == k], label[speaker == k]) for k in range(len(names))])
    residual = means - voices[speaker]
    one, mixed = [], []
    for fold in range(FOLDS):
        seen = speaker % FOLDS != fold
        projected = residual @ _directions(residual[seen], label[seen])
        for k in np.unique(speaker[~seen]):
            parts = [projected[(speaker == k) & (label == c)] for c in range(len(emotions))]
            parts = [part for part in parts if len(part) >= _FEWEST]
            if len(parts) > 1:
                one += [_spread(part, np.ones(len(part))) for part in parts]
                even = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts])
                mixed.append(_spread(np.concatenate(parts), even))
    if not mixed or np.mean(mixed) <= np.mean(one):
        raise EmofuseError(
            f"speaker adaptation: in {len(means)} clips of {len(names)} speakers, the emotions of a speaker do not "
            f"differ; expected speakers with {_FEWEST} clips each of several emotions. Add a corpus."
        )
    return SpeakerAdapter(
        centre=voices.mean(axis=0).astype(np.float32),
        directions=_directions(residual, label).astype(np.float32),
        one=float(np.mean(one)),
        mixed=float(np.mean(mixed)),
        shrinkage=shrinkage,
    )


def _spread(projected: Floats, weight: Floats) -> float:
    return spread(projected, weight / weight.sum())


def _classes(rows: Floats, label: Floats) -> Iterator[tuple[int, Floats]]:
    for c in np.unique(label):
        yield c, rows[label == c].mean(axis=0)


def _voice(means: Floats, label: Floats) -> Floats:
    """Mean of a speaker's clips, (D,), every emotion counting alike."""
    return np.mean([mean for _, mean in _classes(means, label)], axis=0)


def _directions(residual: Floats, label: Floats) -> Floats:
    """Discriminants, (D, Q), scaled to variance 1 within an emotion.

    Args:
        residual: clips less their speaker's mean, (n, D).
        label: (n,).
    """
    within, classes = residual.copy(), []
    for c, mean in _classes(residual, label):
        within[label == c] -= mean
        classes.append(mean)
    centred = np.stack(classes) - np.mean(classes, axis=0)
    scale = within.std(axis=0) + 1e-6 * within.std() + 1e-12
    within /= scale
    covariance = within.T @ within / len(within)
    found = np.linalg.solve(covariance + RIDGE * np.eye(len(covariance)), (centred / scale).T)
    variance, axes = np.linalg.eigh(found.T @ covariance @ found)
    kept = variance > _SMALLEST * variance.max()
    directions: Floats = (found @ (axes[:, kept] * variance[kept] ** -0.5)) / scale[:, None]
    return directions
