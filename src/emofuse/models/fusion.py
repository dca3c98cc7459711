"""Answers of several networks, averaged: late fusion of an audio and a text model, and ensembles of like ones."""

from __future__ import annotations

from collections.abc import Sequence

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
            outputs["logits"] = _log(posterior)
        if "dimensions" in heard:
            outputs["dimensions"] = share * heard["dimensions"] + (1 - share) * read["dimensions"]
        return outputs


class Ensemble(nn.Module):
    """Networks of one recipe that started differently, averaged: less of an answer hangs on the draw of the start.

    Each is trained for itself (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive uncertainty
    estimation using deep ensembles").

    Args:
        members: networks that take and return the same.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether text has a say on rows without audio."""
        return bool(self.members[0].reads_text_without_audio)

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """As `SerModel.forward`; "logits" are the logarithms of the averaged probabilities."""
        answers = [member(frames, n_frames, text, has_audio, has_text) for member in self.members]
        outputs = {}
        if "logits" in answers[0]:
            outputs["logits"] = _log(torch.stack([answer["logits"].softmax(dim=1) for answer in answers]).mean(dim=0))
        if "dimensions" in answers[0]:
            outputs["dimensions"] = torch.stack([answer["dimensions"] for answer in answers]).mean(dim=0)
        return outputs


def _log(posterior: Tensor) -> Tensor:
    return posterior.clamp(min=torch.finfo(posterior.dtype).tiny).log()
