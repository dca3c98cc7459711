"""Word errors in transcripts, counted by jiwer."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emofuse.stress.rows import SHARES, WordErrors, plain_word

TEXTS = [
    "Kids are talking by the door!",
    "Dogs are sitting by the door.",
    "I finally got the job, and I can't wait to tell you - everything.",
    "No, no, no; no one knows no one there.",
    "He said that that was that, and that was all there was to it, was it not?",
    "Yes.",
]
ERRORS = WordErrors(TEXTS)


def plain(text):
    return " ".join(word for token in text.split() if (word := plain_word(token)))


def errors_of(text, changed):
    """Substitutions, deletions, insertions of the alignment with the fewest."""
    found = jiwer.process_words(plain(text), plain(changed))
    return found.substitutions, found.deletions, found.insertions


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("wer", [0, 0.1, 0.35, 0.8, 1])
def test_each_text_is_within_a_word_and_the_mean_is_exact(text, wer):
    words = len(plain(text).split())
    counts = np.array([sum(errors_of(text, ERRORS(text, wer, seed=seed))) for seed in range(200)])
    assert (np.abs(counts - wer * words) < 1).all()
    spread = np.sqrt(0.25 / 200)  # of the mean of a coin
    assert counts.mean() == pytest.approx(wer * words, abs=4 * spread)


def test_substitutions_deletions_and_insertions_come_in_their_shares():
    counts = np.sum([errors_of(TEXTS[4], ERRORS(TEXTS[4], 0.3, seed=seed)) for seed in range(600)], axis=0)
    np.testing.assert_allclose(counts / counts.sum(), SHARES, atol=0.05)


def test_seed_and_text_decide():
    assert ERRORS(TEXTS[2], 0.5, seed=1) == ERRORS(TEXTS[2], 0.5, seed=1)
    assert len({ERRORS(TEXTS[2], 0.5, seed=seed) for seed in range(10)}) > 5
    assert WordErrors(TEXTS[::-1])(TEXTS[2], 0.5, seed=1) == ERRORS(TEXTS[2], 0.5, seed=1)


def test_words_come_from_the_others_as_often_as_there_and_without_marks():
    errors = WordErrors(["One, two!", "(three) three three four's"])
    drawn = [errors("one two", 1, seed=seed) for seed in range(400)]
    words = [word for text in drawn for word in text.split() if word not in ("one", "two")]
    assert set(words) == {"three", "four's"}
    assert words.count("three") / len(words) == pytest.approx(0.75, abs=0.07)


def test_the_rest_of_a_text_stays_as_it_is_written():
    changed = ERRORS(TEXTS[2], 0.2, seed=3).split()
    assert "-" in changed and set(changed) & {"can't", "job,", "everything."}
    assert ERRORS(TEXTS[2], 0, seed=3) == TEXTS[2]


def test_without_foreign_words_all_errors_are_deletions():
    alone = WordErrors(["so it is"])
    assert alone("so it is", 1, seed=0) == ""
    assert len(alone("so it is", 1 / 3, seed=0).split()) == 2
    assert WordErrors([])("so it is", 2 / 3, seed=0) in ("so", "it", "is")


@pytest.mark.parametrize("text", ["", "  ", "- ..."])
def test_texts_without_words_stay(text):
    assert ERRORS(text, 1, seed=0) == " ".join(text.split())


@given(
    st.lists(st.sampled_from(["a", "b", "c", "ä", "1", "don't", "-"]), max_size=12), st.floats(0, 1), st.integers(0, 5)
)
def test_any_text_with_any_repeated_words(words, wer, seed):
    text = " ".join(words)
    n = len(plain(text).split())
    changed = WordErrors(["x y z a b"])(text, wer, seed=seed)
    found = sum(errors_of(text, changed)) if n else 0
    assert abs(found - wer * n) < 1 + 1e-6
    assert n or changed == text
