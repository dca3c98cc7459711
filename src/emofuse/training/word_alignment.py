"""Translations of words learned from pairs of lines: IBM Model 1 (Brown et al. 1993) in both directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_MIN_PROBABILITY = 0.005  # lower ones are left out of a table
Table = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class WordAlignment:
    """Probabilities of translations.

    Attributes:
        to_english: for each word its English translations, P(English word | word).
        from_english: for each English word its translations, P(word | English word).
    """

    to_english: Table
    from_english: Table

    @classmethod
    def learn(cls, pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> WordAlignment:
        """Learn from pairs of lines, each as its words: (line, its English)."""
        pairs = list(pairs)
        return cls(translation_table(pairs), translation_table((english, line) for line, english in pairs))

    def likeness(self, words: Sequence[str], english: Sequence[str]) -> float:
        """How well two lines are translations, 0..1: the mean over all words of the best probability of a partner."""
        both = [(english, words, self.to_english), (words, english, self.from_english)]
        shares = [
            np.mean([max((table[one].get(word, 0.0) for one in given if one in table), default=0.0) for word in wanted])
            for wanted, given, table in both
            if wanted
        ]
        return float(np.mean(shares)) if len(shares) == 2 else 0.0

    def lexicon(self, lowest: float = 0.15) -> dict[str, dict[str, float]]:
        """For each English word its translations and their weights, which are positive.

        A translation must be probable in both directions: the geometric mean of the two probabilities, at least
        `lowest` and 0.6 times that of the word's best English translation. Its square is the weight. Words that
        occurred together once are therefore not partners unless nothing else explains them.
        """
        lexicon: dict[str, dict[str, float]] = defaultdict(dict)
        for word, means in self._all_means():
            best = max(means.values(), default=0.0)
            for english, mean in means.items():
                if mean >= max(lowest, 0.6 * best):
                    lexicon[english][word] = mean**2
        return dict(lexicon)

    def glosses(self, lowest: float = 0.15) -> dict[str, str]:
        """The best English translation of each word, most reliable first; `lowest` as for `lexicon`."""
        best = {word: max(means.items(), key=lambda item: item[1]) for word, means in self._all_means() if means}
        ranked = sorted(best.items(), key=lambda item: -item[1][1])
        return {word: english for word, (english, mean) in ranked if mean >= lowest}

    def _all_means(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Each word with the geometric means of the probabilities of its translations in the two directions."""
        for word, translations in self.to_english.items():
            yield word, {e: (p * self.from_english.get(e, {}).get(word, 0.0)) ** 0.5 for e, p in translations.items()}


def translation_table(pairs: Iterable[tuple[Sequence[str], Sequence[str]]], iterations: int = 5) -> Table:
    """Learn P(target word | source word) by expectation maximisation, with an empty source word in every pair.

    Args:
        pairs: (source words, target words).
        iterations: number of passes.

    Returns:
        By source word, the probabilities of target words, without those of the empty word and very low ones.

    >>> table = translation_table([(["das", "haus"], ["the", "house"]), (["das", "buch"], ["the", "book"])] * 9)
    >>> max(table["haus"], key=table["haus"].get)
    'house'
    """
    sources, targets = {"": 0}, dict[str, int]()
    lengths: list[int] = []  # number of candidates of each target word of each pair
    source_ids: list[int] = []
    target_ids: list[int] = []
    for source, target in pairs:
        candidates = [0, *(sources.setdefault(word, len(sources)) for word in source)]
        for word in target:
            source_ids += candidates
            target_ids += [targets.setdefault(word, len(targets))] * len(candidates)
            lengths.append(len(candidates))
    if not lengths:
        return {}
    place = np.repeat(np.arange(len(lengths)), lengths)
    codes = np.array(source_ids, np.int64) * len(targets) + np.array(target_ids)
    code, entry = np.unique(codes, return_inverse=True)
    source_of, target_of = np.divmod(code, len(targets))
    probability = np.ones(len(code))
    for _ in range(iterations):
        share = probability[entry]
        share /= np.bincount(place, share)[place]
        count = np.bincount(entry, share, len(code))
        probability = count / np.bincount(source_of, count)[source_of]
    source_words, target_words = list(sources), list(targets)
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for i in np.flatnonzero((probability > _MIN_PROBABILITY) & (source_of > 0)):
        table[source_words[source_of[i]]][target_words[target_of[i]]] = float(probability[i])
    return dict(table)
