"""The input of a training step: several utterances with masks for what each lacks."""

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
