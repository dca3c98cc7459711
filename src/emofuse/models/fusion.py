"""Late fusion: the answers of an audio model and a text model, averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LateModel(nn.Module):
    """Two unimodal models whose posteriors and values are averaged.

    A row that lacks one modality gets the answer of the other model.

    Args:
        audio: model that listens (`SerModel` with fusion "audio_only").
        text: model that reads (`SerModel` with fusion "text_only").
        weight: share of the audio model in 0..1, kept as a buffer: fit it with `set_weight`.
    """

    weight: Tensor

    def __init__(self, audio: nn.Module, text: nn.Module, weight: float = 0.5) -> None:
        super().__init__()
        self.audio, self.text = audio, text
        self.register_buffer("weight", torch.tensor(0.5))
        self.set_weight(weight)

    def set_weight(self, weight: float) -> None:
        """Set the share of the audio model.

        Raises:
            ValueError: not in 0..1.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"weight = {weight}: expected 0..1")
        self.weight.fill_(weight)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether text has a say on rows without audio: yes."""
        return True

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """As `SerModel.forward`; "logits" are the logarithms of the averaged probabilities."""
        heard = self.audio(frames, n_frames, text, has_audio, has_text)
        read = self.text(frames, n_frames, text, has_audio, has_text)
        share = torch.where(has_audio & has_text, self.weight, has_audio.to(self.weight.dtype)).unsqueeze(1)
        outputs = {}
        if "logits" in heard:
            posterior = share * heard["logits"].softmax(dim=1) + (1 - share) * read["logits"].softmax(dim=1)
            outputs["logits"] = posterior.clamp(min=torch.finfo(posterior.dtype).tiny).log()
        if "dimensions" in heard:
            outputs["dimensions"] = share * heard["dimensions"] + (1 - share) * read["dimensions"]
        return outputs
