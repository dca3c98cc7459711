"""Composed pairs: what they take from where, their balance, and that they are the same every time."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from emofuse.corpora.composed import POLARITIES, compose, compose_task
from emofuse.corpora.table import COLUMNS, TableError, make_table
from emofuse.labels import DIMENSIONS, EMOTIONS, PROTOTYPES


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
    assert list(df.columns) == [*COLUMNS, "clip", "sentence", "pairing", "voice", "words", "composed"]
    assert len(df) == 700 and df["composed"].eq(True).all()
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


TASKS = ("agree", "either", "clash", "dimensions")
PAIRS = {"train": 120, "dev": 60, "test": 60}


def by_part(make, **options) -> dict[str, pd.DataFrame]:
    """A table for each part, with keys, speakers and texts of its own."""
    parts = {}
    for part in PAIRS:
        table = make(**options)
        for column in ("key", "file", "speaker", "text"):
            table[column] = table[column].map(lambda value, part=part: f"{value} {part}", na_action="ignore")
        parts[part] = table
    return parts


def rated(**options) -> pd.DataFrame:
    table = sentences(**options)
    rng = np.random.default_rng(3)
    return table.assign(emotion=None, valence=rng.uniform(0, 1, len(table)), dominance=rng.uniform(0, 1, len(table)))


def task(name: str, seed: int = 0, audio=None, text=None, pairs=PAIRS) -> dict[str, pd.DataFrame]:
    audio, text = audio or by_part(clips), text or by_part(rated if name == "dimensions" else sentences)
    if name == "clash":
        audio, text = ({part: t.assign(valence=np.nan) for part, t in tables.items()} for tables in (audio, text))
    return compose_task(name, audio, text, pairs=pairs, seed=seed)


@pytest.mark.parametrize("name", TASKS)
def test_parts_of_a_task_share_nothing(name: str) -> None:
    text = by_part(rated if name == "dimensions" else sentences)
    for part in ("dev", "test"):  # what train has, and what dev has
        stolen = text["train" if part == "dev" else "dev"]["text"].str.upper() + "!"
        text[part].loc[::3, "text"] = stolen[::3]
    found = task(name, text=text)
    assert {part: len(table) for part, table in found.items()} == PAIRS
    plain = {part: set(table["text"].str.lower().str.strip("!")) for part, table in found.items()}
    for first, second in combinations(PAIRS, 2):
        for own, other in ((found[first], found[second]), (plain[first], plain[second])):
            if isinstance(own, set):
                assert not own & other
            else:
                assert not set(own["speaker"]) & set(other["speaker"]) and not set(own["key"]) & set(other["key"])
    for table in found.values():
        assert table["key"].is_unique and (table["corpus"] == "composed").all()
        assert (table["key"] == "composed/" + table["clip"] + "+" + table["sentence"]).all()


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_same_task_whatever_the_row_order(name: str) -> None:
    audio, text = by_part(clips), by_part(rated if name == "dimensions" else sentences)
    shuffled = [
        {part: table.sample(frac=1, random_state=4) for part, table in tables.items()} for tables in (audio, text)
    ]
    found, again = task(name, 5, audio, text), task(name, 5, *shuffled)
    for part in PAIRS:
        pd.testing.assert_frame_equal(found[part], again[part])
        assert set(task(name, 6, audio, text)[part]["key"]) != set(found[part]["key"])


def test_agree_and_either_are_balanced_and_say_what_they_are() -> None:
    for table in task("agree", pairs=dict.fromkeys(PAIRS, 70)).values():
        assert (table["voice"] == table["emotion"]).all() and (table["words"] == table["emotion"]).all()
        assert table["emotion"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, 10)
    for table in task("either").values():
        by_voice = table["pairing"] == "voice"
        assert (table["voice"].where(by_voice, table["words"]) == table["emotion"]).all()
        assert (table["words"].where(by_voice, table["voice"]) == "neutral").all()
        counts = table.groupby(["emotion", "pairing"]).size()
        assert counts.nunique() == 1 and len(counts) == 12
    found = task("either", audio=by_part(clips, emotions=("neutral", "anger", "fear")))
    assert set(found["test"]["emotion"]) == {"anger", "fear"}  # what one side lacks would tell the side
    with pytest.raises(TableError, match="composed either, train: expected neutral clips"):
        task("either", audio=by_part(clips, emotions=("anger",)))
    with pytest.raises(TableError, match=r"composed agree, train: .* no emotion that fits together"):
        task("agree", audio=by_part(clips, emotions=("anger",)), text=by_part(sentences, emotions=("fear",)))


def test_one_modality_alone_is_at_chance_in_clash() -> None:
    for table in task("clash", pairs={"train": 160, "dev": 80, "test": 80}).values():
        clash = table["original_emotion"] == "clash"
        assert (clash == (table["voice"] != table["words"])).all() and table["emotion"].isna().all()
        assert set(table.groupby(["voice", "words"]).size()) == {len(table) // 4}
        # Whatever a model answers to a clip, or to a sentence, it is right in half of its pairs.
        for alone in ("clip", "sentence"):
            assert (clash.groupby(table[alone]).mean() == 0.5).all()
        voice = table["clip"].str.extract(r"a/(\w+)-")[0]
        words = table["sentence"].str.extract(r"t/(\w+)-")[0]
        for emotion, polarity in ((voice, table["voice"]), (words, table["words"])):
            assert set(emotion[polarity == "positive"]) == {"happiness"}
            assert set(emotion[polarity == "negative"]) == {"anger", "sadness", "fear", "disgust"}
        uses = table.groupby(["voice", "clip"]).size().groupby("voice").agg(["min", "max"])
        assert (uses["max"] - uses["min"] <= 4).all()


def test_no_sum_of_two_scores_tells_clash() -> None:
    table = task("clash")["train"]
    rng = np.random.default_rng(0)
    clash = table["original_emotion"] == "clash"
    for _ in range(20):
        heard, read = (dict(zip(POLARITIES, rng.normal(size=2), strict=True)) for _ in range(2))
        scores = table["voice"].map(heard) + table["words"].map(read)
        # Of the four ways, one is on the wrong side of any threshold.
        for threshold in [*scores.unique(), np.inf]:
            assert ((scores >= threshold) == clash).mean() <= 0.75
        assert scores[clash].mean() == pytest.approx(scores[~clash].mean())


def test_polarity_of_rated_sentences_is_that_of_the_rating() -> None:
    text = by_part(sentences, n=30)
    for table in text.values():
        table["valence"] = np.resize([0.6, 0.59, 0.4, 0.41, 3.4 / 4 - 0.25], len(table))
    audio = {part: table.assign(valence=np.nan) for part, table in by_part(clips).items()}
    found = compose_task("clash", audio, text, pairs=PAIRS, seed=0)
    for part, table in found.items():
        rating = table["sentence"].map(text[part].set_index("key")["valence"])
        assert set(rating[table["words"] == "positive"].round(6)) == {0.6}
        assert set(rating[table["words"] == "negative"]) == {0.4}


def test_clash_that_cannot_be_made() -> None:
    with pytest.raises(TableError, match="composed clash, train: there are no positive clips"):
        task("clash", audio=by_part(clips, emotions=("anger", "neutral")))
    with pytest.raises(TableError, match=r"10 pairs .* not a multiple of four"):
        task("clash", pairs={"train": 10})
    few = {"audio": by_part(clips, n=1), "text": by_part(sentences, n=1)}
    assert len(task("clash", **few, pairs={"train": 4})["train"]) == 4
    with pytest.raises(TableError, match=r"8 pairs .* only 4 can be made of 1 positive and 4 negative clips"):
        task("clash", **few, pairs={"train": 8})


def test_clash_never_puts_a_sentence_beside_a_clip_that_says_it() -> None:
    text = by_part(sentences, n=2)
    audio = {part: clips(n=2).assign(text=table["text"].iloc[0]) for part, table in text.items()}
    said = text["train"]["text"].iloc[0]
    text["train"].loc[0, "emotion"] = "happiness"
    found = task("clash", audio=audio, text=text, pairs={"train": 8})["train"]
    assert len(found) == 8 and said not in set(found["text"])


def test_dimensions_come_from_the_voice_and_from_the_rated_words() -> None:
    audio = {part: table.assign(valence=np.nan) for part, table in by_part(clips).items()}
    audio["train"].loc[0, ["arousal", "valence", "dominance"]] = (0.1, 0.2, 0.3)
    text = by_part(rated)
    for part, table in task("dimensions", audio=audio, text=text, pairs={"train": 700}).items():
        assert set(table["voice"].value_counts()) == {100} and table["emotion"].isna().all()
        read = text[part].set_index("key").loc[table["sentence"]].reset_index(drop=True)
        human = table["clip"] == audio[part]["key"].iat[0]
        arousal = table["voice"].map({e: p[0] for e, p in PROTOTYPES.items()}).mask(human, 0.1)
        dominance = table["voice"].map({e: p[2] for e, p in PROTOTYPES.items()}).mask(human, 0.3)
        assert human.any() and (table["weak_dimensions"].astype(bool) == ~human).all()
        np.testing.assert_allclose(table["arousal"], arousal)
        np.testing.assert_allclose(table["valence"], read["valence"])
        np.testing.assert_allclose(table["dominance"], (dominance + read["dominance"]) / 2)
    with pytest.raises(TableError, match="composed dimensions, train: there are 140 clips and 0 sentences rated"):
        task("dimensions", text={part: table.assign(dominance=np.nan) for part, table in by_part(rated).items()})
