"""The table of behavioural tests is well formed; the checks themselves do what they say."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from behaviour import Case, passes, read_cases, run_cases

CATEGORIES = ["neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"]


def test_cases_name_known_categories_and_have_their_texts():
    cases = read_cases()
    assert len({case.texts for case in cases}) == len(cases) > 200
    for case in cases:
        assert not any("{" in text for text in case.texts)
        assert len(case.texts) == (2 if case.expectation in ("same", "up", "down") else 1)
        if case.expectation in ("expect", "avoid"):
            assert set(case.value) <= set(CATEGORIES)


def test_a_model_that_always_answers_the_same_passes_the_invariance_cases_only():
    constant = np.eye(len(CATEGORIES))[[0]]
    results = run_cases(lambda texts: constant.repeat(len(texts), axis=0), CATEGORIES)
    assert all(passed for case, passed in results if case.expectation == "same")
    assert not any(passed for case, passed in results if case.expectation in ("up", "down"))


def test_direction_compares_the_second_text_with_the_first():
    case = Case("intensifiers", ("I am happy.", "I am very happy."), "up", "happiness")
    rising = np.array([[0.5, 0.5], [0.4, 0.6]])
    assert passes(case, rising, ["neutral", "happiness"])
    assert not passes(case, rising[::-1], ["neutral", "happiness"])
