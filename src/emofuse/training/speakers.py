"""Speakers in training: fit the speaker adapter, apply it to evaluation data, and vary speakers and rooms.

A voice, its room and its recording line move all hidden states of a clip by nearly the same amount, an *offset*.
`emofuse.models.adapter.SpeakerAdapter` estimates the offset from several clips of a speaker; `fit_adapter` fits it by
regularised linear discriminant analysis (Friedman 1989, "Regularized discriminant analysis") on clips minus the mean of
their speaker. `RandomOffsets` augments training: it removes a clip's offset, replaces it by that of another speaker, or
adds the shift that a change of room caused on another clip. This costs one addition and reads no audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from emofuse.data.utterances import Utterances
from emofuse.errors import EmofuseError
from emofuse.files import atomic, read_json, write_json
from emofuse.models.adapter import SpeakerAdapter, spread

Floats = np.ndarray

FOLDS = 4  # of speakers, for measuring spreads
RIDGE = 1.0  # added to the variance of standardised features; less makes unseen speakers spread much more
_MIN_SPEAKERS = 4
_MIN_CLIPS = 4  # of one emotion of a speaker, to measure their spread
_MIN_VARIANCE = 1e-3  # directions with less within-class variance, relative to the largest, are dropped
_MAX_SWAP = 1.5  # times the size of another speaker's offset


def fit_run_adapter(train: Utterances) -> SpeakerAdapter | None:
    """Fit an adapter on the training rows of a run; None if they have too few speakers or emotions."""
    speakers = train.table["speaker"]
    rows = np.flatnonzero(train.has_audio & (train.label >= 0) & speakers.notna().to_numpy() & ~train.composed)
    try:
        return fit_adapter(train.means()[0, rows], train.label[rows], speakers.to_numpy()[rows].astype(str))
    except EmofuseError:
        return None


def fit_adapter(means: Floats, labels: Floats, speakers: Floats, *, shrinkage: float = 3.0) -> SpeakerAdapter:
    """Fit an adapter on labelled clips of several speakers.

    Spreads are measured on speakers that the directions were not fitted on, because clips of the fitted speakers spread
    less.

    Args:
        means: hidden states of each clip averaged over time, (n, D), without augmentation.
        labels: category of each clip, (n,).
        speakers: speaker of each clip, (n,); names must differ across corpora.
        shrinkage: see `SpeakerAdapter`.

    Raises:
        EmofuseError: fewer than four speakers, or no speaker has several emotions with four clips each.
    """
    order = np.lexsort((labels, speakers))
    means = np.asarray(means, np.float64)[order]
    names, speaker = np.unique(np.asarray(speakers)[order], return_inverse=True)
    emotions, label = np.unique(np.asarray(labels)[order], return_inverse=True)
    if len(names) < _MIN_SPEAKERS:
        raise EmofuseError(
            f"Speaker adaptation needs at least {_MIN_SPEAKERS} speakers with labels, but there are {len(names)}. "
            "Add a corpus."
        )
    voices = np.stack([_class_means(means[speaker == k], label[speaker == k]).mean(axis=0) for k in range(len(names))])
    residual = means - voices[speaker]
    one, mixed = [], []  # spread of clips of one emotion, and of mixed emotions
    for fold in range(FOLDS):
        fitted = speaker % FOLDS != fold
        projected = residual @ _directions(residual[fitted], label[fitted])
        for k in np.unique(speaker[~fitted]):
            groups = [projected[(speaker == k) & (label == c)] for c in range(len(emotions))]
            groups = [group for group in groups if len(group) >= _MIN_CLIPS]
            if len(groups) > 1:
                one += [spread(group, np.full(len(group), 1 / len(group))) for group in groups]
                weight = np.concatenate([np.full(len(group), 1 / (len(group) * len(groups))) for group in groups])
                mixed.append(spread(np.concatenate(groups), weight))
    if not mixed or np.mean(mixed) <= np.mean(one):
        raise EmofuseError(
            f"Speaker adaptation needs speakers with at least {_MIN_CLIPS} clips each of several emotions that differ "
            f"in the hidden states; the {len(means)} clips of {len(names)} speakers have none. Add a corpus."
        )
    return SpeakerAdapter(
        centre=voices.mean(axis=0).astype(np.float32),
        directions=_directions(residual, label).astype(np.float32),
        one=float(np.mean(one)),
        mixed=float(np.mean(mixed)),
        shrinkage=shrinkage,
    )


def estimate_offsets(data: Utterances, adapter: SpeakerAdapter) -> Floats:
    """Offset of each row's speaker, float32 (rows, D), estimated without labels from all clips of the speaker.

    Rows without audio or without a speaker have zeros.
    """
    means = data.means()[0]
    offsets = np.zeros_like(means)
    speakers = data.table["speaker"]
    for speaker in speakers.dropna().unique():
        rows = np.flatnonzero((speakers == speaker).to_numpy() & data.has_audio)
        offsets[rows] = adapter.offset(means[rows], data.n_frames[rows] / data.features.rate)
    return offsets


def save_adapter_arrays(adapter: SpeakerAdapter, path: Path) -> None:
    """Write the arrays of an adapter (.npz); its numbers are `SpeakerAdapter.facts`."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **adapter.tensors())


