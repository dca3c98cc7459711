"""Operators: how the summary embedding acts on one stage of the audio encoder.

`Shift` is the multistage conditioning of Triantafyllopoulos et al. 2023 (https://doi.org/10.3389/fcomp.2023.1072479);
`Film` is Perez et al. 2018 (https://arxiv.org/abs/1709.07871). Every operator takes a map (batch, channels, frames,
mels) or a vector (batch, channels), and a text embedding (batch, text_dim), and returns the shape of the first. It acts
on each channel alike at all frames and mels. What it reads from the text (`read`) is apart from what it does with that
(`act`), so that the effect of the words can be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import EmofuseError


class ConditioningOperator(nn.Module):
    """What all operators share: forward is `act` on what `read` finds."""

    def read(self, text: Tensor) -> Tensor:
        """What the operator takes from a text embedding, (batch, values)."""
        raise NotImplementedError

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Condition x on what `read` gave."""
        raise NotImplementedError

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Condition x on text."""
        return self.act(x, self.read(text))


class Shift(ConditioningOperator):
    """x + ReLU(W t + b), the paper's."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, channels)

    def read(self, text: Tensor) -> Tensor:
        """The shift of each channel, (batch, channels)."""
        return self.project(text).relu()

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Shift x."""
        return x + _broadcast(signal, x)


class ShiftNorm(Shift):
    """x + ReLU(N(W t + b)): shifts of all channels brought to a mean and sd that are learned, 0 and 0.1 at first."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(text_dim, channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.constant_(self.norm.weight, 0.1)

    def read(self, text: Tensor) -> Tensor:
        """The shift of each channel, (batch, channels)."""
        return self.norm(self.project(text)).relu()


class ShiftNarrow(Shift):
    """x + ReLU(W V t + b), where V t has 16 values: little room for words."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(16, channels)
        self.narrow = nn.Linear(text_dim, 16, bias=False)

    def read(self, text: Tensor) -> Tensor:
        """The shift of each channel, (batch, channels)."""
        return super().read(self.narrow(text))


class Scale(ConditioningOperator):
    """x * (1 + W t + b); close to the identity at first."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = _small(nn.Linear(text_dim, channels))

    def read(self, text: Tensor) -> Tensor:
        """The factor of each channel, (batch, channels)."""
        return 1 + self.project(text)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Scale x."""
        return x * _broadcast(signal, x)


class Film(ConditioningOperator):
    """x * (1 + W t + b) + V t + c; close to the identity at first."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = _small(nn.Linear(text_dim, 2 * channels))

    def read(self, text: Tensor) -> Tensor:
        """By how much each channel is scaled more than once, and its shift, (batch, 2 * channels)."""
        return self.project(text)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Scale and shift x."""
        scale, shift = signal.chunk(2, dim=1)
        return x * _broadcast(1 + scale, x) + _broadcast(shift, x)


class Gate(ConditioningOperator):
    """x * sigmoid(W t + b); starts nearly open (0.88)."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = _small(nn.Linear(text_dim, channels), bias=2.0)

    def read(self, text: Tensor) -> Tensor:
        """How open each channel is, 0..1, (batch, channels)."""
        return self.project(text).sigmoid()

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Let x through."""
        return x * _broadcast(signal, x)


class Concat(ConditioningOperator):
    """M [x; ReLU(W t + b)] + c: the projected text as further channels, then a 1x1 convolution back to C."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, channels)
        self.mix = nn.Linear(2 * channels, channels)

    def read(self, text: Tensor) -> Tensor:
        """The further channels, (batch, channels)."""
        return self.project(text).relu()

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Mix x with the further channels."""
        # The text is the same everywhere, so its share of the product is worked out once and not at every place.
        of_audio, of_text = self.mix.weight.chunk(2, dim=1)
        mixed = functional.linear(x.movedim(1, -1), of_audio).movedim(-1, 1)
        return mixed + _broadcast(functional.linear(signal, of_text, self.mix.bias), x)


class Add(ConditioningOperator):
    """x + W t + b on a vector: single-stage fusion after the non-linearity."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        linear = nn.Linear(text_dim, channels)
        self.weight, self.bias = linear.weight, linear.bias  # by their names in the checkpoints there are

    def read(self, text: Tensor) -> Tensor:
        """What is added, (batch, channels)."""
        return functional.linear(text, self.weight, self.bias)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Add it."""
        return x + signal


OPERATORS = {
    "shift": Shift,
    "shift_norm": ShiftNorm,
    "shift_narrow": ShiftNarrow,
    "scale": Scale,
    "film": Film,
    "gate": Gate,
    "concat": Concat,
}


def conditioned_stages(stages: Literal["all", "last"] | Sequence[int], n_stages: int) -> list[int]:
    """The conditioned stages as sorted numbers from 1.

    Raises:
        EmofuseError: a stage that the encoder does not have, one named twice, or none at all.

    >>> conditioned_stages("last", 6), conditioned_stages([4, 2], 6)
    ([6], [2, 4])
    """
    if stages == "all":
        return list(range(1, n_stages + 1))
    if stages == "last":
        return [n_stages]
    numbers = sorted(int(stage) for stage in stages)
    if not numbers or len(set(numbers)) < len(numbers) or numbers[0] < 1 or numbers[-1] > n_stages:
        raise EmofuseError(
            f'model.stages = {list(stages)}: expected "all", "last" or different numbers from 1 to {n_stages}, '
            "the number of stages of this encoder."
        )
    return numbers


def _broadcast(vector: Tensor, x: Tensor) -> Tensor:
    """(batch, channels) with as many dimensions as x, in its precision."""
    return vector.to(x.dtype).reshape(*vector.shape, *(1,) * (x.dim() - 2))


def _small(linear: nn.Linear, *, bias: float = 0.0) -> nn.Linear:
    # Small and not zero: with zero weights no gradient would reach the learned embedding of absent text.
    with torch.no_grad():
        linear.weight.normal_(std=0.01)
        linear.bias.fill_(bias)
    return linear
