import numpy as np

from emofuse.training.misheard import FILLERS, Mishearing, soundex, speak

SENTENCES = ["Their boat was there, and they're not bored.", "I'm not afraid of the board any more!"]


def test_spoken_words_have_fillers_at_the_given_rate():
    text = " ".join(["word"] * 2000)
    words = speak(text, np.random.default_rng(0), fillers=0.2).split()
    share = sum(word != "word" for word in words) / 2000  # "you know" and "i mean" count twice
    assert 0.2 < share < 0.3
    assert speak(text, np.random.default_rng(0), fillers=0.0) == text


def test_misheard_words_sound_like_those_of_the_sentence():
    mishear, rng = Mishearing(SENTENCES), np.random.default_rng(0)
    words = {word for _ in range(200) for word in mishear("there boat", rng, rate=0.9).split()}
    assert {"their", "they're"} <= words
    fillers = {word for filler in FILLERS for word in filler.split()}
    assert {soundex(word) for word in words - fillers} == {soundex("there"), soundex("boat")}


def test_share_of_wrong_words_is_about_the_rate():
    text = " ".join(["there"] * 3000)
    words = Mishearing(SENTENCES)(text, np.random.default_rng(0), rate=0.2).split()
    unchanged = sum(word == "there" for word in words) / 3000
    assert 0.8 < unchanged < 0.95  # repeated words are counted too


def test_a_sentence_keeps_at_least_one_word():
    mishear, rng = Mishearing(SENTENCES), np.random.default_rng(0)
    assert all(mishear("Boat!", rng, rate=1.0) for _ in range(50))


def test_punctuation_and_capitals_stay_if_asked():
    mishear, rng = Mishearing(SENTENCES), np.random.default_rng(0)
    heard = {mishear("There, BOAT!", rng, rate=0.6, punctuation=True) for _ in range(300)}
    assert {"Their, BOAT!", "They're, BOAT!", "There, There, BOAT!", "BOAT!"} <= heard
    assert all(text[0].isupper() for text in heard)
    assert mishear("Well - no…", rng, rate=1e-9, punctuation=True) == "Well - no…"
