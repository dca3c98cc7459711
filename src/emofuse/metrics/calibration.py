"""Calibration in prediction: the fitted numbers, and probabilities at a temperature (NumPy only).

`emofuse.training.calibration` fits them, and explains what they mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emofuse.metrics.scores import Floats


@dataclass(frozen=True)
class Calibration:
    """Calibration fitted on development data, with its quality on development speakers that it was not fitted on.

    Attributes:
        temperature: divides the logits; 1 leaves the probabilities unchanged.
        uncertain_below: a prediction is called uncertain if its highest calibrated probability is lower.
        dimension_half_width: half-widths of the intervals of arousal, valence, dominance (0..1; 1 is the whole scale);
            None if no true dimensions are human ratings.
        level: share of clips of new speakers whose true dimension the interval should contain.
        ece_before: expected calibration error at temperature 1; None without labelled rows.
        ece_after: the same with temperatures fitted on other speakers (as the next three); None with fewer than two.
        coverage: share of predictions that are not called uncertain.
        risk: share of wrong predictions among all.
        risk_kept: share of wrong predictions among those that are not called uncertain.
        n: rows with a category.
        speakers: their speakers; a row without a speaker counts as one.
        by_corpus: quality by part of the predictions and by corpus, where whole corpora were left out of training
            (`emofuse.training.new_corpora.Quality`); otherwise empty.
    """

    temperature: float
    uncertain_below: float
    dimension_half_width: tuple[float, float, float] | None
    level: float
    ece_before: float | None
    ece_after: float | None
    coverage: float | None
    risk: float | None
    risk_kept: float | None
    n: int
    speakers: int
    by_corpus: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON, in which the tuple becomes a list."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Make a calibration from `to_dict`."""
        widths = values["dimension_half_width"]
        return cls(**values | {"dimension_half_width": None if widths is None else tuple(widths)})


def apply_temperature(probabilities: ArrayLike, temperature: float) -> Floats:
    """Probabilities at a temperature: p^(1/T), normalised, which equals softmax(z / T) of their logits z.

    Takes (..., K), each row a distribution; a temperature below 1 sharpens, above 1 flattens.

    >>> apply_temperature([0.8, 0.2], 2.0).round(3)
    array([0.667, 0.333])
    """
    return softmax(log_of(probabilities) / temperature)


def log_of(probabilities: ArrayLike) -> Floats:
    """Logarithm of probabilities; -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities, dtype=np.float64))


def softmax(z: Floats) -> Floats:
    """Softmax over the last axis."""
    powers = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
