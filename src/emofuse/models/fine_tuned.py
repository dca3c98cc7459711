"""Partial fine-tuning: the highest layers of a speech encoder are trained together with the model that reads them.

The layers below stay frozen, so their hidden states are computed once and stored, like those of a frozen encoder. The
trained layers start from the pretrained weights: before the first step they give the states of the frozen encoder.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emofuse.encoders.speech import POOL, SpeechEncoder


class TopLayers(nn.Module):
    """Trainable copies of the highest layers of a Whisper, wav2vec2, HuBERT or WavLM.

    Args:
        encoder: the pretrained encoder, which is left as it is.
        layers: numbers of the hidden states to return, in this order.
        frozen: numbers of the hidden states that are given, in this order. The highest is the input of the first
            trained layer; those of `layers` below it are among them.
    """

    def __init__(self, encoder: SpeechEncoder, *, layers: Sequence[int], frozen: Sequence[int]) -> None:
        super().__init__()
        self.returned, self.given = list(layers), list(frozen)
        self.base, highest = max(frozen), max(layers)
        model: Any = encoder.model
        blocks = model if encoder.reads_log_mel else model.encoder
        self.layers = copy.deepcopy(blocks.layers[self.base : highest])  # layer n - 1 gives state n
        # The last hidden state of Whisper is normalised; those of the others are as they leave their layers.
        normalised = encoder.reads_log_mel and highest == encoder.layers - 1
        self.layer_norm = copy.deepcopy(blocks.layer_norm) if normalised else nn.Identity()
        self.kind: str = model.config.model_type
        if self.kind == "wavlm":  # the layers share relative positions, which the first one of all embeds
            self.layers[0].attention.rel_attn_embed = copy.deepcopy(blocks.layers[0].attention.rel_attn_embed)
        self.train().requires_grad_(True)

    def forward(self, frames: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Run the trained layers.

        Args:
            frames: (batch, steps, len(frozen) * dim), 50 steps a second; steps beyond a row's n_frames are ignored.
            n_frames: (batch,) int64 valid steps of each row, or None if all are valid.

        Returns:
            States (batch, ceil(steps / 4), len(layers) * dim), averaged over every 4 steps (the last of fewer), as
            `encoders.speech.pool_time` averages, and the number of valid ones in each row, at least 1.
        """
        valid = None
        if n_frames is not None:
            n_frames = n_frames.clamp(min=1)  # attention over no step is NaN
            valid = torch.arange(frames.shape[1], device=frames.device) < n_frames.unsqueeze(1)  # (batch, steps)
            n_frames = (n_frames + POOL - 1) // POOL
        states = dict(zip(self.given, frames.unflatten(2, (len(self.given), -1)).unbind(2), strict=True))
        outputs = self._outputs(states[self.base], valid)
        states |= dict(enumerate(outputs, self.base + 1))
        states[self.base + len(outputs)] = self.layer_norm(outputs[-1])
        return _pooled(torch.cat([states[layer] for layer in self.returned], dim=2), valid), n_frames

    def _outputs(self, hidden: Tensor, valid: Tensor | None) -> list[Tensor]:
        """What each trained layer gives, (batch, steps, dim)."""
        outputs = []
        if self.kind == "wavlm":
            positions = None  # the first layer makes them, the others take them over
            mask = None if valid is None else valid.long()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # of transformers' own
                for layer in self.layers:
                    hidden, positions = layer(hidden, mask, positions)
                    outputs.append(hidden)
            return outputs
        mask = None
        if valid is not None:
            mask = torch.zeros_like(valid, dtype=hidden.dtype).masked_fill(~valid, -1e9)[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, mask)
            outputs.append(hidden)
        return outputs


def _pooled(states: Tensor, valid: Tensor | None) -> Tensor:
    """Average the valid ones of every `POOL` steps; zero if none is valid."""
    if valid is None:
        return _means(states)
    share = _means(valid.unsqueeze(2).to(states.dtype)).clamp(min=1 / POOL)
    return _means(states.masked_fill(~valid.unsqueeze(2), 0.0)) / share


def _means(steps: Tensor) -> Tensor:
    return nn.functional.avg_pool1d(steps.transpose(1, 2), POOL, ceil_mode=True).transpose(1, 2)
