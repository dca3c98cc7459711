"""Emotion categories and dimensions shared by all corpora, and prototypes of categories as weak targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emofuse.errors import EmofuseError

if TYPE_CHECKING:
    import pandas as pd

EMOTIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
DIMENSIONS = ("arousal", "valence", "dominance")

# Pleasure, arousal, dominance in -1..1, as in the publication.
_RUSSELL_MEHRABIAN = {
    "neutral": (0.0, 0.0, 0.0),
    "happiness": (0.76, 0.48, 0.35),
    "sadness": (-0.63, -0.27, -0.33),
    "anger": (-0.51, 0.59, 0.25),
    "fear": (-0.64, 0.60, -0.43),
    "disgust": (-0.60, 0.35, 0.11),
    "surprise": (0.40, 0.67, -0.13),
}

PROTOTYPES: dict[str, tuple[float, float, float]] = {
    emotion: ((arousal + 1) / 2, (pleasure + 1) / 2, (dominance + 1) / 2)
    for emotion, (pleasure, arousal, dominance) in _RUSSELL_MEHRABIAN.items()
}
"""Arousal, valence, dominance (0..1) of each category: **weak targets**, not human ratings of clips.

Mean ratings of the emotion words joyful, sad, angry, fearful, disgusted and surprised in Russell & Mehrabian (1977),
"Evidence for a three-factor theory of emotions", Journal of Research in Personality 11, scaled from -1..1.
Neutral is at the centre.
"""


def to_shared(original: str, mapping: Mapping[str, str | None], where: str) -> str | None:
    """Map a label of a corpus to the shared category; None if there is no shared counterpart.

    Args:
        original: the label as the corpus writes it.
        mapping: from labels of the corpus to `EMOTIONS` (or None).
        where: file and row for the error message.

    Raises:
        EmofuseError: the label is not in the mapping.

    >>> to_shared("joy", {"joy": "happiness"}, "table.csv, row 2")
    'happiness'
    """
    if original not in mapping:
        raise EmofuseError(f"{where}: unknown emotion {original!r}. Expected one of {', '.join(sorted(mapping))}.")
    return mapping[original]


INTENSITY_STEP = {"strong": 0.1, "normal": -0.1}
"""Change of the prototype's arousal for an instructed intensity, except for neutral. The size is our choice; it teaches
an order (strong above normal) rather than a value."""


def weak_dimensions(df: pd.DataFrame) -> pd.DataFrame:
    """Fill in missing arousal, valence, dominance of audio rows with a category from `PROTOTYPES`.

    If the table has a column `intensity`, `INTENSITY_STEP` is added to the arousal.

    Returns:
        A copy with the extra bool column `weak_dimensions`, true where a value was filled in. Such values are weak
        targets: they restate the category and are not human ratings.
    """
    df = df.copy()
    eligible = df["file"].notna() & df["emotion"].notna()
    weak = eligible & df[list(DIMENSIONS)].isna().any(axis=1)
    for position, dimension in enumerate(DIMENSIONS):
        prototype = df.loc[weak, "emotion"].map({e: values[position] for e, values in PROTOTYPES.items()})
        if dimension == "arousal" and "intensity" in df:
            step = df.loc[weak, "intensity"].map(INTENSITY_STEP).fillna(0.0)
            prototype = (prototype + step.where(df.loc[weak, "emotion"] != "neutral", 0.0)).clip(0, 1)
        df.loc[weak, dimension] = df.loc[weak, dimension].fillna(prototype.astype(float))
    df["weak_dimensions"] = weak.astype(bool)
    return df
