"""Composed pairs: what they take from where, their balance, and that they are the same every time."""

import numpy as np
import pandas as pd
import pytest

from emofuse.corpora.composed import compose
from emofuse.corpora.labels import DIMENSIONS, EMOTIONS
from emofuse.corpora.table import COLUMNS, TableError, make_table


def clips(emotions=EMOTIONS, n: int = 20, text: str | None = "Dogs sit there.") -> pd.DataFrame:
    rows = [
        {
            "key": f"a/{e}-{i}",
            "file": f"{e}{i}.wav",
            "start": 0.5,
            "end": 1.5,
            "speaker": f"a/{i % 4}",
            "gender": "female",
            "language": "pl",
            "text": text,
            "emotion": e,
            "valence": 0.1,
        }
        for e in emotions
        for i in range(n)
    ]
    return make_table(rows, "a")


def sentences(emotions=EMOTIONS, n: int = 20) -> pd.DataFrame:
    rows = [
        {
            "key": f"t/{e}-{i}",
            "text": f"some {e} words {i}",
            "language": "en",
            "emotion": e,
            "speaker": "t/x",
            "valence": 0.9,
        }
        for e in emotions
        for i in range(n)
    ]
    return make_table(rows, "t")


def test_voice_from_the_clip_and_words_from_the_sentence() -> None:
    df = compose(clips(), sentences(), pairs=700, seed=0)
    assert list(df.columns) == [*COLUMNS, "pairing"] and len(df) == 700
    assert df["key"].is_unique and (df["corpus"] == "composed").all()
    halves = df["key"].str.extract(r"^composed/(?P<voice>a/(\w+)-\d+)\+(?P<words>t/(\w+)-\d+)$")
    voice, words, emotion = halves[1], halves[3], df["emotion"]
    agree, by_voice, by_words = (df["pairing"] == p for p in ("agree", "voice", "words"))
    assert (agree | by_voice | by_words).all()
    assert (voice[agree] == emotion[agree]).all() and (words[agree] == emotion[agree]).all()
    assert (voice[by_voice] == emotion[by_voice]).all() and (words[by_voice] == "neutral").all()
    assert (words[by_words] == emotion[by_words]).all() and (voice[by_words] == "neutral").all()
    assert (emotion[by_voice | by_words] != "neutral").all()
    first = df.iloc[0]
    assert (first["start"], first["end"], first["gender"], first["language"]) == (0.5, 1.5, "female", "en")
    assert first["file"] == halves["voice"].iat[0].removeprefix("a/").replace("-", "") + ".wav"
    assert df["speaker"].str.startswith("a/").all() and df["text"].str.startswith("some").all()
    assert df[list(DIMENSIONS)].isna().all(axis=None)


def test_balance_over_emotions_and_pairings() -> None:
    df = compose(clips(), sentences(), pairs=1400, seed=0)
    assert set(df["emotion"].value_counts()) <= {199, 200, 201}
    shares = df["pairing"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"agree": 0.5, "voice": 0.25, "words": 0.25}, abs=0.01)


def test_emotions_that_one_side_lacks() -> None:
    df = compose(clips(("neutral", "anger")), sentences(("neutral", "fear")), pairs=90, seed=0)
    counts = df.groupby(["emotion", "pairing"]).size().to_dict()
    assert counts == {("neutral", "agree"): 30, ("anger", "voice"): 30, ("fear", "words"): 30}
    with pytest.raises(TableError, match="no emotion that fits together"):
        compose(clips(("anger",)), sentences(("fear",)), pairs=1, seed=0)


def test_same_seed_same_pairs_whatever_the_row_order() -> None:
    audio, text = clips(), sentences()
    df = compose(audio, text, pairs=300, seed=5)
    shuffled = compose(audio.sample(frac=1, random_state=1), text.sample(frac=1, random_state=2), pairs=300, seed=5)
    pd.testing.assert_frame_equal(df, shuffled)
    assert set(compose(audio, text, pairs=300, seed=6)["key"]) != set(df["key"])


def test_every_pair_can_be_used_once_but_not_twice() -> None:
    audio, text = clips(("anger",), 4), sentences(("anger",), 5)
    df = compose(audio, text, pairs=20, seed=0)
    assert df["key"].nunique() == 20
    with pytest.raises(TableError, match="only 20 can be made"):
        compose(audio, text, pairs=21, seed=0)


def test_a_sentence_is_never_put_beside_a_clip_that_says_it() -> None:
    audio = clips(("anger",), 3, text="SOME anger words, 1!")
    df = compose(audio, sentences(("anger",), 3), pairs=6, seed=0)
    assert set(df["text"]) == {"some anger words 0", "some anger words 2"}
    with pytest.raises(TableError, match="only 6 can be made"):
        compose(audio, sentences(("anger",), 3), pairs=7, seed=0)


def test_short_repeated_and_unlabelled_rows_are_not_used() -> None:
    text = make_table(
        [
            {"key": "t/1", "text": "Oh no!", "emotion": "anger"},
            {"key": "t/2", "text": "this is long enough", "emotion": None},
            {"key": "t/3", "text": "so is this", "emotion": "anger"},
            {"key": "t/4", "text": "So is this!", "emotion": "anger"},
            {"key": "t/5", "text": None, "emotion": "anger"},
        ],
        "t",
    )
    df = compose(clips(("anger",), 5, text=None), text, pairs=5, seed=0)
    assert set(df["text"]) == {"so is this"}
    no_audio = clips(("anger",)).assign(file=None)
    with pytest.raises(TableError):
        compose(no_audio, text, pairs=1, seed=0)


@pytest.mark.parametrize("pairs", [0, 1, 2, 3, 11, 97])
def test_number_of_pairs_is_exact(pairs: int) -> None:
    df = compose(clips(), sentences(), pairs=pairs, seed=np.int64(1).item())
    assert len(df) == pairs and list(df.columns[: len(COLUMNS)]) == list(COLUMNS)
