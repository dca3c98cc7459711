"""Made-up sentences: what their labels are, and that they share nothing with the behavioural tests."""

import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from emofuse.labels import EMOTIONS
from emofuse.training.made_up import make_sentences, read_templates
from emofuse.training.sentences import TASKS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_labels_are_distributions_over_known_names():
    for made in make_sentences(500):
        assert made.text[0] == made.text[0].upper() and not re.search("[{}]", made.text)
        for labels, names in ((made.goemotions, TASKS["goemotions"]), (made.categories, EMOTIONS)):
            assert set(labels) <= set(names) and sum(labels.values()) == pytest.approx(1)


def test_shares_of_the_groups_add_up_to_one():
    assert sum(group["share"] for group in read_templates()["group"]) == pytest.approx(1)


def test_a_denied_feeling_is_not_the_label():
    joy, fear = (read_templates()["feelings"][name] for name in ("joy", "fear"))
    for made in make_sentences(2000):
        if made.text in {f"I don't feel {word}." for word in joy}:
            assert "happiness" not in made.categories
        if made.text in {f"I don't feel {word}." for word in fear}:
            assert "fear" not in made.categories and "neutral" in made.categories


def test_the_feeling_of_the_speaker_counts_in_both_directions():
    templates = {"joy": 0, "other": 0}
    joy = read_templates()["feelings"]["joy"]
    for made in make_sentences(3000):
        if match := re.fullmatch(r"Everybody is (.+) and I feel (.+)\.", made.text):
            happy = match[2] in joy
            assert (made.categories.get("happiness", 0) == 1) == happy
            templates["joy" if happy else "other"] += 1
    assert min(templates.values()) > 5


def test_the_same_seed_makes_the_same_sentences():
    assert make_sentences(20, seed=1) == make_sentences(20, seed=1) != make_sentences(20, seed=2)


def test_neither_sentences_nor_feeling_words_are_those_of_the_behavioural_tests():
    sys.path.insert(0, str(BENCHMARKS))
    from behaviour import read_cases

    tests = tomllib.loads((BENCHMARKS / "behaviour.toml").read_text("utf8"))
    made = read_templates()
    lists = [
        *tests["slots"].values(),
        *(v for t in tests["test"] for k, v in t.items() if k not in ("templates", "pairs")),
    ]
    words = {word for values in lists if isinstance(values, list) for word in values}
    feelings = {word for values in made["feelings"].values() for word in values}
    assert not feelings & words
    emoji = Counter(emoji for values in made["emoji"].values() for emoji in values)
    tested = " ".join(text for case in read_cases() for text in case.texts)
    assert not [one for one in emoji if one in tested]
    frames = {
        frame(text)
        for test in tests["test"]
        for pair in [test.get("templates", []), *test.get("pairs", [])]
        for text in pair
    }
    assert not frames & {frame(text) for group in made["group"] for text in group["templates"]}


def frame(template):
    """The words of a template, with slots as one sign; contractions are written out."""
    text = re.sub(r"\{\w+\}", "SLOT", template.replace("I'm", "I am").replace("n't", " not"))
    return re.sub(r"\W+", " ", text).strip().lower()