def save_run_adapter(adapter: SpeakerAdapter, run: Path) -> None:
    """Write an adapter to a run folder: `adapter.npz` and `adapter.json`."""
    save_adapter_arrays(adapter, run / "adapter.npz")
    write_json(run / "adapter.json", adapter.facts())


def load_run_adapter(run: Path) -> SpeakerAdapter | None:
    """Read the adapter of a run folder; None if it has none."""
    if not (run / "adapter.json").exists():
        return None
    with np.load(run / "adapter.npz", allow_pickle=False) as tensors:
        return SpeakerAdapter.load(dict(tensors), read_json(run / "adapter.json"))


class RandomOffsets:
    """Random changes of the offsets of clips, for training.

    Args:
        means: float32 (copies, rows, width), hidden states averaged over time: first of the clips as recorded, then of
            their augmented copies (`emofuse.data.states`); NaN in rows without audio.
        speakers: speaker of each row; None if unknown.
        centre: probability of subtracting the speaker's offset: the mean of the speaker's clips minus that of all.
        swap: probability of replacing the speaker's offset by that of another speaker, scaled by 0 to 1.5.
        borrow: probability of adding the shift in hidden states that augmentation caused on another clip, scaled by 0
            to 1. Independent of the other two.
    """

    def __init__(
        self,
        means: Floats,
        speakers: Sequence[str | None],
        *,
        centre: float = 0.0,
        swap: float = 0.0,
        borrow: float = 0.0,
    ):
        self.centre, self.swap, self.borrow = centre, swap, borrow
        self._means = means
        self._rows_with_audio = np.flatnonzero(~np.isnan(means[0, :, 0]))
        self._speaker, self._offsets = speaker_offsets(means[0], speakers)

    def change(self, row: int, generator: torch.Generator) -> Floats:
        """Draw what to add to each frame of a clip, (width,)."""
        draw, size, other, share, clip, copy, strength = torch.rand(7, generator=generator).tolist()
        change = np.zeros(self._means.shape[2], np.float32)
        speaker = self._speaker[row]
        if speaker >= 0 and draw < self.centre + self.swap:
            change -= self._offsets[speaker]
            if draw >= self.centre:
                others = len(self._offsets) - 1
                change += _MAX_SWAP * size * self._offsets[(speaker + 1 + int(other * others)) % (others + 1)]
        copies = len(self._means) - 1
        if copies and share < self.borrow:
            lender = self._rows_with_audio[int(clip * len(self._rows_with_audio))]
            change += strength * (self._means[1 + int(copy * copies), lender] - self._means[0, lender])
        return change


def speaker_offsets(means: Floats, speakers: Sequence[str | None]) -> tuple[Floats, Floats]:
    """Mean of each speaker's clips minus the mean of all clips.

    Args:
        means: (rows, width), NaN in rows without audio.
        speakers: speaker of each row; None if unknown.

    Returns:
        Number of each row's speaker (rows,), -1 if unknown or without audio, and the offsets (speakers, width).
    """
    has_audio = ~np.isnan(means[:, 0])
    known = np.array([isinstance(name, str) for name in speakers], bool) & has_audio
    names, numbers = np.unique(np.asarray(speakers, object)[known].astype(str), return_inverse=True)
    speaker = np.full(len(means), -1)
    speaker[known] = numbers
    overall = means[has_audio].mean(axis=0) if has_audio.any() else np.zeros(means.shape[1], means.dtype)
    offsets = [means[speaker == i].mean(axis=0) - overall for i in range(len(names))]
    return speaker, np.array(offsets, means.dtype).reshape(len(offsets), means.shape[1])


def _class_means(rows: Floats, label: Floats) -> Floats:
    """Mean of the rows of each class, (classes, D)."""
    return np.stack([rows[label == c].mean(axis=0) for c in np.unique(label)])


def _directions(residual: Floats, label: Floats) -> Floats:
    """Linear discriminants, (D, Q), of clips minus the mean of their speaker, (n, D); variance 1 within an emotion."""
    _, numbers = np.unique(label, return_inverse=True)
    classes = _class_means(residual, label)
    within = residual - classes[numbers]
    centred = classes - classes.mean(axis=0)
    scale = within.std(axis=0) + 1e-6 * within.std() + 1e-12
    within /= scale
    covariance = within.T @ within / len(within)
    axes = np.linalg.solve(covariance + RIDGE * np.eye(len(covariance)), (centred / scale).T)
    variance, rotation = np.linalg.eigh(axes.T @ covariance @ axes)
    used = variance > _MIN_VARIANCE * variance.max()
    directions: Floats = (axes @ (rotation[:, used] * variance[used] ** -0.5)) / scale[:, None]
    return directions
