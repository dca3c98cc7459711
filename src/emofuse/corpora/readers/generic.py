"""Readers of users' own data: tables, and what the readers of audformat and Hugging Face share.

A recipe maps columns, categories and scales to ours; obvious ones are recognised.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.readers.source import finish
from emofuse.corpora.table import COLUMNS, TableError, make_table, read_table
from emofuse.labels import DIMENSIONS, EMOTIONS

SYNONYMS = {
    **{emotion: emotion for emotion in EMOTIONS},
    **{"happy": "happiness", "joy": "happiness", "joyful": "happiness", "sad": "sadness", "angry": "anger"},
    **{"fearful": "fear", "afraid": "fear", "disgusted": "disgust", "surprised": "surprise"},
}
"""Shared category of unambiguous words; `emotions` in a recipe replaces them."""

NO_COUNTERPART = "none"
"""Value in `emotions` for a category without a shared counterpart, such as {boredom = "none"}."""

_GUESSES = {
    **{column: (column,) for column in (*COLUMNS, "votes", "age")},
    "text": ("text", "transcription", "transcript", "sentence"),
    "speaker": ("speaker", "speaker_id"),
    "gender": ("gender", "sex"),
    "official_split": ("official_split", "split"),
}
_GENDERS = {
    **{"female": "female", "f": "female", "woman": "female", "male": "male", "m": "male", "man": "male"},
    **{"other": "other", "child": None, "unknown": None},
}
_PARTS = {"devel": "dev", "development": "dev", "val": "dev", "valid": "dev", "validation": "dev"}


def read(
    path: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    emotions: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Utterance table of a user's own CSV, TSV, JSON Lines or Parquet file.

    Args:
        path: the file; relative audio files are below its folder.
        columns: from its column names to ours.
        emotions: from its categories to ours, see `adapt`.
        scale: lowest and highest possible rating of arousal, valence and dominance.
        allow_missing: accept rows whose audio is missing.

    Raises:
        TableError: the file cannot be read or breaks a rule of `check_table`, or what `adapt` raises.
    """
    return read_table(
        path, columns, allow_missing=allow_missing, adapt=partial(adapt, emotions=emotions or {}, scale=scale)
    )


def adapt(df: pd.DataFrame, *, emotions: Mapping[str, str], scale: tuple[float, float] | None) -> pd.DataFrame:
    """Map the categories, genders and ratings of a table to ours, in a copy.

    The category of a row in the source's words is `original_emotion`, or else `emotion`. Genders are spelled out
    (f, F, woman: female).

    Args:
        df: table with the columns of `COLUMNS`, as `make_table` gives it.
        emotions: from each category of the source, in any case, to a shared one, or to "none" where there is no
            counterpart; if empty, `SYNONYMS` are mapped and other words left as they are.
        scale: lowest and highest possible rating; None where ratings are on 0..1 already.

    Raises:
        TableError: a category that is not in `emotions`, a value of `emotions` that is not shared, a rating out of
            `scale`; names the row's key.

    >>> row = {"key": "a/1", "text": "Oh", "emotion": "Wut", "gender": "F", "arousal": 4}
    >>> adapt(make_table([row], "a"), emotions={"wut": "anger"}, scale=(1, 7))[
    ...     ["emotion", "original_emotion", "gender", "arousal"]].values.tolist()
    [['anger', 'Wut', 'female', 0.5]]
    """
    df = df.copy()
    df["emotion"], df["original_emotion"] = _emotions(df, emotions)
    genders = df["gender"].map(lambda name: _GENDERS.get(name.lower(), name), na_action="ignore")
    df["gender"] = _objects(genders)
    if scale is not None:
        _scale(df, scale)
    return df


def finish_adapted(
    rows: Sequence[Mapping[str, Any]],
    corpus: str,
    source: Path,
    *,
    emotions: Mapping[str, str] | None,
    scale: tuple[float, float] | None,
    allow_missing: bool,
) -> pd.DataFrame:
    """`adapt` and then `finish` rows whose categories may have no shared counterpart; those lose `emotion` only."""
    df = adapt(make_table(rows, corpus), emotions=emotions or {}, scale=scale)
    own = df["emotion"].notna() & ~df["emotion"].isin(EMOTIONS)
    df["original_emotion"] = df["original_emotion"].where(~own | df["original_emotion"].notna(), df["emotion"])
    df["emotion"] = _objects(df["emotion"].where(~own))
    records = df.astype(object).where(df.notna(), None).to_dict("records")
    return finish([{str(c): v for c, v in row.items()} for row in records], corpus, source, allow_missing=allow_missing)


