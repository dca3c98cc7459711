"""Speaker adaptation: subtract a speaker's offset, estimated from several clips without labels, from hidden states.

A speaker's voice, room and recording line move all hidden states of a clip by nearly the same amount, an *offset*. Over
many clips of mixed emotions, the mean of the clips estimates it. Over clips of a single emotion, the mean contains that
emotion too, and subtracting it would destroy the answer. Hence

    offset = trust * n / (n + shrinkage) * (mean of the clips - mean of the training speakers),

where n is the effective number of clips (Kish 1965) and `trust` says how mixed the emotions of the clips are: a
discriminant answers for each clip, its answers are corrected by the offset that they leave unexplained, and `trust`
rises with what they say about which clip it was (`InformationRule`). From a single clip, the offset is 0.
`emofuse.training.speakers` fits it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Floats = np.ndarray

_PASSES = 2  # of correcting the answers by the offset that they leave unexplained
_SMALLEST = 1e-9  # probability, in logarithms


class Rule(Protocol):
    """How mixed the emotions of some clips are, by projections of their mean hidden states."""

    projection: Floats
    """float32 (D, Q)"""

    def trust(self, projected: Floats, weight: Floats, shrunk: float) -> float:
        """Share of the offset to subtract, 0..1.

        Args:
            projected: clips minus the mean of the training speakers, projected, (n, Q), n at least 2.
            weight: (n,), sums to 1, at least two above 0.
            shrunk: n / (n + shrinkage).
        """
        ...

    def tensors(self) -> dict[str, Floats]:
        """Arrays by name, for saving."""
        ...

    def facts(self) -> dict[str, float]:
        """Numbers by name, for JSON."""
        ...


@dataclass(frozen=True)
class InformationRule:
    """Trust rises with the mutual information of clip and answer, the entropy of the mean answer less the mean entropy.

    Clips of one emotion have similar answers, be they right or, of a strange voice, wrong; so they say little. Clips of
    mixed emotions have different answers, each rather sure.

    Attributes:
        projection: weights of the discriminant, float32 (D, K).
        bias: of its scores, float32 (K,).
        moves: mean score of a clip of each category, less the mean over categories and the bias, float32 (K, K).
        low: information (nats) up to which the clips are taken for clips of one emotion.
        high: information from which they are taken for mixed.
        most: trust at `high`, above 0, at most 1.
    """

    projection: Floats
    bias: Floats
    moves: Floats
    low: float
    high: float
    most: float

    def trust(self, projected: Floats, weight: Floats, shrunk: float) -> float:
        """See `Rule.trust`."""
        unexplained = np.zeros(len(self.bias))
        for _ in range(_PASSES):
            answers = _softmax(projected + self.bias - unexplained)
            unexplained = shrunk * (weight @ (projected - answers @ self.moves))
        information = _entropy(weight @ answers) - weight @ _entropy(answers)
        return float(self.most * np.clip((information - self.low) / (self.high - self.low), 0, 1))

    def tensors(self) -> dict[str, Floats]:
        """See `Rule.tensors`."""
        return {"projection": self.projection, "bias": self.bias, "moves": self.moves}

    def facts(self) -> dict[str, float]:
        """See `Rule.facts`."""
        return {"low": self.low, "high": self.high, "most": self.most}


@dataclass(frozen=True)
class SpreadRule:
    """Trust rises with the spread of the clips: the rule of models made by emofuse 0.2.0 and before.

    Attributes:
        projection: directions that separate emotions, scaled to variance 1 within an emotion of a speaker,
            float32 (D, Q).
        one: spread of clips of one emotion, above 0.
        mixed: spread of clips of evenly mixed emotions, above `one`.
    """

    projection: Floats
    one: float
    mixed: float

    def trust(self, projected: Floats, weight: Floats, shrunk: float) -> float:
        """See `Rule.trust`; 1 from half way to the spread of evenly mixed emotions."""
        squares = weight @ np.square(projected - weight @ projected)
        spread = squares.mean() / (1 - np.square(weight).sum())  # unbiased variance, averaged over directions
        return float(np.clip(2 * (spread - self.one) / (self.mixed - self.one), 0, 1))

    def tensors(self) -> dict[str, Floats]:
        """See `Rule.tensors`."""
        return {"directions": self.projection}

    def facts(self) -> dict[str, float]:
        """See `Rule.facts`."""
        return {"one": self.one, "mixed": self.mixed}


@dataclass(frozen=True)
class SpeakerAdapter:
    """Estimates the offset of a speaker from clips without labels.

    Attributes:
        centre: mean hidden state over the training speakers, float32 (D,).
        rule: how mixed the emotions of some clips are.
        shrinkage: number of clips at which the offset is halved; more shrinks it more.
    """

    centre: Floats
    rule: InformationRule | SpreadRule
    shrinkage: float = 3.0

    def offset(self, means: Floats, seconds: Floats) -> Floats:
        """Offset of one speaker, to subtract from all hidden states of that speaker.

        Args:
            means: hidden states of each clip averaged over time, (n, D), in any order.
            seconds: duration of speech in each clip, (n,), at least 0; longer clips have more weight.

        Returns:
            float32 (D,); zeros for fewer than two clips, or for clips of one emotion.
        """
        speaker = RunningOffset(self)
        for mean, duration in zip(means, seconds, strict=True):
            speaker.add(mean, float(duration))
        return speaker.offset()

    def tensors(self) -> dict[str, Floats]:
        """Arrays by name, for saving."""
        return {"centre": self.centre, **self.rule.tensors()}

    def facts(self) -> dict[str, float]:
        """Numbers by name, for JSON."""
        return {**self.rule.facts(), "shrinkage": self.shrinkage}

    @classmethod
    def load(cls, tensors: Mapping[str, Floats], facts: Mapping[str, float]) -> SpeakerAdapter:
        """Make an adapter from `tensors` and `facts`."""
        rule: InformationRule | SpreadRule
        if "one" in facts:
            rule = SpreadRule(tensors["directions"], facts["one"], facts["mixed"])
        else:
            rule = InformationRule(
                projection=tensors["projection"],
                bias=tensors["bias"],
                moves=tensors["moves"],
                low=facts["low"],
                high=facts["high"],
                most=facts["most"],
            )
        return cls(tensors["centre"], rule, shrinkage=facts["shrinkage"])


class RunningOffset:
    """The offset of a speaker whose clips come one after another, with little memory for each."""

    def __init__(self, adapter: SpeakerAdapter) -> None:
        self._adapter = adapter
        self._projected: list[Floats] = []  # (Q,) of each clip
        self._seconds: list[float] = []
        self._sum = np.zeros(len(adapter.centre))  # of the means, weighted by seconds

    def add(self, mean: Floats, seconds: float) -> None:
        """Add a clip: its mean hidden state (D,), and its duration in seconds, at least 0."""
        deviation = np.asarray(mean, np.float64) - self._adapter.centre
        self._projected.append(deviation @ self._adapter.rule.projection)
        self._seconds.append(seconds)
        self._sum += seconds * deviation

    def offset(self) -> Floats:
        """Offset of the speaker by all clips so far; see `SpeakerAdapter.offset`."""
        adapter, zeros = self._adapter, np.zeros(len(self._sum), np.float32)
        seconds = np.array(self._seconds)
        if not seconds.any():
            return zeros
        weight = seconds / seconds.sum()
        n = 1 / np.square(weight).sum()
        if n < 1 + 1e-6:
            return zeros
        shrunk = n / (n + adapter.shrinkage)
        trust = adapter.rule.trust(np.stack(self._projected), weight, shrunk)
        return (trust * shrunk * self._sum / seconds.sum()).astype(np.float32)


@dataclass(frozen=True)
class SpeakerProfile:
    """Statistics of one speaker's audio, for the model to adapt to."""

    means: np.ndarray  # (n, width), frames of each segment averaged over time
    seconds: np.ndarray  # (n,), duration of each segment

    @classmethod
    def merge(cls, profiles: Sequence[SpeakerProfile]) -> SpeakerProfile:
        """Combine the segments of several recordings of one speaker."""
        return cls(np.concatenate([p.means for p in profiles]), np.concatenate([p.seconds for p in profiles]))


def _entropy(probabilities: Floats) -> Floats:
    """Entropy in nats over the last axis."""
    entropy: Floats = -(probabilities * np.log(probabilities + _SMALLEST)).sum(axis=-1)
    return entropy


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    answers: Floats = powers / powers.sum(axis=1, keepdims=True)
    return answers
