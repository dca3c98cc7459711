"""Composed pairs: a real clip beside a real sentence that was not spoken in it.

They are synthetic. They train and test fusion where no available corpus has both voice and varied text. Reports always
call them composed, and results on them say nothing about natural speech.

Tasks (`compose_task`), whose pairs are all the data of a run:
    agree: voice and words carry the same emotion, which is the label.
    either: one of the two is neutral, the label is the emotion of the other; each is neutral in half of the pairs.
    clash: do words and voice agree in valence? The label is an interaction: neither the voice nor the words alone
        predict it, and no sum of a score of the voice and a score of the words is right on all pairs.
    dimensions: arousal of the voice, valence of the sentence, and the mean of both dominances.

`compose` mixes pairs of the first two kinds, to train beside other corpora.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from emofuse.corpora.table import TableError, make_table
from emofuse.labels import EMOTIONS, weak_dimensions

SHARES = {"agree": 0.5, "voice": 0.25, "words": 0.25}
MIN_WORDS = 3
POLARITIES = ("positive", "negative")
_POLARITY_OF = {"happiness": "positive"} | dict.fromkeys(("anger", "sadness", "fear", "disgust"), "negative")
_CLEAR = {
    "positive": 0.6,
    "negative": 0.4,
}  # rated valence from or up to here: 3.4 and 2.6 on EmoBank's scale of 1 to 5
_ROUNDS = 50  # of drawing again where a pair repeated an earlier one

Ways = dict[str, tuple[str, str]]  # by pairing: emotion of the voice and of the words


def compose(audio_df: pd.DataFrame, text_df: pd.DataFrame, *, pairs: int, seed: int) -> pd.DataFrame:
    """Pair clips with sentences, balanced over the emotions, without repeated pairs.

    The extra column `pairing` says where the label comes from:

    - agree: voice and words have the same emotion, which is the label;
    - voice: an emotional voice beside neutral words; the label is the voice's;
    - words: a neutral voice beside emotional words; the label is the words'.

    Every emotion gets the same number of pairs, in the `SHARES` of the three pairings as far as the corpora allow
    (neutral can only agree). Audio file, times, speaker and gender come from the clip, text and language from the
    sentence; arousal, valence and dominance are missing. More extra columns: `clip` and `sentence` (keys of what was
    paired), `voice` and `words` (the emotion of each), and `composed`, which is True. Compose within one part of a
    split at a time.

    Args:
        audio_df: utterance table; rows with audio and emotion are used.
        text_df: utterance table; rows with emotion and a text of at least three words are used.
        pairs: number of pairs, 0 or more.
        seed: the same seed gives the same pairs, whatever the order of the rows.

    Raises:
        TableError: the tables cannot give that many pairs.
    """
    clips, sentences = _clips(audio_df), _sentences(text_df)
    voices, words = set(clips["emotion"]), set(sentences["emotion"].dropna())
    ways = {emotion: found for emotion in EMOTIONS if (found := _ways(emotion, voices, words))}
    shares = {emotion: [_share(pairing, emotion, ways) for pairing in found] for emotion, found in ways.items()}
    return _by_ways(clips, sentences, ways, shares, pairs, np.random.default_rng(seed))


def compose_task(
    task: str,
    audio: Mapping[str, pd.DataFrame],
    text: Mapping[str, pd.DataFrame],
    *,
    pairs: Mapping[str, int],
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Compose the pairs of a task for each part of a split, without repeated pairs or sentences in two parts.

    Columns as those of `compose`. The label is in `emotion`; in clash it is in `original_emotion` (agree or clash), and
    `voice` and `words` are positive or negative; in dimensions it is in arousal, valence and dominance.

    - agree, either: every emotion that both sides have gets the same number of pairs.
    - clash: a positive and a negative clip stand beside a positive and a negative sentence, in all four ways. So each
      clip and each sentence agrees as often as it clashes, and a model of one modality alone is right on half of the
      pairs, whatever it predicts. Positive is a rated valence from 0.6, negative one up to 0.4; without ratings,
      happiness is positive, anger, sadness, fear and disgust are negative. Other clips and sentences are not used.
    - dimensions: the emotions of the voices are equally frequent. Where a clip has no ratings, its arousal and
      dominance are weak targets, the prototypes of its category, and `weak_dimensions` says so.

    Args:
        task: agree, either, clash or dimensions.
        audio: utterance table of each part; rows with audio and emotion are used.
        text: utterance table of each part; rows with a text of at least three words are used, unless a part that comes
            before in `pairs` has the same text but for case and punctuation.
        pairs: number of pairs of each part; clash comes in fours.
        seed: the same seed gives the same pairs, whatever the order of the rows.

    Raises:
        TableError: the tables of a part cannot give that many pairs; names the task and the part.
    """
    seen: set[str] = set()
    composed = {}
    for number, (part, n) in enumerate(pairs.items()):
        sentences = _sentences(text[part])
        said = _plain(sentences["text"])
        rng = np.random.default_rng([seed, number])
        try:
            composed[part] = _TASKS[task](_clips(audio[part]), sentences[~said.isin(seen)], n, rng)
        except TableError as error:
            raise TableError(f"composed {task}, {part}: {error}") from None
        seen |= set(said)
    return composed


