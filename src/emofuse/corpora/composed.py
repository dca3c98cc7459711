"""Composed pairs: a real clip beside a real sentence that was not spoken in it.

They are synthetic. They may train and test the machinery that fuses voice and words where no corpus at hand has both
with varied text; wherever they are reported they are called composed, and they say nothing about natural speech.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from emofuse.corpora.labels import EMOTIONS
from emofuse.corpora.table import TableError, make_table

SHARES = {"agree": 0.5, "voice": 0.25, "words": 0.25}
MIN_WORDS = 3


def compose(audio_df: pd.DataFrame, text_df: pd.DataFrame, *, pairs: int, seed: int) -> pd.DataFrame:
    """Pair clips with sentences, balanced over the emotions, no pair twice.

    The extra column `pairing` says how the label came about:

    - agree: voice and words have the same emotion, which is the label;
    - voice: an emotional voice beside neutral words; the label is the voice's;
    - words: a neutral voice beside emotional words; the label is the words'.

    Every emotion gets the same number of pairs, in the `SHARES` of the three pairings as far as the corpora allow
    (neutral can only agree). Audio file, times, speaker and gender come from the clip, text and language from the
    sentence; arousal, valence and dominance are missing. Compose within one part of a split at a time.

    Args:
        audio_df: utterance table; rows with audio and emotion are used.
        text_df: utterance table; rows with emotion and a text of at least three words are used.
        pairs: number of pairs, 0 or more.
        seed: the same seed gives the same pairs, whatever the order of the rows.

    Raises:
        TableError: the tables cannot give that many pairs.
    """
    clips = audio_df[audio_df["file"].notna() & audio_df["emotion"].notna()].sort_values("key")
    long_enough = text_df["text"].fillna("").str.count(r"\S+") >= MIN_WORDS
    sentences = text_df[long_enough & text_df["emotion"].notna()].sort_values("key")
    voices, words = set(clips["emotion"]), set(sentences["emotion"])
    ways = {emotion: found for emotion in EMOTIONS if (found := _ways(emotion, voices, words))}
    if pairs and not ways:
        raise TableError("no pairs can be composed: the clips and the sentences have no emotion that fits together.")
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for (label, found), wanted in zip(ways.items(), _apportioned(pairs, [1.0] * len(ways)), strict=True):
        shares = [_share(pairing, label, ways) for pairing in found]
        for (pairing, (voice, word)), n in zip(found.items(), _apportioned(wanted, shares), strict=True):
            chosen = _draw(clips[clips["emotion"] == voice], sentences[sentences["emotion"] == word], n, rng)
            rows.extend({**pair, "emotion": label, "pairing": pairing} for pair in chosen)
    return make_table(rows, "composed")


def _ways(label: str, voices: set[str], words: set[str]) -> dict[str, tuple[str, str]]:
    """Pairings that can give this label, each with the emotion of the voice and of the words."""
    ways = {"agree": (label, label)}
    if label != "neutral":
        ways |= {"voice": (label, "neutral"), "words": ("neutral", label)}
    return {pairing: (voice, word) for pairing, (voice, word) in ways.items() if voice in voices and word in words}


def _share(pairing: str, label: str, labels: Collection[str]) -> float:
    """Relative share of a pairing among those of one label."""
    if pairing != "agree" or label == "neutral" or "neutral" not in labels:
        return SHARES[pairing]
    # All neutral pairs agree, so the others agree less often, for the shares to hold over all pairs.
    return max(SHARES["agree"] - 1 / len(labels), 0.0)


def _apportioned(total: int, shares: list[float]) -> list[int]:
    """Whole numbers in the given relative shares that sum to `total` (largest remainder)."""
    exact = np.array(shares) / (sum(shares) or 1.0) * total
    counts = np.floor(exact + 1e-9).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts.tolist()


def _draw(clips: pd.DataFrame, sentences: pd.DataFrame, n: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """n different pairs of a clip and a sentence that is not spoken in it; a repeated sentence counts once."""
    sentences = sentences[~_plain(sentences["text"]).duplicated()]
    said = _plain(clips["text"]).to_numpy()
    read = _plain(sentences["text"]).to_numpy()
    spoken = int(np.isin(said.astype(str), read.astype(str)).sum())
    possible = len(clips) * len(sentences) - spoken
    if n > possible:
        raise TableError(
            f"{n} composed pairs asked for of {clips['emotion'].iat[0]} voices and {sentences['emotion'].iat[0]} "
            f"words, but only {possible} can be made. Ask for fewer pairs or give more corpora."
        )
    total = len(clips) * len(sentences)
    drawn = rng.choice(total, size=min(total, n + spoken), replace=False)
    clip, sentence = np.divmod(drawn, len(sentences))
    keep = np.flatnonzero(said[clip] != read[sentence])[:n]
    a, t = clips.iloc[clip[keep]], sentences.iloc[sentence[keep]]
    pairs = a[["file", "start", "end", "speaker", "gender"]].reset_index(drop=True)
    pairs["text"], pairs["language"] = t["text"].to_numpy(), t["language"].to_numpy()
    pairs["key"] = ("composed/" + a["key"]).to_numpy() + ("+" + t["key"]).to_numpy()
    return pairs.to_dict("records")  # type: ignore[return-value]


def _plain(texts: pd.Series) -> pd.Series:
    """Texts without case and punctuation, to tell whether two say the same."""
    return texts.fillna("").str.casefold().str.findall(r"\w+").str.join(" ")
