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

from collections.abc import Mapping
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
        means, seconds = np.asarray(means, np.float64), np.asarray(seconds, np.float64)
        zeros = np.zeros(len(self.centre), np.float32)
        if not seconds.any():
            return zeros
        weight = seconds / seconds.sum()
        n = 1 / np.square(weight).sum()
        if n < 1 + 1e-6:
            return zeros
        between = spread(means @ self.directions, weight)
        mixing = np.clip(2 * (between - self.one) / (self.mixed - self.one), 0, 1)
        return (mixing * n / (n + self.shrinkage) * (weight @ means - self.centre)).astype(np.float32)

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
