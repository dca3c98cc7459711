"""Partial fine-tuning: training the highest layers of Whisper together with the model.

The layers below stay frozen, so their hidden states are computed once and cached. The trained layers start from the
pretrained weights, so that they initially return the hidden states of the frozen encoder.
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
    """Computes the hidden states of the upper layers from those of frozen layers, with trainable copies of the layers.

    Args:
        encoder: a Whisper encoder; it is not changed.
        layers: numbers of the layers whose states are returned, in this order.
        frozen: numbers of the layers whose states are given, in this order. The highest is the input of the first
            trained layer; all of `layers` below it are included.

    Raises:
        EmofuseError: the encoder is not a Whisper.
    """

    def __init__(self, encoder: SpeechEncoder, *, layers: Sequence[int], frozen: Sequence[int]) -> None:
        super().__init__()
        require_whisper(encoder)
        self.output_layers, self.input_layers = list(layers), list(frozen)
        self.base, highest = max(frozen), max(layers)
        model: Any = encoder.model
        self.layers = copy.deepcopy(model.layers[self.base : highest])  # layers are numbered from 1
        # Whisper normalises only the output of the last layer.
        self.layer_norm = copy.deepcopy(model.layer_norm) if highest == encoder.layers - 1 else nn.Identity()
        self.train().requires_grad_(True)

    def forward(self, frames: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run the trained layers.

        Args:
            frames: (batch, steps, len(frozen) * dim), 50 steps per second; ignored beyond a row's n_frames.
            n_frames: (batch,) int64 valid steps of each row, or None if all are valid.

        Returns:
            States (batch, ceil(steps / 4), len(layers) * dim), averaged as by `encoders.speech.pool_time`, and the
            number of valid ones in each row, at least 1.
        """
        valid = mask = None
        if n_frames is not None:
            n_frames = n_frames.clamp(min=1)  # attention over no steps would be NaN
            valid = torch.arange(frames.shape[1], device=frames.device) < n_frames.unsqueeze(1)  # (batch, steps)
            mask = torch.zeros_like(valid, dtype=frames.dtype).masked_fill(~valid, -1e9)[:, None, None]
            n_frames = (n_frames + POOL - 1) // POOL
        states = dict(zip(self.input_layers, frames.unflatten(2, (len(self.input_layers), -1)).unbind(2), strict=True))
        hidden = states[self.base]  # (batch, steps, dim)
        for number, layer in enumerate(self.layers, self.base + 1):
            hidden = layer(hidden, mask)
            states[number] = hidden
        states[number] = self.layer_norm(hidden)
        return _pooled(torch.cat([states[layer] for layer in self.output_layers], dim=2), valid), n_frames


def require_whisper(encoder: SpeechEncoder) -> None:
    """Check that the layers of an encoder can be trained.

    Raises:
        EmofuseError: it is not a Whisper.
    """
    if not encoder.reads_log_mel:
        raise EmofuseError(
            f"model.fine_tune_layers: speech encoder {encoder.name!r} is not a Whisper. Only layers of Whisper can be "
            "trained: give a Whisper, or set model.fine_tune_layers = 0."
        )


def _pooled(states: Tensor, valid: Tensor | None) -> Tensor:
    """Average the valid ones of every `POOL` steps; zero if none is valid."""
    if valid is None:
        return _means(states)
    share = _means(valid.unsqueeze(2).to(states.dtype)).clamp(min=1 / POOL)
    return _means(states.masked_fill(~valid.unsqueeze(2), 0.0)) / share


def _means(steps: Tensor) -> Tensor:
    return nn.functional.avg_pool1d(steps.transpose(1, 2), POOL, ceil_mode=True).transpose(1, 2)
