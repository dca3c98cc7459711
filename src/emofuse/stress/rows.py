"""Rows of a stress test: choose them, and read each utterance with the voices and texts that conditions need."""

from __future__ import annotations

import functools
import heapq
import zlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emofuse.audio import AudioError, read_audio
from emofuse.config import SplitConfig, load_recipe
from emofuse.corpora.splits import make_split
from emofuse.corpora.table import read_table, texts_of
from emofuse.errors import EmofuseError
from emofuse.stress.conditions import Utterance
from emofuse.stress.systems import RECIPE_FILE
from emofuse.words import has_words

VOICES = 6  # of babble
NO_SPEAKER = -1
SHARES = (0.6, 0.25, 0.15)
"""Shares of substitutions, deletions and insertions: rounded after recognisers of conversational speech, which make
more substitutions than deletions and more deletions than insertions."""


def rows_of_table(table: Path, split: Path | None = None, *, fold: int = 0) -> pd.DataFrame:
    """Read an utterance table, or the test part of a fold of its split by `emofuse corpus split`.

    Raises:
        EmofuseError: a file cannot be read, or the split belongs to another table.
    """
    df = read_table(table)
    if split is None:
        return df
    config = SplitConfig(rule="given", folds=str(split), fold=fold, allow_shared_speakers=True)
    return df[df["key"].isin(make_split(df, config).test)].reset_index(drop=True)


def rows_of_runs(runs: Sequence[Path], data: Path | None = None) -> pd.DataFrame:
    """Read the test rows of run folders, with the column `emofuse.data.rows.LABEL`; corpora are relative to `data`.

    Raises:
        EmofuseError: a run was trained on its test rows, or the runs have different test rows or labels.
    """
    from emofuse.data.rows import LABEL, labelled_parts

    recipes = [load_recipe(folder / RECIPE_FILE) for folder in runs]
    for folder, recipe in zip(runs, recipes, strict=True):
        if "test" in recipe.training.fitted_parts:
            raise EmofuseError(f"{folder} was trained on its test rows. Name a table of other rows with --table.")
    tables = labelled_parts(recipes, "test", data=data)
    for folder, table in zip(runs, tables, strict=True):
        if table["key"].tolist() != tables[0]["key"].tolist() or not table[LABEL].equals(tables[0][LABEL]):
            raise EmofuseError(
                f"{runs[0]} and {folder} were tested on different rows or labels. Stress them one by one, or name a "
                "table with --table."
            )
    return tables[0]


def balanced_sample(table: pd.DataFrame, rows: int | None, *, column: str = "emotion", seed: int = 0) -> pd.DataFrame:
    """Sample rows so that labels are balanced, and speakers within each label.

    Each row is drawn from the label with the fewest rows so far, and within it from the speaker with the fewest.

    Args:
        table: with columns key, speaker and `column`. The order of its rows does not affect the sample.
        rows: maximal number of rows; None for all.
        column: column of the labels; rows without a label form a group.
        seed: breaks ties.

    Returns:
        The sampled rows in the order of the table.
    """
    if rows is None or rows >= len(table):
        return table
    waiting: dict[tuple[str, str], deque[Any]] = {}
    groups = zip(texts_of(table[column]), texts_of(table["speaker"]), table["key"], table.index, strict=True)
    drawn = sorted(groups, key=lambda group: (zlib.crc32(f"{seed}\n{group[2]}".encode()), group[2]))
    for label, speaker, _, row in drawn:
        waiting.setdefault((label or "", speaker or ""), deque()).append(row)
    labels, pairs, speakers = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    # One heap of speakers for each label: fewest rows first, ties by the order of drawing. Counts in a heap may be
    # outdated (too low); they are updated when their entry comes first.
    heaps: dict[str, list[tuple[int, int, int, str]]] = {}
    for order, (label, speaker) in enumerate(waiting):
        heaps.setdefault(label, []).append((0, 0, order, speaker))  # sorted, so a heap
    chosen: list[Any] = []
    while len(chosen) < rows:
        for label, heap in heaps.items():
            while heap[0] < (current := (pairs[label, heap[0][3]], speakers[heap[0][3]], *heap[0][2:])):
                heapq.heapreplace(heap, current)
        label = min(heaps, key=lambda label: (labels[label], heaps[label][0]))
        *_, order, speaker = heaps[label][0]
        chosen.append(waiting[label, speaker].popleft())
        labels[label] += 1
        pairs[label, speaker] += 1
        speakers[speaker] += 1
        if not waiting[label, speaker]:
            heapq.heappop(heaps[label])
            if not heaps[label]:
                del heaps[label]
    return table.loc[table.index.isin(chosen)]


