"""Speaker adaptation: subtract a speaker's offset, estimated from several clips without labels, from hidden states.

A speaker's voice, room and recording line move all hidden states of a clip by nearly the same amount, an *offset*. Over
many clips of mixed emotions, the mean of the clips estimates it. Over clips of a single emotion, the mean contains that
emotion too, and subtracting it would destroy the answer. The two cases differ in the *spread* of the clips along the
directions that separate emotions (linear discriminants, Fisher 1936), measured in units of the variance within one
emotion of one speaker: clips of one emotion spread little, mixed clips several times as much. Hence

    offset = mixing * n / (n + shrinkage) * (mean of the clips - mean of the training speakers).

`mixing` rises from 0 (spread of one emotion) to 1 (at least half way to the spread of evenly mixed emotions), and n is
the effective number of clips (Kish 1965). From a single clip, the offset is 0. `emofuse.training.speakers` fits it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray


@dataclass(frozen=True)
class SpeakerAdapter:
    """Estimates the offset of a speaker from clips without labels.

    Attributes:
        centre: mean hidden state over the training speakers, float32 (D,).
        directions: directions that separate emotions, scaled to variance 1 within an emotion of a speaker,
            float32 (D, Q).
        one: spread of clips of one emotion, above 0.
        mixed: spread of clips of evenly mixed emotions, above `one`.
        shrinkage: number of clips at which the offset is halved; more shrinks it more.
    """

    centre: Floats
    directions: Floats
    one: float
    mixed: float
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
        return {"centre": self.centre, "directions": self.directions}

    def facts(self) -> dict[str, float]:
        """Numbers by name, for JSON."""
        return {"one": self.one, "mixed": self.mixed, "shrinkage": self.shrinkage}

    @classmethod
    def load(cls, tensors: Mapping[str, Floats], facts: Mapping[str, float]) -> SpeakerAdapter:
        """Make an adapter from `tensors` and `facts`."""
        return cls(tensors["centre"], tensors["directions"], facts["one"], facts["mixed"], shrinkage=facts["shrinkage"])


class RunningOffset:
    """The offset of a speaker whose clips come one after another, with little memory for each."""

    def __init__(self, adapter: SpeakerAdapter) -> None:
        self._adapter = adapter
        self._projected: list[Floats] = []  # (Q,) of each clip
        self._seconds: list[float] = []
        self._sum = np.zeros(len(adapter.centre))  # of the means, weighted by seconds

    def add(self, mean: Floats, seconds: float) -> None:
        """Add a clip: its mean hidden state (D,), and its duration in seconds, at least 0."""
        mean = np.asarray(mean, np.float64)
        self._projected.append(mean @ self._adapter.directions)
        self._seconds.append(seconds)
        self._sum += seconds * mean

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
        between = spread(np.stack(self._projected), weight)
        mixing = np.clip(2 * (between - adapter.one) / (adapter.mixed - adapter.one), 0, 1)
        mean = self._sum / seconds.sum()
        return (mixing * n / (n + adapter.shrinkage) * (mean - adapter.centre)).astype(np.float32)


@dataclass(frozen=True)
class SpeakerProfile:
    """Statistics of one speaker's audio, for the model to adapt to."""

    means: np.ndarray  # (n, width), frames of each segment averaged over time
    seconds: np.ndarray  # (n,), duration of each segment

    @classmethod
    def merge(cls, profiles: Sequence[SpeakerProfile]) -> SpeakerProfile:
        """Combine the segments of several recordings of one speaker."""
        return cls(np.concatenate([p.means for p in profiles]), np.concatenate([p.seconds for p in profiles]))


def spread(projected: Floats, weight: Floats) -> float:
    """Unbiased weighted variance of clips, averaged over directions.

    Args:
        projected: (n, Q), n at least 2.
        weight: (n,), sums to 1, at least two above 0.

    >>> spread(np.array([[0.0], [2.0]]), np.array([0.5, 0.5]))
    2.0
    """
    squares = weight @ np.square(projected - weight @ projected)
    return float(squares.mean() / (1 - np.square(weight).sum()))
