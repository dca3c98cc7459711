"""Operators, which condition one stage of the audio encoder on the summary embedding.

`Shift` is the multistage conditioning of Triantafyllopoulos et al. 2023 (https://doi.org/10.3389/fcomp.2023.1072479);
`Film` is Perez et al. 2018 (https://arxiv.org/abs/1709.07871). Every operator takes a map (batch, channels, frames,
mels) or a vector (batch, channels), and a text embedding (batch, text_dim), and returns the shape of the first. It
treats all frames and mels of a channel alike. Computing a signal from the text (`read`) is separate from applying it
(`act`), so that the effect of the words can be measured.
"""
# ruff: noqa: D102 - the base class documents what operators override

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from emofuse.errors import EmofuseError


class ConditioningOperator(nn.Module, ABC):
    """Base class: forward applies `act` to the signal that `read` computes."""

    @abstractmethod
    def read(self, text: Tensor) -> Tensor:
        """Compute the signal from a text embedding, (batch, values)."""

    @abstractmethod
    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        """Condition x on a signal of `read`."""

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Condition x on text."""
        return self.act(x, self.read(text))


class Shift(ConditioningOperator):
    """x + ReLU(W t + b), the operator of the paper."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, channels)

    def read(self, text: Tensor) -> Tensor:
        return self.project(text).relu()

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        return x + _broadcast(signal, x)


class ShiftNorm(Shift):
    """x + ReLU(N(W t + b)), where N normalises over channels to a learned mean and scale, initially 0 and 0.1."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(text_dim, channels)
        self.norm = nn.LayerNorm(channels)
        nn.init.constant_(self.norm.weight, 0.1)

    def read(self, text: Tensor) -> Tensor:
        return self.norm(self.project(text)).relu()


class ShiftNarrow(Shift):
    """x + ReLU(W V t + b), where V t has only 16 values."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(16, channels)
        self.narrow = nn.Linear(text_dim, 16, bias=False)

    def read(self, text: Tensor) -> Tensor:
        return super().read(self.narrow(text))


class Film(ConditioningOperator):
    """x * (1 + W t + b) + V t + c, initially close to the identity."""

    signals = 2  # values of the signal for each channel

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, self.signals * channels)
        # Not zero, because then no gradient would reach the learned embedding of missing text.
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)

    def read(self, text: Tensor) -> Tensor:
        return self.project(text)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        scale, shift = signal.chunk(2, dim=1)
        return x * _broadcast(1 + scale, x) + _broadcast(shift, x)


class Scale(Film):
    """x * (1 + W t + b), initially close to the identity."""

    signals = 1

    def read(self, text: Tensor) -> Tensor:
        return 1 + self.project(text)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        return x * _broadcast(signal, x)


class Gate(Scale):
    """x * sigmoid(W t + b), initially nearly open (0.88)."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(text_dim, channels)
        nn.init.constant_(self.project.bias, 2.0)

    def read(self, text: Tensor) -> Tensor:
        return self.project(text).sigmoid()


class Concat(Shift):
    """M [x; ReLU(W t + b)] + c: the projected text as additional channels, followed by a 1x1 convolution."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__(text_dim, channels)
        self.mix = nn.Linear(2 * channels, channels)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        # The text is the same at all positions, so its part of the product is computed once.
        of_audio, of_text = self.mix.weight.chunk(2, dim=1)
        mixed = functional.linear(x.movedim(1, -1), of_audio).movedim(-1, 1)
        return mixed + _broadcast(functional.linear(signal, of_text, self.mix.bias), x)


class Add(ConditioningOperator):
    """x + W t + b on a vector, for single-stage fusion after the non-linearity."""

    def __init__(self, text_dim: int, channels: int) -> None:
        super().__init__()
        linear = nn.Linear(text_dim, channels)
        self.weight, self.bias = linear.weight, linear.bias  # the parameter names of existing checkpoints

    def read(self, text: Tensor) -> Tensor:
        return functional.linear(text, self.weight, self.bias)

    def act(self, x: Tensor, signal: Tensor) -> Tensor:
        return x + signal


OPERATORS: dict[str, Callable[[int, int], ConditioningOperator]] = {
    "shift": Shift,
    "shift_norm": ShiftNorm,
    "shift_narrow": ShiftNarrow,
    "scale": Scale,
    "film": Film,
    "gate": Gate,
    "concat": Concat,
}


def conditioned_stages(stages: Literal["all", "last"] | Sequence[int], n_stages: int) -> list[int]:
    """Resolve `model.stages` to sorted stage numbers from 1.

    Raises:
        EmofuseError: the encoder does not have a stage, a stage is repeated, or there is none.

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
    """Append dimensions to a vector (batch, channels) to match x, and convert it to the precision of x."""
    return vector.to(x.dtype).reshape(*vector.shape, *(1,) * (x.dim() - 2))
