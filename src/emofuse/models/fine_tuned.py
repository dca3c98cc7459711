"""The highest layers of Whisper that a model uses, trained with it: partial fine-tuning.

The layers below stay frozen, so their states are computed once, as those of a wholly frozen encoder are. What is
trained starts from the pretrained weights: at first it gives the states that the frozen encoder would.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emofuse.encoders.speech import POOL, SpeechEncoder
from emofuse.errors import EmofuseError


class TopLayers(nn.Module):
    """From states of frozen layers to those of all layers, the upper ones computed by copies that can be trained.

    Args:
        encoder: a Whisper; it is left as it is.
        layers: numbers of the hidden states to give, in this order.
        frozen: numbers of the hidden states to take, in this order. The highest is what the first trained layer takes;
            those of `layers` below it are among them.

    Raises:
        EmofuseError: the encoder is no Whisper.
    """

    def __init__(self, encoder: SpeechEncoder, *, layers: Sequence[int], frozen: Sequence[int]) -> None:
        super().__init__()
        require_whisper(encoder)
        self.given, self.taken = list(layers), list(frozen)
        self.base, highest = max(frozen), max(layers)
        model: Any = encoder.model
        self.layers = copy.deepcopy(model.layers[self.base : highest])  # state n is what layer n - 1 gives
        # Whisper normalises what leaves the whole encoder, and only that.
        self.layer_norm = copy.deepcopy(model.layer_norm) if highest == encoder.layers - 1 else nn.Identity()
        self.train().requires_grad_(True)

    def forward(self, frames: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run the trained layers.

        Args:
            frames: (batch, steps, len(frozen) * dim), 50 steps a second; what lies beyond a row's n_frames is ignored.
            n_frames: (batch,) int64 valid steps of each row, or None if all are valid.

        Returns:
            States (batch, ceil(steps / 4), len(layers) * dim), averaged over every 4 steps (the last of fewer), as
            `encoders.speech.pool_time` averages, and the valid ones of each row, at least 1.
        """
        valid = mask = None
        if n_frames is not None:
            n_frames = n_frames.clamp(min=1)  # attention to nothing would be no number
            valid = torch.arange(frames.shape[1], device=frames.device) < n_frames.unsqueeze(1)  # (batch, steps)
            mask = torch.zeros_like(valid, dtype=frames.dtype).masked_fill(~valid, -1e9)[:, None, None]
            n_frames = (n_frames + POOL - 1) // POOL
        states = dict(zip(self.taken, frames.unflatten(2, (len(self.taken), -1)).unbind(2), strict=True))
        hidden = states[self.base]  # (batch, steps, dim)
        for number, layer in enumerate(self.layers, self.base + 1):
            hidden = layer(hidden, mask)
            states[number] = hidden
        states[number] = self.layer_norm(hidden)
        return _pooled(torch.cat([states[layer] for layer in self.given], dim=2), valid), n_frames


def require_whisper(encoder: SpeechEncoder) -> None:
    """See that an encoder's layers can be trained.

    Raises:
        EmofuseError: it is no Whisper.
    """
    if not encoder.reads_log_mel:
        raise EmofuseError(
            f"model.fine_tune_layers: speech encoder {encoder.name!r} is no Whisper, whose layers alone can be "
            "trained. Give a Whisper, or 0 layers."
        )


def _pooled(states: Tensor, valid: Tensor | None) -> Tensor:
    """Means of the valid steps of every `POOL`; zero where none is valid."""
    if valid is None:
        return _means(states)
    share = _means(valid.unsqueeze(2).to(states.dtype)).clamp(min=1 / POOL)
    return _means(states.masked_fill(~valid.unsqueeze(2), 0.0)) / share


def _means(steps: Tensor) -> Tensor:
    return nn.functional.avg_pool1d(steps.transpose(1, 2), POOL, ceil_mode=True).transpose(1, 2)
