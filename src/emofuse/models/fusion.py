"""Averages of several networks: late fusion of an audio and a text model, and ensembles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LateModel(nn.Module):
    """Late fusion: the average of the predictions of two unimodal models.

    A row that lacks one modality gets the prediction of the other model.

    Args:
        audio: `SerModel` with fusion "audio_only".
        text: `SerModel` with fusion "text_only".
        weight: weight of the audio model in 0..1, a buffer; change it with `set_weight`.
    """

    weight: Tensor

    def __init__(self, audio: nn.Module, text: nn.Module, weight: float = 0.5) -> None:
        super().__init__()
        self.audio, self.text = audio, text
        self.register_buffer("weight", torch.tensor(0.5))
        self.set_weight(weight)

    def set_weight(self, weight: float) -> None:
        """Set the weight of the audio model.

        Raises:
            ValueError: the weight is not in 0..1.
        """
        if not 0 <= weight <= 1:
            raise ValueError(f"weight = {weight}: expected 0..1")
        self.weight.fill_(weight)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether the model can predict from text without audio (always True)."""
        return True

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """Predict as `SerModel.forward`; "logits" are logarithms of averaged probabilities."""
        from_audio = self.audio(frames, n_frames, text, has_audio, has_text)
        from_text = self.text(frames, n_frames, text, has_audio, has_text)
        share = torch.where(has_audio & has_text, self.weight, has_audio.to(self.weight.dtype)).unsqueeze(1)
        outputs = {}
        if "logits" in from_audio:
            posterior = share * from_audio["logits"].softmax(dim=1) + (1 - share) * from_text["logits"].softmax(dim=1)
            outputs["logits"] = _log(posterior)
        if "dimensions" in from_audio:
            outputs["dimensions"] = share * from_audio["dimensions"] + (1 - share) * from_text["dimensions"]
        return outputs


class Ensemble(nn.Module):
    """The average of networks of one recipe with different initial weights, which reduces the effect of the seed.

    Each network is trained separately (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive
    uncertainty estimation using deep ensembles").

    Args:
        members: networks with the same inputs and outputs.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def reads_text_without_audio(self) -> bool:
        """Whether the model can predict from text without audio."""
        return bool(self.members[0].reads_text_without_audio)

    def forward(
        self, frames: Tensor, n_frames: Tensor, text: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> dict[str, Tensor]:
        """Predict as `SerModel.forward`; "logits" are logarithms of averaged probabilities."""
        predictions = [member(frames, n_frames, text, has_audio, has_text) for member in self.members]
        outputs = {}
        if "logits" in predictions[0]:
            outputs["logits"] = _log(torch.stack([p["logits"].softmax(dim=1) for p in predictions]).mean(dim=0))
        if "dimensions" in predictions[0]:
            outputs["dimensions"] = torch.stack([p["dimensions"] for p in predictions]).mean(dim=0)
        return outputs


def _log(posterior: Tensor) -> Tensor:
    return posterior.clamp(min=torch.finfo(posterior.dtype).tiny).log()
