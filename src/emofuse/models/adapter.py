"""Speaker adaptation: what other clips of the same speaker say about the voice is taken off the hidden states.

A speaker's voice, room and line move all hidden states of a clip by much the same amount, an *offset*. With many clips
of mixed emotions it is their mean. With clips that all carry one emotion, the mean is that emotion too, and to take it
off would destroy the answer. The two are told apart by the *spread* of the clips along the directions in which
emotions differ (linear discriminants, Fisher 1936), in units of the variance within one emotion of one speaker: clips
of one emotion spread little, mixed clips several times as much. Hence

    offset = mixing * n / (n + shrinkage) * (mean of the clips - mean of the voices in training).

`mixing` rises from 0 (spread as in one emotion) to 1 (at least half way to that of evenly mixed emotions), n is the
effective number of clips (Kish 1965). One clip says nothing: the offset is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray


@dataclass(frozen=True)
class SpeakerAdapter:
    """Finds the offset of a speaker from clips without labels.

    Attributes:
        centre: mean clip of the voices in training, float32 (D,).
        directions: in which emotions differ, scaled to variance 1 within an emotion of a speaker, float32 (D, Q).
        one: spread of clips of one emotion, above 0.
        mixed: spread of evenly mixed emotions, above `one`.
        shrinkage: number of clips that count as much as no adaptation.
    """

    centre: Floats
    directions: Floats
    one: float
    mixed: float
    shrinkage: float = 3.0

    def offset(self, means: Floats, seconds: Floats) -> Floats:
        """What to subtract from every hidden state of the speaker.

        Args:
            means: hidden states of each clip averaged over time, (n, D), all of one speaker; the order is of no matter.
            seconds: speech in each clip, (n,), at least 0; longer clips weigh more.

        Returns:
            float32 (D,); zeros for no clip, one clip, or clips of one emotion.

        Raises:
            ValueError: shapes that do not fit.
        """
        means, seconds = np.asarray(means, np.float64), np.asarray(seconds, np.float64)
        if means.shape != (len(seconds), len(self.centre)):
            raise ValueError(f"means {means.shape}, expected ({len(seconds)}, {len(self.centre)})")
        nothing = np.zeros(len(self.centre), np.float32)
        if not seconds.any():
            return nothing
        weight = seconds / seconds.sum()
        n = 1 / np.square(weight).sum()
        if n < 1 + 1e-6:
            return nothing
        between = spread(means @ self.directions, weight)
        mixing = np.clip(2 * (between - self.one) / (self.mixed - self.one), 0, 1)
        return (mixing * n / (n + self.shrinkage) * (weight @ means - self.centre)).astype(np.float32)

    def tensors(self) -> dict[str, Floats]:
        """The arrays, by name, to be saved."""
        return {"centre": self.centre, "directions": self.directions}

    def facts(self) -> dict[str, float]:
        """The numbers, by name, for JSON."""
        return {"one": self.one, "mixed": self.mixed, "shrinkage": self.shrinkage}

    @classmethod
    def load(cls, tensors: Mapping[str, Floats], facts: Mapping[str, float]) -> SpeakerAdapter:
        """Back from `tensors` and `facts`."""
        return cls(tensors["centre"], tensors["directions"], facts["one"], facts["mixed"], shrinkage=facts["shrinkage"])


def spread(projected: Floats, weight: Floats) -> float:
    """Variance of clips about their mean, averaged over directions; unbiased whatever the number of clips.

    Args:
        projected: (n, Q), n at least 2.
        weight: (n,), sums to 1, at least two above 0.

    >>> spread(np.array([[0.0], [2.0]]), np.array([0.5, 0.5]))
    2.0
    """
    squares = weight @ np.square(projected - weight @ projected)
    return float(squares.mean() / (1 - np.square(weight).sum()))
