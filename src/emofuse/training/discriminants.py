"""Linear discriminants of emotions on the mean hidden state of a clip, fitted in closed form.

Regularised discriminant analysis (Friedman 1989) of clips minus the mean of their speaker: what is left differs by the
emotion, not by the voice, room and line. The covariance within an emotion of a speaker gets a strong ridge, because the
emotions of voices, corpora and languages that the training data lack vary more than those of the data; and the
covariance of the shifts that other rooms, lines and voices cause (`emofuse.data.states.vary`), so that directions in
which these move a clip count less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray

RIDGE = 3.0  # times the mean variance, added to each variance
SHIFT_SHARE = 0.3  # of the covariance of shifts, added to the covariance within emotions
_LEAST_SD = 1e-3


@dataclass(frozen=True)
class LabelledClips:
    """Clips whose emotion and speaker are known.

    Attributes:
        means: hidden states averaged over time, (n, D).
        label: category number, (n,).
        speaker: name of the speaker, unlike those of other corpora, (n,).
        corpus: name of the corpus, (n,).
        shifts: what each of some changes of room, line and voice added to the mean of a clip, (m, D), m at least 0.
    """

    means: Floats
    label: np.ndarray
    speaker: np.ndarray
    corpus: np.ndarray
    shifts: Floats

    def rows(self, selected: np.ndarray) -> LabelledClips:
        """Some of the clips, with all shifts."""
        columns = (self.means[selected], self.label[selected], self.speaker[selected], self.corpus[selected])
        return LabelledClips(*columns, self.shifts)

    def weights(self) -> Floats:
        """Weight of each clip, mean 1: corpora have equal weight, as have the categories within a corpus."""
        weights = np.zeros(len(self.label))
        for corpus in np.unique(self.corpus):
            rows = self.corpus == corpus
            categories, place, count = np.unique(self.label[rows], return_inverse=True, return_counts=True)
            weights[rows] = 1 / (len(categories) * count[place])
        return weights / weights.mean()

    def centred(self) -> tuple[Floats, Floats]:
        """Clips minus the mean of their speaker over categories (n, D), and the mean of speakers over corpora (D,)."""
        residual, centres = np.array(self.means, np.float64), []
        for corpus in np.unique(self.corpus):
            voices = []
            for name in np.unique(self.speaker[self.corpus == corpus]):
                rows = (self.corpus == corpus) & (self.speaker == name)
                voices.append(_category_means(residual[rows], self.label[rows]).mean(axis=0))
                residual[rows] -= voices[-1]
            centres.append(np.mean(voices, axis=0))
        return residual, np.mean(centres, axis=0)


@dataclass(frozen=True)
class Discriminant:
    """Scores of categories, (means - centre) @ weight + bias: log-probabilities up to a constant.

    Attributes:
        centre: mean over speakers of the training clips, (D,).
        weight: (D, K).
        bias: (K,); very low for categories without clips.
    """

    centre: Floats
    weight: Floats
    bias: Floats

    def scores(self, means: Floats) -> Floats:
        """Scores of clips by their mean hidden states, (n, D) to (n, K)."""
        scores: Floats = (means - self.centre) @ self.weight + self.bias
        return scores


def fit_discriminants(
    clips: LabelledClips, sets: Sequence[Sequence[int]], *, n_layers: int, n_categories: int
) -> Discriminant:
    """Fit a discriminant on each set of layers, and average their scores, which is one linear map again.

    Args:
        clips: what to learn from.
        sets: positions of the layers of each set, from 0.
        n_layers: number of layers side by side in a hidden state.
        n_categories: number of categories.
    """
    residual, centre = clips.centred()
    width = residual.shape[1] // n_layers
    weight, bias = np.zeros((residual.shape[1], n_categories)), np.zeros(n_categories)
    for layers in sets:
        columns = np.concatenate([np.arange(layer * width, (layer + 1) * width) for layer in layers])
        of_set, of_bias = _fit(residual[:, columns], clips, clips.shifts[:, columns], n_categories)
        weight[columns] += of_set / len(sets)
        bias += of_bias / len(sets)
    absent = np.setdiff1d(np.arange(n_categories), clips.label)
    bias[absent] = -30.0
    return Discriminant(centre, weight, bias)


def _fit(residual: Floats, clips: LabelledClips, shifts: Floats, n_categories: int) -> tuple[Floats, Floats]:
    """Weights (D, K) and bias (K,) of one discriminant."""
    scale = residual.std(axis=0) + _LEAST_SD
    x = residual / scale
    means = np.zeros((n_categories, x.shape[1]))
    for category in np.unique(clips.label):
        rows = clips.label == category
        means[category] = _category_means(x[rows], clips.corpus[rows]).mean(axis=0)  # corpora have equal weight
    within = x - means[clips.label]
    covariance = (within * clips.weights()[:, None]).T @ within / len(within)
    if len(shifts):
        covariance += SHIFT_SHARE * (shifts / scale).T @ (shifts / scale) / len(shifts)
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance)
    weight = np.linalg.solve(covariance, means.T)
    return weight / scale[:, None], -0.5 * (weight.T * means).sum(axis=1)


def _category_means(rows: Floats, group: np.ndarray) -> Floats:
    """Mean of the rows of each group, (groups, D)."""
    return np.stack([rows[group == name].mean(axis=0) for name in np.unique(group)])
