"""Properties of composed pairs: the label follows from clip and sentence, and parts share neither."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emofuse.corpora.composed import compose, compose_task
from emofuse.corpora.table import make_table
from emofuse.labels import EMOTIONS

PARTS = ("train", "dev", "test")
POLARITIES = {"happiness": "positive"} | dict.fromkeys(("anger", "sadness", "fear", "disgust"), "negative")


def clips(part, n):
    """n clips of each emotion by two speakers of a part."""
    rows = [
        {"key": f"v/{part}/{e}/{i}", "file": f"{part}-{e}-{i}.wav", "speaker": f"v/{part}{i % 2}", "emotion": e}
        for e in EMOTIONS
        for i in range(n)
    ]
    return make_table(rows, "v")


def sentences(part, n, rated):
    """n sentences of each emotion; every fourth has the same words in all parts."""
    rng = np.random.default_rng(PARTS.index(part))
    rows = [
        {
            "key": f"w/{part}/{e}/{i}",
            "text": f"these are {e} words {i}" + ("" if i % 4 == 0 else f" of {part}"),
            "emotion": e,
            **({"valence": rng.uniform(), "dominance": rng.uniform()} if rated else {}),
        }
        for e in EMOTIONS
        for i in range(n)
    ]
    return make_table(rows, "w")


def emotion_in(key):
    return key.split("/")[2]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 120), st.integers(0, 999), st.integers(5, 9))
def test_the_label_of_a_pair_follows_from_its_clip_and_its_sentence(n_pairs, seed, n):
    pairs = compose(clips("train", n), sentences("train", n, rated=False), pairs=n_pairs, seed=seed)
    assert len(pairs) == pairs["key"].nunique() == n_pairs
    for row in pairs.itertuples():
        voice, words = emotion_in(row.clip), emotion_in(row.sentence)
        assert (row.voice, row.words) == (voice, words)
        assert row.emotion in (voice, words)
        assert {voice, words} - {"neutral", row.emotion} == set()
        pairing = "agree" if voice == words else "voice" if words == "neutral" else "words"
        assert row.pairing == pairing
        assert row.file == row.clip.removeprefix("v/").replace("/", "-") + ".wav"
    if n_pairs:
        counts = pairs["emotion"].value_counts().reindex(EMOTIONS, fill_value=0)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("task", ["agree", "either", "clash", "dimensions"])
@settings(max_examples=5, deadline=None)
@given(quarter=st.integers(1, 12), seed=st.integers(0, 999))
def test_no_sentence_and_no_voice_is_in_two_parts(task, quarter, seed):
    n_pairs = 4 * quarter
    audio = {part: clips(part, 6) for part in PARTS}
    text = {part: sentences(part, 8, rated=task == "dimensions") for part in PARTS}
    parts = compose_task(task, audio, text, pairs=dict.fromkeys(PARTS, n_pairs), seed=seed)
    for part, pairs in parts.items():
        assert len(pairs) == pairs["key"].nunique() == n_pairs
        assert set(pairs["speaker"]) <= set(audio[part]["speaker"])
        assert set(pairs["text"]) <= set(text[part]["text"])
    for one, other in combinations(parts.values(), 2):
        for column in ("speaker", "file", "text", "clip", "sentence"):
            assert not set(one[column]) & set(other[column])


@settings(max_examples=4, deadline=None)
@given(st.integers(1, 15), st.integers(0, 999))
def test_labels_of_the_tasks_follow_from_clip_and_sentence(quarter, seed):
    audio, text = {"train": clips("train", 6)}, {"train": sentences("train", 8, rated=False)}

    def pairs_of(task, text=text):
        return compose_task(task, audio, text, pairs={"train": 4 * quarter}, seed=seed)["train"]

    for row in pairs_of("clash").itertuples():
        voice, words = POLARITIES[emotion_in(row.clip)], POLARITIES[emotion_in(row.sentence)]
        assert row.original_emotion == ("agree" if voice == words else "clash")
    for row in pairs_of("agree").itertuples():
        assert emotion_in(row.clip) == emotion_in(row.sentence) == row.emotion
    for row in pairs_of("either").itertuples():
        assert {emotion_in(row.clip), emotion_in(row.sentence)} == {"neutral", row.emotion}
    rated = {"train": sentences("train", 8, rated=True)}
    pairs = pairs_of("dimensions", rated)
    valence = rated["train"].set_index("key")["valence"].loc[pairs["sentence"]]
    np.testing.assert_allclose(pairs["valence"].astype(float), valence)
    assert (pairs.groupby(pairs["clip"].map(emotion_in))["arousal"].nunique() == 1).all()


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 999))
def test_the_same_seed_gives_the_same_pairs_whatever_the_order_of_rows(seed):
    audio, text = clips("train", 5), sentences("train", 5, rated=False)
    expected = compose(audio, text, pairs=60, seed=seed)
    shuffled = (table.sample(frac=1, random_state=seed) for table in (audio, text))
    pd.testing.assert_frame_equal(compose(*shuffled, pairs=60, seed=seed), expected)