def guessed(names: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Our name of each column that has an obvious one; other columns keep theirs. Each of our names is given once.

    Args:
        names: of the columns.
        taken: names of ours that other columns have; a column of such a name is left out.

    >>> guessed(["Emotion", "text", "transcript", "room"], taken={"text"})
    {'Emotion': 'emotion', 'transcript': 'transcript', 'room': 'room'}
    """
    ours: dict[str, str] = {}
    by_name = {name.lower(): name for name in reversed(names)}
    for target, guesses in _GUESSES.items():
        found = next((by_name[guess] for guess in guesses if guess in by_name), None)
        if found and target not in taken:
            ours[found] = target
    return ours | {name: name for name in names if name not in ours and name not in taken}


def official_part(name: str) -> str | None:
    """Our name of a part of an official split; None if the name is not that of a part.

    >>> [official_part(name) for name in ("Train", "validation", "test-1", "extra")]
    ['train', 'dev', 'test1', None]
    """
    name = name.strip().lower()
    name = _PARTS.get(name, name)
    match = re.fullmatch(r"(train|dev|test)[-_ ]?(\d*)", name)
    return "".join(match.groups()) if match else None


def _emotions(df: pd.DataFrame, emotions: Mapping[str, str]) -> tuple[pd.Series, pd.Series]:
    """Shared category of each row, and that of the source."""
    shared, own = df["emotion"], df["original_emotion"]
    in_own_words = ~shared.isin(EMOTIONS) | (bool(emotions) and bool(own.isna().all()))
    words = own.where(own.notna(), shared.where(in_own_words))
    folded = words.map(_folded, na_action="ignore")
    if emotions:
        known = _checked_map(emotions)
        mapped = _objects(folded.map(known))
        _check_words(df["key"], words, folded, known)
        given = words.notna()
    else:
        mapped = _objects(folded.map(SYNONYMS))
        given = mapped.notna() & ~shared.isin(EMOTIONS)
    return _objects(mapped.where(given, shared)), _objects(words.where(given, own))


def _folded(word: str) -> str:
    return str(word).strip().lower()


def _checked_map(emotions: Mapping[str, str]) -> dict[str, str | None]:
    for word, emotion in emotions.items():
        if emotion not in (*EMOTIONS, NO_COUNTERPART):
            raise TableError(
                f"emotions: {word!r} is mapped to {emotion!r}; expected one of {', '.join(EMOTIONS)}, or "
                f"{NO_COUNTERPART!r} for a category without counterpart."
            )
    return {_folded(word): None if emotion == NO_COUNTERPART else emotion for word, emotion in emotions.items()}


def _check_words(keys: pd.Series, words: pd.Series, folded: pd.Series, known: Mapping[str, str | None]) -> None:
    unknown = words.notna() & ~folded.isin(known)
    if unknown.any():
        names = ", ".join(sorted(repr(word) for word in words[unknown].unique()))
        raise TableError(
            f"{keys[unknown].iloc[0]}: category {words[unknown].iloc[0]!r} is not in `emotions`. Map every category, "
            f"to {NO_COUNTERPART!r} where it has no counterpart; these lack: {names}."
        )


def _scale(df: pd.DataFrame, scale: tuple[float, float]) -> None:
    low, high = scale
    if not low < high:
        raise TableError(f"scale: expected the lowest and the highest rating, such as [1, 7]; found {list(scale)}.")
    for dimension in DIMENSIONS:
        outside = df[dimension].notna() & ~df[dimension].between(low, high)
        if outside.any():
            key, rating = df.loc[outside, ["key", dimension]].iloc[0]
            raise TableError(
                f"{key}: {dimension} {rating:g} is not a rating from {low:g} to {high:g}. Correct `scale`."
            )
        df[dimension] = (df[dimension] - low) / (high - low)


def _objects(values: pd.Series) -> pd.Series:
    return values.astype(object).where(values.notna(), None)
