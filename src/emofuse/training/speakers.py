"""Speakers in training: fit the speaker adapter, apply it to evaluation data, and vary speakers and rooms.

A voice, its room and its recording line move all hidden states of a clip by nearly the same amount, an *offset*.
`emofuse.models.adapter.SpeakerAdapter` estimates the offset from several clips of a speaker; `fit_adapter` fits it.
`RandomOffsets` augments training: it subtracts the offset that some other clips of the speaker give, from none to
many, as in use, and adds the shift that a change of room caused on another clip. This costs one addition and reads no
audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emofuse.config import ModelConfig
from emofuse.data.utterances import Utterances
from emofuse.files import atomic, read_json, write_json
from emofuse.models.adapter import InformationRule, SpeakerAdapter
from emofuse.training.discriminants import Discriminant, LabelledClips, fit_discriminants

Floats = np.ndarray

MIN_SPEAKERS = 4
FOLDS = 4  # of speakers, for scores of clips whose speaker the discriminant does not know
SHRINKAGE = 3.0
# Chosen by leaving one corpus out of three; docs/results/default-model.md has the others that were tried.
LOW, HIGH, MOST = 0.5, 0.65, 0.75


def labelled_clips(rows: Utterances) -> LabelledClips | None:
    """The clips of speakers with at least two known categories; None if they are under four speakers.

    Clips of a speaker who shows one emotion only do not say what of their mean is emotion and what is voice.
    """
    speakers = rows.table["speaker"]
    used = np.flatnonzero(rows.has_audio & (rows.label >= 0) & speakers.notna().to_numpy() & ~rows.composed)
    categories = pd.Series(rows.label[used]).groupby(speakers.to_numpy()[used]).transform("nunique")
    used = used[categories.to_numpy() > 1]
    speaker, label = speakers.to_numpy()[used].astype(str), rows.label[used]
    if len(set(speaker)) < MIN_SPEAKERS:
        return None
    means = rows.means()[:, used]
    corpus = rows.table["corpus"].to_numpy()[used].astype(str)
    shifts = (means[1:] - means[0]).reshape(-1, means.shape[2])
    return LabelledClips(means[0], label, speaker, corpus, shifts)


def discriminant_of(config: ModelConfig, clips: LabelledClips, n_categories: int) -> Discriminant:
    """The discriminants of a model averaged; of a model without any, one discriminant on all its layers."""
    layers = config.frozen_layers
    sets = [[layers.index(layer) for layer in one] for one in config.discriminants] or [list(range(len(layers)))]
    return fit_discriminants(clips, sets, n_layers=len(layers), n_categories=n_categories)


def fit_adapter(config: ModelConfig, clips: LabelledClips, n_categories: int) -> SpeakerAdapter:
    """Fit an adapter on labelled clips of several speakers.

    How far an emotion moves the scores is measured on speakers that the discriminant was not fitted on, because the
    scores of the fitted ones move further.

    Args:
        config: names the layers of a hidden state, and the model's discriminants.
        clips: of at least four speakers with at least two categories each.
        n_categories: number of categories.
    """
    speaker = np.unique(clips.speaker, return_inverse=True)[1]
    total, count = np.zeros((n_categories, n_categories)), np.zeros(n_categories)
    for fold in range(FOLDS):
        fitted = speaker % FOLDS != fold
        if len(np.unique(clips.label[fitted])) < 2 or len(np.unique(speaker[fitted])) < FOLDS - 1:
            continue
        discriminant = discriminant_of(config, clips.rows(fitted), n_categories)
        scores = discriminant.scores(clips.means) - discriminant.bias
        for number in np.unique(speaker[~fitted]):
            rows = speaker == number
            categories = np.unique(clips.label[rows])
            means = np.stack([scores[rows & (clips.label == category)].mean(axis=0) for category in categories])
            total[categories] += means - means.mean(axis=0)
            count[categories] += 1
    whole = discriminant_of(config, clips, n_categories)
    rule = InformationRule(
        projection=whole.weight.astype(np.float32),
        bias=whole.bias.astype(np.float32),
        moves=(total / np.maximum(count, 1)[:, None]).astype(np.float32),
        low=LOW,
        high=HIGH,
        most=MOST,
    )
    return SpeakerAdapter(whole.centre.astype(np.float32), rule, SHRINKAGE)


def estimate_offsets(
    data: Utterances, adapter: SpeakerAdapter, *, clips: int | None = None, same_emotion: bool = False, seed: int = 0
) -> Floats:
    """Offset of each row's speaker by other clips of the speaker, whose labels are not used, float32 (rows, D).

    Rows without audio or without a speaker have zeros.

    Args:
        data: rows of one part.
        adapter: estimates the offsets.
        clips: number of clips that are drawn for each row; None: all others of the speaker.
        same_emotion: whether to draw only clips of the row's own category, which is what an adapter must not fall for.
        seed: seed of the draws.
    """
    means = data.means()[0]
    offsets = np.zeros_like(means)
    speakers = data.table["speaker"]
    seconds = data.n_frames / data.features.rate
    random = np.random.default_rng(seed)
    for speaker in speakers.dropna().unique():
        rows = np.flatnonzero((speakers == speaker).to_numpy() & data.has_audio)
        for row in rows:
            others = rows[(rows != row) & (data.label[rows] == data.label[row])] if same_emotion else rows[rows != row]
            chosen = others if clips is None else random.permutation(others)[:clips]
            offsets[row] = adapter.offset(means[chosen], seconds[chosen])
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
        other_clips: numbers of other clips of the speaker, one of which is drawn for each clip; the offset that so many
            clips give is subtracted, shrunk as in use. Empty: none is.
        borrow: probability of adding the shift in hidden states that augmentation caused on another clip, scaled by 0
            to 1. Independent of the speaker.
    """

    def __init__(
        self,
        means: Floats,
        speakers: Sequence[str | None],
        *,
        other_clips: Sequence[int] = (),
        borrow: float = 0.0,
    ):
        self.other_clips, self.borrow = list(other_clips), borrow
        self._means = means
        has_audio = ~np.isnan(means[0, :, 0])
        self._rows_with_audio = np.flatnonzero(has_audio)
        known = np.array([isinstance(name, str) for name in speakers], bool) & has_audio
        names, numbers = np.unique(np.asarray(speakers, object)[known].astype(str), return_inverse=True)
        self._speaker = np.full(len(speakers), -1)
        self._speaker[known] = numbers
        self._rows_of = [np.flatnonzero(self._speaker == number) for number in range(len(names))]
        voices = [means[0, rows].mean(axis=0) for rows in self._rows_of]
        self._centre = np.mean(voices, axis=0) if voices else np.zeros(means.shape[2], means.dtype)

    def change(self, row: int, generator: torch.Generator) -> Floats:
        """Draw what to add to each frame of a clip, (width,)."""
        number, share, clip, copy, strength = torch.rand(5, generator=generator).tolist()
        change = np.zeros(self._means.shape[2], np.float32)
        if self.other_clips and self._speaker[row] >= 0:
            rows = self._rows_of[self._speaker[row]]
            drawn = rows[torch.randperm(len(rows), generator=generator).numpy()]
            others = drawn[drawn != row][: self.other_clips[int(number * len(self.other_clips))]]
            if len(others):
                deviation = self._means[0, others].mean(axis=0) - self._centre
                change -= len(others) / (len(others) + SHRINKAGE) * deviation
        copies = len(self._means) - 1
        if copies and share < self.borrow:
            lender = self._rows_with_audio[int(clip * len(self._rows_with_audio))]
            change += strength * (self._means[1 + int(copy * copies), lender] - self._means[0, lender])
        return change
