"""The input of a training step: several utterances with masks for what each lacks, and its augmentation in place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass
class Batch:
    """Several utterances; masks mark what a row lacks, whose values are zeros (NaN for dimensions).

    Attributes:
        rows: (batch,) positions in the `Utterances`.
        frames: (batch, frames, mels) float32 dB, zeros beyond a row's frames.
        n_frames: (batch,) int64.
        text: (batch, text_dim) summary embeddings.
        has_audio, has_text: (batch,) bool.
        target: (batch, categories), a distribution times the weight of the row; zeros without a label.
        dimensions: (batch, 3) in 0..1, NaN without a label.
    """

    rows: Tensor
    frames: Tensor
    n_frames: Tensor
    text: Tensor
    has_audio: Tensor
    has_text: Tensor
    target: Tensor
    dimensions: Tensor

    def inputs(self) -> tuple[Tensor, ...]:
        """The arguments of `SerModel.forward`."""
        return self.frames, self.n_frames, self.text, self.has_audio, self.has_text

    def to(self, device: torch.device | str, **options: Any) -> Batch:
        """The batch on another device; `options` as for `Tensor.to`. Lightning calls it, too."""
        return Batch(**{field.name: getattr(self, field.name).to(device, **options) for field in fields(self)})

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU reads without a copy; called by the loader."""
        return Batch(**{field.name: getattr(self, field.name).pin_memory() for field in fields(self)})


STRIPES = 2
MAX_MELS = 8
MAX_TIME_SHARE = 0.1


def spec_augment(frames: Tensor, n_frames: Tensor, generator: torch.Generator) -> None:
    """Replace two stripes of time (each up to 10 % of the clip) and two of mel bands (up to 8) by the clip's mean.

    SpecAugment (Park et al. 2019) with the stripe widths of PANNs (Kong et al. 2020) on the mel axis.
    `frames` (batch, frames, mels) are changed in place; rows with `n_frames` (batch,) 0 are left alone.
    """
    mels = frames.shape[2]
    chances = torch.rand(len(frames), STRIPES, 4, generator=generator).tolist()
    for clip, n, stripes in zip(frames, n_frames.tolist(), chances, strict=True):
        if n == 0:
            continue
        mean = clip[:n].mean()
        for time_width, time_place, mel_width, mel_place in stripes:
            width = int(time_width * (MAX_TIME_SHARE * n + 1))
            start = int(time_place * (n - width + 1))
            clip[start : start + width] = mean
            width = int(mel_width * (MAX_MELS + 1))
            start = int(mel_place * (mels - width + 1))
            clip[:n, start : start + width] = mean


def mixup(batch: Batch, alpha: float, generator: torch.Generator) -> None:
    """Mix each row with another one that has the same modalities and labels, as Zhang et al. (2018).

    Features, summary embeddings, target distributions and dimensions are mixed with one weight a row, drawn from
    Beta(alpha, alpha).
    """
    partner = _partners(batch, generator)
    gamma = torch._sample_dirichlet(torch.full((len(partner), 2), alpha), generator=generator)
    weight = gamma.amax(dim=1)  # the row itself keeps the larger share

    def mix(values: Tensor) -> Tensor:
        w = weight.view(-1, *[1] * (values.dim() - 1))
        return w * values + (1 - w) * values[partner]

    batch.frames = mix(batch.frames)
    batch.text = mix(batch.text)
    batch.target = mix(batch.target)
    batch.dimensions = mix(batch.dimensions)
    batch.n_frames = torch.maximum(batch.n_frames, batch.n_frames[partner])


def drop_modality(batch: Batch, chance: float, generator: torch.Generator) -> None:
    """Hide one modality, either with equal probability, in a share `chance` of the rows that have both."""
    draw = torch.rand(len(batch.rows), 2, generator=generator)
    dropped = batch.has_audio & batch.has_text & (draw[:, 0] < chance)
    no_audio = dropped & (draw[:, 1] < 0.5)
    no_text = dropped & ~no_audio
    batch.has_audio = batch.has_audio & ~no_audio
    batch.has_text = batch.has_text & ~no_text
    batch.frames[no_audio] = 0
    batch.n_frames = torch.where(no_audio, 0, batch.n_frames)
    batch.text[no_text] = 0


def _partners(batch: Batch, generator: torch.Generator) -> Tensor:
    kind = torch.stack(
        [batch.has_audio, batch.has_text, batch.target.sum(dim=1) > 0, ~batch.dimensions.isnan().any(dim=1)], dim=1
    )
    code = (kind.long() * torch.tensor([1, 2, 4, 8])).sum(dim=1)
    partner = torch.arange(len(code))
    for value in code.unique():
        rows = (code == value).nonzero()[:, 0]
        partner[rows] = rows[torch.randperm(len(rows), generator=generator)]
    return partner
