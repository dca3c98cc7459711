"""Sentences as people say them and as a recogniser mishears them, made from written sentences.

Training on such variants makes a text encoder less sensitive to punctuation, fillers and recognition errors.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

FILLERS = ("uh", "um", "er", "well", "you know", "i mean", "like", "so")
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
_SOUNDS = str.maketrans("bfpvcgjkqsxzdtlmnr", "111122222222334556")


def speak(text: str, rng: np.random.Generator, *, fillers: float = 0.05) -> str:
    """The words of a sentence in lower case without punctuation, with a filler before some words.

    Args:
        text: an English sentence.
        rng: chooses fillers and their places.
        fillers: probability of a filler before each word.

    >>> speak("Oh, no! I'm NOT well.", np.random.default_rng(0), fillers=0.0)
    "oh no i'm not well"
    """
    spoken: list[str] = []
    for word in _words(text):
        if rng.random() < fillers:
            spoken.append(FILLERS[rng.integers(len(FILLERS))])
        spoken.append(word)
    return " ".join(spoken)


class Mishearing:
    """Random word errors: words replaced by words that sound alike, left out, or repeated.

    Two words sound alike if they have the same Soundex code (first letter and the classes of the next consonants) and
    differ by at most two letters in length. Frequent words are chosen more often than rare ones, as recognisers do.

    Args:
        texts: sentences whose words are the vocabulary.
    """

    def __init__(self, texts: Iterable[str]):
        self.counts = Counter(word for text in texts for word in _words(text))
        self.alike: dict[str, list[str]] = defaultdict(list)
        for word in self.counts:
            self.alike[soundex(word)].append(word)

    def __call__(self, text: str, rng: np.random.Generator, *, rate: float = 0.15, punctuation: bool = False) -> str:
        """Change words of a text as a recogniser would.

        Args:
            text: an English sentence.
            rng: chooses the errors.
            rate: probability that a word is wrong.
            punctuation: keep the sentence's letter case and punctuation, as recognisers that write them do; otherwise
                the result is in lower case without punctuation, with fillers as in `speak`.

        Returns:
            The changed text; never empty if the text has words.
        """
        words = text.split() if punctuation else speak(text, rng).split()
        result: list[str] = []
        for word in words:
            draw = rng.random() / rate
            if draw >= 1:
                result.append(word)
            elif draw < 0.6:
                result.append(self._replace(word, rng))
            elif draw > 0.85:
                result += [word, word]
        return " ".join(result or words)

    def _replace(self, token: str, rng: np.random.Generator) -> str:
        """A token with its word replaced by one that sounds alike; its punctuation and initial capital stay."""
        match = _WORD.search(token.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
        if match is None:
            return token
        other = self._similar(match[0], rng)
        start, end = match.span()
        return token[:start] + (other.capitalize() if token[start].isupper() else other) + token[end:]

    def _similar(self, word: str, rng: np.random.Generator) -> str:
        others = [o for o in self.alike[soundex(word)] if o != word and abs(len(o) - len(word)) <= 2]
        if not others:
            return word
        weights = np.sqrt([self.counts[other] for other in others])
        return others[rng.choice(len(others), p=weights / weights.sum())]


def soundex(word: str) -> str:
    """American Soundex without padding, for words in lower case.

    >>> soundex("robert"), soundex("rupert"), soundex("there") == soundex("their")
    ('r163', 'r163', True)
    """
    code, last = word[:1], word[:1].translate(_SOUNDS)
    for letter in word[1:]:
        digit = letter.translate(_SOUNDS)
        if digit.isdigit() and digit != last:
            code += digit
        if letter not in "hw":
            last = digit
    return code[:4]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