def _clips(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["file"].notna() & table["emotion"].notna()].sort_values("key")


def _sentences(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["text"].fillna("").str.count(r"\S+") >= MIN_WORDS].sort_values("key")


def _agree(clips: pd.DataFrame, sentences: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    ways = {emotion: {"agree": (emotion, emotion)} for emotion in _shared(clips, sentences)}
    return _by_ways(clips, sentences, ways, {}, pairs, rng)


def _either(clips: pd.DataFrame, sentences: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    shared = _shared(clips, sentences)
    if "neutral" not in shared:
        raise TableError("expected neutral clips and neutral sentences; there are none of one of them.")
    ways = {e: {"voice": (e, "neutral"), "words": ("neutral", e)} for e in shared if e != "neutral"}
    return _by_ways(clips, sentences, ways, {}, pairs, rng)


def _clash(clips: pd.DataFrame, sentences: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    sentences = sentences[~_plain(sentences["text"]).duplicated()]
    voices, words = _by_polarity(clips, "clips"), _by_polarity(sentences, "sentences")
    fours = _fours([*voices, *words], pairs, rng)
    drawn = []
    for v, voice in enumerate(POLARITIES):
        for w, word in enumerate(POLARITIES):
            label = "agree" if voice == word else "clash"
            beside = _beside(voices[v].iloc[fours[:, v]], words[w].iloc[fours[:, 2 + w]])
            drawn.append(beside.assign(original_emotion=label, pairing=label, voice=voice, words=word))
    return _table(drawn)


def _by_polarity(table: pd.DataFrame, what: str) -> list[pd.DataFrame]:
    """The positive and the negative rows."""
    valence = table["valence"].round(6)
    rated = np.where(valence >= _CLEAR["positive"], "positive", np.where(valence <= _CLEAR["negative"], "negative", ""))
    polarity = np.where(valence.notna(), rated, table["emotion"].map(_POLARITY_OF).fillna("").astype(str))
    sides = [table[polarity == name] for name in POLARITIES]
    for name, side in zip(POLARITIES, sides, strict=True):
        if side.empty:
            raise TableError(f"there are no {name} {what}. Give more corpora.")
    return sides


def _fours(sides: Sequence[pd.DataFrame], pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers (pairs / 4, 4) of a positive and a negative clip and sentence; no pair that they make comes twice."""
    if pairs % 4:
        raise TableError(f"{pairs} pairs were requested, which is not a multiple of four.")
    texts = [_plain(side["text"]).to_numpy() for side in sides]
    used: set[tuple[int, int, int, int]] = set()
    chosen: list[np.ndarray] = []
    for _ in range(_ROUNDS):
        missing = pairs // 4 - len(chosen)
        for four in np.stack([_in_turn(len(side), missing, rng) for side in sides], axis=1):
            made = {(v, w, int(four[v]), int(four[w])) for v in (0, 1) for w in (2, 3)}
            if not made & used and all(texts[v][clip] != texts[w][sentence] for v, w, clip, sentence in made):
                used |= made
                chosen.append(four)
    if 4 * len(chosen) < pairs:
        sizes = "{} positive and {} negative clips, {} positive and {} negative sentences".format(*map(len, sides))
        raise TableError(
            f"{pairs} pairs were requested, but only {4 * len(chosen)} can be made of {sizes}. "
            "Ask for fewer pairs or give more "
            "corpora."
        )
    return np.array(chosen, int).reshape(-1, 4)


def _in_turn(size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """n numbers below `size` in random order, each used equally often, up to one."""
    rounds = -(-n // size)
    return np.concatenate([np.zeros(0, int), *(rng.permutation(size) for _ in range(rounds))])[:n]


def _dimensions(clips: pd.DataFrame, sentences: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    clips = weak_dimensions(clips).set_index("key", drop=False)
    rated = sentences[sentences["valence"].notna() & sentences["dominance"].notna()].set_index("key", drop=False)
    voices = _shared(clips, clips)
    if pairs and (not voices or rated.empty):
        raise TableError(f"there are {len(clips)} clips and {len(rated)} sentences rated in valence and dominance.")
    drawn = []
    for voice, n in zip(voices, _apportioned(pairs, [1.0] * len(voices)), strict=True):
        beside = _draw(clips[clips["emotion"] == voice], rated, n, rng)
        of_clip, of_sentence = (
            clips.loc[beside["clip"]].reset_index(drop=True),
            rated.loc[beside["sentence"]].reset_index(drop=True),
        )
        beside = beside.assign(voice=voice, words=of_sentence["emotion"], weak_dimensions=of_clip["weak_dimensions"])
        beside["arousal"], beside["valence"] = of_clip["arousal"], of_sentence["valence"]
        drawn.append(beside.assign(dominance=(of_clip["dominance"] + of_sentence["dominance"]) / 2))
    return _table(drawn)


_TASKS = {"agree": _agree, "either": _either, "clash": _clash, "dimensions": _dimensions}


def _shared(clips: pd.DataFrame, sentences: pd.DataFrame) -> list[str]:
    """The emotions that both clips and sentences have."""
    both = set(clips["emotion"]) & set(sentences["emotion"].dropna())
    return [emotion for emotion in EMOTIONS if emotion in both]


def _ways(label: str, voices: set[str], words: set[str]) -> Ways:
    """Pairings that can give this label."""
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


def _by_ways(
    clips: pd.DataFrame,
    sentences: pd.DataFrame,
    ways: Mapping[str, Ways],
    shares: Mapping[str, list[float]],
    pairs: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Equally many pairs of each label, in the given shares of its pairings or in equal ones."""
    if pairs and not ways:
        raise TableError("no pairs can be composed: the clips and the sentences have no emotion that fits together.")
    drawn = []
    for (label, found), wanted in zip(ways.items(), _apportioned(pairs, [1.0] * len(ways)), strict=True):
        counts = _apportioned(wanted, shares.get(label, [1.0] * len(found)))
        for (pairing, (voice, word)), n in zip(found.items(), counts, strict=True):
            beside = _draw(clips[clips["emotion"] == voice], sentences[sentences["emotion"] == word], n, rng)
            drawn.append(beside.assign(emotion=label, pairing=pairing, voice=voice, words=word))
    return _table(drawn)


def _apportioned(total: int, shares: list[float]) -> list[int]:
    """Whole numbers in the given relative shares that sum to `total` (largest remainder)."""
    exact = np.array(shares) / (sum(shares) or 1.0) * total
    counts = np.floor(exact + 1e-9).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts.tolist()


def _draw(clips: pd.DataFrame, sentences: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw n different pairs of a clip and a sentence that is not spoken in it; repeated sentences count once."""
    sentences = sentences[~_plain(sentences["text"]).duplicated()]
    said = _plain(clips["text"]).to_numpy()
    read = _plain(sentences["text"]).to_numpy()
    spoken = int(np.isin(said.astype(str), read.astype(str)).sum())
    possible = len(clips) * len(sentences) - spoken
    if n > possible:
        voice, words = str(clips["emotion"].iat[0]), str(sentences["emotion"].iat[0] or "rated")
        raise TableError(
            f"{n} composed pairs asked for of {voice} voices and {words} words, but only {possible} can be made. Ask "
            "for fewer pairs or give more corpora."
        )
    total = len(clips) * len(sentences)
    drawn = rng.choice(total, size=min(total, n + spoken), replace=False)
    clip, sentence = np.divmod(drawn, len(sentences))
    keep = np.flatnonzero(said[clip] != read[sentence])[:n]
    return _beside(clips.iloc[clip[keep]], sentences.iloc[sentence[keep]])


def _beside(clips: pd.DataFrame, sentences: pd.DataFrame) -> pd.DataFrame:
    """Join each clip with the sentence at the same position."""
    pairs = clips[["file", "start", "end", "speaker", "gender"]].reset_index(drop=True)
    pairs["text"], pairs["language"] = sentences["text"].to_numpy(), sentences["language"].to_numpy()
    pairs["clip"], pairs["sentence"] = clips["key"].to_numpy(), sentences["key"].to_numpy()
    return pairs.assign(key="composed/" + pairs["clip"] + "+" + pairs["sentence"])


def _table(drawn: Sequence[pd.DataFrame]) -> pd.DataFrame:
    rows = [row | {"composed": True} for pairs in drawn for row in pairs.to_dict("records")]
    return make_table(rows, "composed")  # type: ignore[arg-type]


def _plain(texts: pd.Series) -> pd.Series:
    """Texts without case and punctuation, for comparison."""
    return texts.fillna("").str.casefold().str.findall(r"\w+").str.join(" ")
