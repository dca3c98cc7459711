"""Audio encoders on top of a frozen speech encoder: a ladder over its layers, or a learned mix of them.

The input is the concatenated hidden states of several layers, averaged over short stretches of time (12.5 per second).
The ladder moves the multistage conditioning of Triantafyllopoulos et al. 2023 from the blocks of a CNN to the layers of
a pretrained encoder: each rung adds one layer, and text may condition each rung. A light side network beside a frozen
network was proposed by Sung et al. 2022 ("LST: Ladder Side-Tuning", https://arxiv.org/abs/2206.06522); the mix is the
weighted sum of SUPERB (Yang et al. 2021, https://arxiv.org/abs/2105.01051).

`TopLayers` trains the highest layers of the speech encoder too (partial fine-tuning): the layers below stay frozen, so
their hidden states are computed once and stored, and before the first step the trained ones give the frozen states.

As in `cnn`, steps beyond a row's `n_frames` are zero in every map. A map is (batch, channels, steps, 1).
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emofuse.encoders.speech import POOL, SpeechEncoder
from emofuse.models.cnn import Act, mask_frames, valid_frames

Pooling = Literal["mean", "mean_std", "attention"]


class StatesNorm(nn.Module):
    """Normalises every value of the states to mean 0 and variance 1 over the training data, without padding.

    Args:
        dim: layers * size of a state.
        dropout: probability of dropping a value at all steps of a clip (at single steps, the mean over time would
            hardly change).
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim, affine=False, momentum=0.01)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, states: Tensor, n_frames: Tensor | None) -> Tensor:
        """States (batch, steps, dim), zero beyond n_frames."""
        return self.dropout(self._normal(states, n_frames).transpose(1, 2)).transpose(1, 2)

    def _normal(self, states: Tensor, n_frames: Tensor | None) -> Tensor:
        valid = None if n_frames is None else valid_frames(states.shape[1], n_frames)
        if valid is not None and self.training:
            x = states.new_zeros(states.shape)
            x[valid] = self.norm(states[valid])
            return x
        x = self.norm(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        return x if valid is None else x.masked_fill(~valid.unsqueeze(2), 0.0)


class Pool(nn.Module):
    """Pools a map (batch, channels, steps, 1) over the valid steps to (batch, pooled_dim), in float32.

    Args:
        channels: channels of the map.
        kind: mean; mean_std, mean and standard deviation; or attention, a mean with learned weights.
    """

    def __init__(self, channels: int, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind
        self.dim = 2 * channels if kind == "mean_std" else channels
        if kind == "attention":
            self.score = nn.Linear(channels, 1, bias=False)  # softmax cancels a bias
            nn.init.zeros_(self.score.weight)  # initially all steps have equal weight

    def forward(self, x: Tensor, n_frames: Tensor | None) -> Tensor:
        """Pool a map."""
        x = x.squeeze(3).float()  # (batch, channels, steps)
        steps = torch.arange(x.shape[2], device=x.device)
        ends = x.new_full((1,), x.shape[2]) if n_frames is None else n_frames
        valid = (steps < ends.unsqueeze(1)).unsqueeze(1)  # (batch or 1, 1, steps)
        if self.kind == "attention":
            scores = self.score(x.transpose(1, 2)).transpose(1, 2)  # (batch, 1, steps)
            return (x * scores.masked_fill(~valid, -1e9).softmax(dim=2)).sum(dim=2)
        n = valid.sum(dim=2).clamp(min=1)  # (batch or 1, 1)
        mean = x.sum(dim=2) / n
        if self.kind == "mean":
            return mean
        variance = ((x - mean.unsqueeze(2)).square() * valid).sum(dim=2) / n
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)


class _StatesEncoder(nn.Module, ABC):
    """The parts that both encoders share: normalisation, pooling over time, clip embedding.

    Args:
        n_layers: number of layers.
        state_dim: size of a hidden state.
        dim: width of the map.
        pooling: pooling over time.
        input_dropout: probability of dropping a value of the states at all steps of a training clip.

    Attributes:
        channels: width of each stage.
        pooled_dim: size of the pooled map.
        embedding_dim: size of the clip embedding.
    """

    def __init__(
        self, n_layers: int, state_dim: int, dim: int, *, pooling: Pooling = "mean", input_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.norm = StatesNorm(n_layers * state_dim, input_dropout)
        self._add_stages(state_dim, dim)
        self.pooled = Pool(dim, pooling)
        self.pooled_dim, self.embedding_dim = self.pooled.dim, dim
        self.fc1 = nn.Linear(self.pooled_dim, dim)

    @abstractmethod
    def _add_stages(self, state_dim: int, dim: int) -> None: ...

    def _layers(self, states: Tensor, n_frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Normalised states (batch, steps, n_layers, state_dim), and n_frames, at least 1.

        The one step of a row without audio is where the model puts its embedding of missing audio.
        """
        n_frames = None if n_frames is None else n_frames.clamp(min=1)
        return self.norm(states, n_frames).unflatten(2, (self.n_layers, -1)), n_frames

    def pool(self, x: Tensor, n_frames: Tensor | None) -> Tensor:
        """Pool a map (batch, dim, steps, 1) over time to (batch, pooled_dim)."""
        return self.pooled(x, n_frames)

    def embed(self, pooled: Tensor) -> Tensor:
        """Clip embedding (batch, dim), never negative, of the pooled map."""
        return self.fc1(pooled).relu()


class Ladder(_StatesEncoder):
    """One rung per layer: h <- m + W gelu(m) with m = h + P states of the layer."""

    def _add_stages(self, state_dim: int, dim: int) -> None:
        self.channels = (dim,) * self.n_layers
        self.project = nn.ModuleList(nn.Linear(state_dim, dim) for _ in self.channels)
        self.mix = nn.ModuleList(nn.Linear(dim, dim) for _ in self.channels)
        for parameter in self.mix.parameters():
            nn.init.zeros_(parameter)

    def run_stages(self, states: Tensor, n_frames: Tensor | None, act: Act) -> tuple[Tensor, Tensor | None]:
        """Run all rungs.

        Args:
            states: (batch, steps, n_layers * state_dim); ignored beyond a row's n_frames.
            n_frames: (batch,) int64 valid steps of each row, or None if all are valid.
            act: is applied to the map of every rung except the last.

        Returns:
            The map of the last rung (batch, dim, steps, 1), and n_frames, at least 1.
        """
        layers, n_frames = self._layers(states, n_frames)
        h = None
        for i, (project, mix) in enumerate(zip(self.project, self.mix, strict=True)):
            projected = project(layers[:, :, i])
            h = projected if h is None else h + projected  # (batch, steps, dim)
            h = h + mix(nn.functional.gelu(h))
            x = mask_frames(h.transpose(1, 2).unsqueeze(3), n_frames)
            if i + 1 < self.n_layers:
                h = act(i + 1, x, n_frames).squeeze(3).transpose(1, 2)
        return x, n_frames


class LayerMix(_StatesEncoder):
    """A learned weighted mean of the layers, projected. It has one stage, for single_stage, late and audio_only."""

    def _add_stages(self, state_dim: int, dim: int) -> None:
        self.channels = (dim,)
        self.weights = nn.Parameter(torch.zeros(self.n_layers))
        self.project = nn.Linear(state_dim, dim)

    def run_stages(self, states: Tensor, n_frames: Tensor | None, act: Act) -> tuple[Tensor, Tensor | None]:
        """Return the only stage (batch, dim, steps, 1), and n_frames, at least 1; `act` is not called."""
        layers, n_frames = self._layers(states, n_frames)
        scores = self.weights.expand(layers.shape[0], -1)  # len() would fix the batch size of the exported graph
        mixed = torch.einsum("btld,bl->btd", layers, scores.softmax(dim=1))
        return mask_frames(self.project(mixed).transpose(1, 2).unsqueeze(3), n_frames), n_frames


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
            valid = valid_frames(frames.shape[1], n_frames)  # (batch, steps)
            n_frames = (n_frames + POOL - 1) // POOL
        states = dict(zip(self.given, frames.unflatten(2, (len(self.given), -1)).unbind(2), strict=True))
        outputs = self._outputs(states[self.base], valid)
        states |= dict(enumerate(outputs, self.base + 1))
        states[self.base + len(outputs)] = self.layer_norm(outputs[-1])
        return _pooled(torch.cat([states[layer] for layer in self.returned], dim=2), valid), n_frames

    def _outputs(self, hidden: Tensor, valid: Tensor | None) -> list[Tensor]:
        """The output of each trained layer, (batch, steps, dim)."""
        mask = None
        if valid is not None and self.kind == "wavlm":
            mask = valid.long()
        elif valid is not None:
            mask = torch.zeros_like(valid, dtype=hidden.dtype).masked_fill(~valid, -1e9)[:, None, None]
        outputs, positions = [], None  # WavLM's first layer makes the positions, the others take them over
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # of transformers' own
            for layer in self.layers:
                if self.kind == "wavlm":
                    hidden, positions = layer(hidden, mask, positions)
                else:
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
