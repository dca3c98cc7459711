import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from emofuse.inference.bundle import DEFAULT_FOLDER, Bundle
from emofuse.inference.network import Network
from emofuse.metrics.calibration import apply_temperature


@pytest.fixture
def network():
    """A network whose text encoder knows nothing but ASCII and at most 10 characters, and embeds a text as itself."""
    network = Network.__new__(Network)
    network.bundle = SimpleNamespace(multilingual_encoder={"languages": ["de"]})
    network._text_encoder = SimpleNamespace(
        unknown_share=lambda text: sum(not character.isascii() for character in text) / len(text),
        encode_whole=lambda text: text,
        split=lambda text: [text[:10], text[10:]],
    )
    network._multilingual_encoder = SimpleNamespace(
        unknown_share=lambda text, language: text.count("x") / len(text),
        encode_whole=lambda text, language: np.array([len(text.split()), 0.0]),
        split=lambda text, language: text.split(),
        gloss_text=lambda text, language: "bad" if "schlecht" in text else "",
        add_gloss=lambda embedding, of_gloss: embedding + 10 * of_gloss,
    )
    return network


@pytest.mark.parametrize("language", [None, "en", "pl"])
def test_languages_of_the_text_encoder_and_unknown_ones(network, language):
    assert network.embedding("Zu viel!", language) == "Zu viel!"
    assert network.text_parts("a text of more", language) == network.text_parts("a text of more")
    assert network.unreadable("xxx", language) is None


def test_languages_of_the_multilingual_encoder(network):
    network._text_encoder.encode_whole = lambda text: np.array([0.0, len(text.split())])
    assert network.embedding("Zu viel!", "de").tolist() == [2, 0]
    assert network.embedding("Zu schlecht", "de").tolist() == [2, 10], "the text encoder reads the gloss"
    assert network.embedding("Zu viel 😭!", "de").tolist() == [9 / 6, 9 / 6], "3 words, and 3 of the emoji's name"
    assert network.embedding("😭", "de").tolist() == [0, 3], "an emoji alone is for the text encoder"
    assert network.text_parts("zu viel", "de") == ["zu", "viel"]
    assert "75%" in network.unreadable("xxxa", "de") and network.unreadable("xa 😭", "de") is None


def test_unknown_emoji_are_named(network):
    assert network.embedding("I am  fine") == "I am  fine"
    assert network.embedding("I am 😭😭") == "I am loudly crying face"
    network._text_encoder.unknown_share = lambda text: 0.0
    assert network.embedding("I am 😭😭") == "I am 😭😭"


@pytest.mark.parametrize(("text", "percent"), [("fine", None), ("😭😭😭", None), ("你好 ok", None), ("你好!", "67%")])
def test_unreadable_text(network, text, percent):
    reason = network.unreadable(text)
    assert reason is None if percent is None else percent in reason


def test_parts_of_a_text(network):
    assert network.text_parts("a text of more") == ["a text of ", "more"]


@pytest.fixture(scope="module")
def default():
    return Network(Bundle.load(DEFAULT_FOLDER))


def emotion(network, text):
    return network.bundle.labels[network.answer(None, network.embedding(text)).probabilities.argmax()]


def test_the_end_of_a_long_letter_counts(default):
    letter = "The meeting takes place on Tuesday in room four and the report covers the second quarter. " * 16
    fury = "I am so furious, I hate you all, this makes me so angry! " * 8
    *others, last = default.text_parts(letter + fury)
    assert "".join(others) + last == letter + fury and last.endswith(fury)
    assert emotion(default, letter) == emotion(default, others[0]) == "neutral" != emotion(default, last)
    assert abs(default.embedding(letter + fury) - default.embedding(letter)).max() > 0.01


def test_emoji_and_text_that_the_default_model_cannot_read(default):
    assert [emotion(default, emoji) for emoji in ("😭😭😭", "😱", "😂")] == ["sadness", "fear", "happiness"]
    assert default.unreadable("😭😭😭") is None
    assert "100%" in default.unreadable("a" * 5000)


def test_adapted_audio_has_a_calibration_of_its_own_except_in_old_bundles(default):
    frames = np.random.default_rng(0).normal(0, 1, (50, default._width)).astype(np.float32)
    network, audio = copy.copy(default), default._calibration["audio"]
    network._calibration = {"audio": audio, "text": default._calibration["text"]}  # as in version 0.2.0
    assert network.answer(frames, None, adapted=True).calibration is audio
    own = replace(audio, temperature=3 * audio.temperature)
    network._calibration["audio_adapted"] = own
    plain, adapted = network.answer(frames, None), network.answer(frames, None, adapted=True)
    assert plain.calibration is audio and adapted.calibration is own
    np.testing.assert_allclose(adapted.probabilities, apply_temperature(plain.probabilities, 3), atol=1e-6)
    text = network.answer(None, network.embedding("I am happy."), adapted=True)
    assert text.calibration is default._calibration["text"]
