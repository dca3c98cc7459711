"""Corrupt transcripts to a given word error rate.

Wrong words are drawn at random from a vocabulary. A speech recogniser instead confuses words that sound alike, so the
same word error rate destroys more of the meaning here.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

SHARES = (0.6, 0.25, 0.15)
"""Shares of substitutions, deletions and insertions: rounded after recognisers of conversational speech, which make
more substitutions than deletions and more deletions than insertions."""


class WordErrors:
    """Corrupts texts with random word errors.

    A word is a token between spaces that has a letter or a digit. Wrong words never occur in the text itself, and no
    text gets both deletions and insertions, so errors cannot cancel out: the word error rate is exactly the number of
    errors over the number of words. Punctuation attached to a removed word is removed with it.

    Args:
        texts: source of the wrong words, drawn by their frequency.
        shares: of substitutions, deletions and insertions among all errors; they sum to 1.

    Raises:
        ValueError: the shares are negative or do not sum to 1.
    """

    def __init__(self, texts: Sequence[str], shares: tuple[float, float, float] = SHARES):
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"shares {shares}: expected three from 0 up that sum to 1")
        self._shares = shares
        spoken: dict[str, Counter[str]] = {}  # by plain word, as it is written
        for text in texts:
            for word in text.split():
                if plain := plain_word(word):
                    spoken.setdefault(plain, Counter())[_bare(word)] += 1
        self._words = sorted(spoken)
        self._written = [max(sorted(spoken[word]), key=spoken[word].__getitem__) for word in self._words]
        self._counts = np.array([spoken[word].total() for word in self._words], np.float64)
        self._number = {word: i for i, word in enumerate(self._words)}

    def __call__(self, text: str, wer: float, *, seed: int) -> str:
        """Corrupt a text: the number of errors is `wer` times its words, rounded up or down at random.

        If every word of the vocabulary occurs in the text, all errors are deletions.

        Args:
            text: to corrupt.
            wer: errors over words, 0 to 1; exact in expectation, and within one word for each text.
            seed: together with the text, determines the result.

        Raises:
            ValueError: the rate is outside 0..1.
        """
        if not 0 <= wer <= 1:
            raise ValueError(f"word error rate {wer}: expected 0 to 1")
        rng = np.random.default_rng([seed, zlib.crc32(text.encode())])
        tokens = text.split()
        places = [i for i, token in enumerate(tokens) if plain_word(token)]
        errors = int(wer * len(places) + rng.random())
        foreign = self._weights_without(tokens)
        substituted, deleted, inserted = _plan(errors, self._shares, rng) if foreign is not None else (0, errors, 0)
        hit = rng.permutation(places)[: substituted + deleted].tolist()
        for place in hit[:substituted]:
            tokens[place] = self._draw(foreign, rng)
        for place in hit[substituted:]:
            tokens[place] = ""
        for _ in range(inserted):
            tokens.insert(int(rng.integers(len(tokens) + 1)), self._draw(foreign, rng))
        return " ".join(token for token in tokens if token)

    def _weights_without(self, tokens: Sequence[str]) -> np.ndarray | None:
        """Probability of each word, 0 for words of the text; None if no word is left."""
        weights = self._counts.copy()
        for token in tokens:
            if (number := self._number.get(plain_word(token))) is not None:
                weights[number] = 0
        return weights / weights.sum() if weights.any() else None

    def _draw(self, weights: np.ndarray | None, rng: np.random.Generator) -> str:
        return self._written[rng.choice(len(self._words), p=weights)]


def plain_word(word: str) -> str:
    """Letters and digits of a word in lower case, by which words are compared.

    >>> plain_word("Don't!")
    'dont'
    """
    return "".join(character for character in word.lower() if character.isalnum())


def _bare(word: str) -> str:
    """A word without the punctuation around it."""
    start = next(i for i, character in enumerate(word) if character.isalnum())
    end = next(i for i in range(len(word), 0, -1) if word[i - 1].isalnum())
    return word[start:end]


def _plan(errors: int, shares: tuple[float, float, float], rng: np.random.Generator) -> tuple[int, int, int]:
    """Numbers of substitutions, deletions and insertions; deletions or insertions are 0."""
    substitution, deletion, insertion = shares
    substituted = int(rng.binomial(errors, substitution))
    other = errors - substituted
    losing = rng.random() * (deletion + insertion) < deletion
    return (substituted, other, 0) if losing else (substituted, 0, other)