class Rows:
    """Utterances of a table, each with voices and texts of the others.

    Args:
        table: utterance table, index 0... The order of its rows does not matter.
        seed: of all randomness.
    """

    def __init__(self, table: pd.DataFrame, seed: int):
        self._seed = seed
        self._keys = table["key"].tolist()
        self._clips = list(zip(texts_of(table["file"]), table["start"], table["end"], strict=True))
        speakers = pd.Series(texts_of(table["speaker"]), dtype=object)
        self._speaker_numbers = pd.factorize(speakers)[0]  # NO_SPEAKER if unknown
        audible = [row for row, clip in enumerate(self._clips) if clip[0] is not None]
        self._audible = np.array(sorted(audible, key=self._keys.__getitem__), int)
        self._languages = texts_of(table["language"])
        human = texts_of(table["human_text"]) if "human_text" in table else [None] * len(table)
        text = texts_of(table["text"])
        has_asr = table["asr_model"].notna().tolist() if "asr_model" in table else [False] * len(table)
        self._texts = [_spoken(one) or _spoken(other) for one, other in zip(human, text, strict=True)]
        self._recognised = [
            (other or "") if asr and _spoken(one) else None
            for one, other, asr in zip(human, text, has_asr, strict=True)
        ]
        spoken: dict[str | None, set[str]] = {}
        for one, language in zip(self._texts, self._languages, strict=True):
            if one:
                spoken.setdefault(language, set()).add(one)
        self._spoken = {language: sorted(texts) for language, texts in spoken.items()}
        self._errors = {language: WordErrors(texts) for language, texts in self._spoken.items()}

    def generator(self, purpose: str, key: str) -> np.random.Generator:
        """Random generator for one purpose and utterance."""
        return np.random.default_rng([self._seed, zlib.crc32(f"{purpose}\n{key}".encode())])

    def utterance(self, row: int) -> Utterance:
        """Read a row of the table with its audio.

        Raises:
            EmofuseError: the audio cannot be read; the message names the utterance's key.
        """
        samples = None
        if self._clips[row][0] is not None:
            try:
                samples = self._read(row)
            except AudioError as error:
                raise EmofuseError(f"utterance {self._keys[row]}: {error}") from error
        return Utterance(
            self._keys[row],
            self._languages[row],
            samples,
            self._texts[row],
            recognised=self._recognised[row],
            other_text=self._other_text(row),
            babble=None if samples is None else self._babble(row, len(samples)),
            corrupt=self._corrupter(row),
        )

    def _corrupter(self, row: int) -> Callable[[float], str] | None:
        text = self._texts[row]
        if text is None:
            return None
        errors, seed = self._errors[self._languages[row]], int(self.generator("wer", self._keys[row]).integers(1 << 31))
        return lambda wer: errors(text, wer, seed=seed)

    def _read(self, row: int) -> np.ndarray:
        file, start, end = self._clips[row]
        return read_audio(str(file), start=start, end=end)

    def _other_text(self, row: int) -> str | None:
        """A different text in the same language."""
        texts, text = self._spoken.get(self._languages[row], []), self._texts[row]
        others = len(texts) - (text is not None)
        if not others:
            return None
        place = int(self.generator("other text", self._keys[row]).integers(others))
        return texts[place + (text is not None and texts[place] >= text)]  # texts are sorted and unique

    def _voices(self, row: int) -> np.ndarray:
        """Rows with audio of other speakers, ordered by key; other clips if all have the same speaker."""
        speaker = self._speaker_numbers[row]
        others = self._audible[self._audible != row]
        strangers = others if speaker == NO_SPEAKER else others[self._speaker_numbers[others] != speaker]
        return strangers if len(strangers) else others

    def _babble(self, row: int, n: int) -> Callable[[], np.ndarray] | None:
        """Mix of up to six voices of equal level, each repeated from a random place in its clip."""

        @functools.cache
        def babble() -> np.ndarray:
            rng = self.generator("babble", self._keys[row])
            mixed = np.zeros(n)
            for voice in rng.permutation(self._voices(row))[:VOICES]:
                samples = self._read(voice).astype(np.float64)
                samples /= np.sqrt(np.square(samples).mean())
                mixed += np.resize(np.roll(samples, -int(rng.integers(len(samples)))), n)
            return mixed

        return babble if len(self._audible) > 1 else None  # the row's clip is one of them


def _spoken(text: str | None) -> str | None:
    return text if has_words(text) else None


class WordErrors:
    """Corrupts texts with random word errors.

    Wrong words are drawn from a vocabulary. A speech recogniser instead confuses words that sound alike, so the same
    word error rate destroys more of the meaning here.

    A word is a token between spaces that has a letter or a digit. Wrong words never occur in the text itself, and no
    text gets both deletions and insertions, so errors cannot cancel out: the word error rate is exactly the number of
    errors over the number of words. Punctuation attached to a removed word is removed with it.

    Args:
        texts: source of the wrong words, drawn by their frequency.
    """

    def __init__(self, texts: Sequence[str]):
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
        """
        rng = np.random.default_rng([seed, zlib.crc32(text.encode())])
        tokens = text.split()
        places = [i for i, token in enumerate(tokens) if plain_word(token)]
        errors = int(wer * len(places) + rng.random())
        foreign = self._weights_without(tokens)
        substituted, deleted, inserted = _plan(errors, rng) if foreign is not None else (0, errors, 0)
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


def _plan(errors: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Numbers of substitutions, deletions and insertions; deletions or insertions are 0."""
    substitution, deletion, insertion = SHARES
    substituted = int(rng.binomial(errors, substitution))
    other = errors - substituted
    losing = rng.random() * (deletion + insertion) < deletion
    return (substituted, other, 0) if losing else (substituted, 0, other)
