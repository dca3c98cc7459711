"""The model in the package: what it promises, whatever its weights."""

from pathlib import Path

import numpy as np
import pytest

import emofuse
from emofuse.inference.bundle import DEFAULT_FOLDER, default_bundle
from emofuse.labels import EMOTIONS
from emofuse.segment import Segment

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def predict():
    return emofuse.load(transcribe=False, threads=1)


def test_size_and_what_it_says_of_itself():
    package = DEFAULT_FOLDER.parent.parent
    assert sum(path.stat().st_size for path in package.rglob("*") if path.suffix != ".pyc") < 75e6
    bundle = default_bundle()
    assert set(bundle.labels) == set(EMOTIONS) and bundle.reads_text_alone
    assert bundle.text_languages == ["en"] and "it" in bundle.multilingual_encoder["languages"]
    assert {"audio", "text"} <= bundle.calibration.keys() and bundle.load_adapter() is not None
    assert "NC" in bundle.licence


def test_every_kind_of_input_is_answered(predict):
    text = "Kids are talking by the door."
    [voice], [both], [words] = (
        predict(*given) for given in ((EXAMPLES / "angry.flac",), (EXAMPLES / "angry.flac", text), (None, text))
    )
    assert [found.used for found in (voice, both, words)] == ["audio", "audio+text", "text"]
    for found in (voice, both, words):
        assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert found.emotion == max(found.probabilities, key=found.probabilities.get)
        assert all(0 <= value <= 1 for value in (found.arousal, found.valence, found.dominance))
        assert found.uncertain is not None


def test_shouting_is_more_aroused_than_a_neutral_voice(predict):
    [angry], [neutral] = predict(EXAMPLES / "angry.flac"), predict(EXAMPLES / "neutral.flac")
    assert angry.arousal > neutral.arousal + 0.1


def test_words_of_joy_and_of_grief(predict):
    [joy] = predict(text="I finally got the job! I am so happy.")
    [grief] = predict(text="He died last night and I can't stop crying.")
    assert joy.emotion == "happiness" and joy.valence > grief.valence + 0.2


@pytest.mark.data
def test_a_polish_transcript_never_changes_the_answer(predict, data_folder):
    pandas = pytest.importorskip("pandas")
    from emofuse.corpora import read_corpus

    table = read_corpus("nemo", data_folder / "nemo")
    rows = pandas.concat([group.sample(2, random_state=0) for _, group in table.groupby("emotion")])
    for file, text in zip(rows["file"], rows["text"], strict=True):
        [alone], [beside] = predict(file), predict(file, text)
        assert beside.text == text and beside.language == "pl" and beside.used == "audio"
        np.testing.assert_array_equal(list(alone.probabilities.values()), list(beside.probabilities.values()))
        assert (alone.arousal, alone.valence, alone.dominance) == (beside.arousal, beside.valence, beside.dominance)


def test_sounds_without_speech_are_left_out_or_doubted(predict):
    rng = np.random.default_rng(0)
    t = np.arange(48000) / 16000
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330)) * np.exp(-(t % 0.5) * 4)
    for samples in (0.1 * rng.standard_normal(48000), 0.1 * chord):
        assert predict(samples.astype(np.float32), sample_rate=16000) == []
        [found] = predict(samples.astype(np.float32), sample_rate=16000, segments=[Segment()])
        assert found.uncertain and found.confidence == max(found.probabilities.values()) <= 0.5 + 0.5 / 7
        assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    [spoken] = predict(EXAMPLES / "neutral.flac")
    assert not spoken.uncertain
