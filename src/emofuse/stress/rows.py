"""The rows of a stress test: a balanced sample, each utterance with the voices and texts of others at hand."""

from __future__ import annotations

import functools
import heapq
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from emofuse.audio import AudioError, read_audio
from emofuse.corpora.table import texts_of
from emofuse.errors import EmofuseError
from emofuse.stress.conditions import Utterance
from emofuse.stress.word_errors import WordErrors
from emofuse.words import has_words

VOICES = 6  # of babble
NO_SPEAKER = -1


def balanced_sample(table: pd.DataFrame, rows: int | None, *, column: str = "emotion", seed: int = 0) -> pd.DataFrame:
    """At most so many rows, each from the label with the fewest so far, and there from the speaker with the fewest.

    Args:
        table: with columns key, speaker and `column`; its order is of no matter.
        rows: how many; None for all.
        column: with the labels; rows without one are a label of their own.
        seed: decides among equals.

    Returns:
        The rows in the order of the table.
    """
    if rows is None or rows >= len(table):
        return table
    waiting: dict[tuple[str, str], deque[Any]] = {}
    groups = zip(texts_of(table[column]), texts_of(table["speaker"]), table["key"], table.index, strict=True)
    drawn = sorted(groups, key=lambda group: (zlib.crc32(f"{seed}\n{group[2]}".encode()), group[2]))
    for label, speaker, _, row in drawn:
        waiting.setdefault((label or "", speaker or ""), deque()).append(row)
    labels, pairs, speakers = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    # Of each label a heap of its speakers, the one with the fewest first, of equals the one that was drawn first. The
    # counts in it may be old, and so too low; they are looked up again where they come first.
    heaps: dict[str, list[tuple[int, int, int, str]]] = {}
    for order, (label, speaker) in enumerate(waiting):
        heaps.setdefault(label, []).append((0, 0, order, speaker))  # sorted, so a heap
    chosen: list[Any] = []
    while len(chosen) < rows:
        for label, heap in heaps.items():
            while heap[0] < (now := (pairs[label, heap[0][3]], speakers[heap[0][3]], *heap[0][2:])):
                heapq.heapreplace(heap, now)
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
    """The utterances of a table, each with what the others lend it.

    Args:
        table: utterance table, index 0..; its order is of no matter.
        seed: of all randomness.
    """

    def __init__(self, table: pd.DataFrame, seed: int):
        self._seed = seed
        self._keys = table["key"].tolist()
        self._clips = list(zip(texts_of(table["file"]), table["start"], table["end"], strict=True))
        self._speaker_numbers = pd.factorize(pd.Series(texts_of(table["speaker"]), dtype=object))[0]  # NO_SPEAKER: none
        audible = [row for row, clip in enumerate(self._clips) if clip[0] is not None]
        self._audible = np.array(sorted(audible, key=self._keys.__getitem__), int)
        self._languages = texts_of(table["language"])
        human = texts_of(table["human_text"]) if "human_text" in table else [None] * len(table)
        text = texts_of(table["text"])
        heard = table["asr_model"].notna().tolist() if "asr_model" in table else [False] * len(table)
        self._texts = [_spoken(one) or _spoken(other) for one, other in zip(human, text, strict=True)]
        self._recognised = [
            (other or "") if asr and _spoken(one) else None for one, other, asr in zip(human, text, heard, strict=True)
        ]
        spoken: dict[str | None, set[str]] = {}
        for one, language in zip(self._texts, self._languages, strict=True):
            if one:
                spoken.setdefault(language, set()).add(one)
        self._spoken = {language: sorted(texts) for language, texts in spoken.items()}
        self._errors = {language: WordErrors(texts) for language, texts in self._spoken.items()}

    def chance(self, purpose: str, key: str) -> np.random.Generator:
        """The randomness of one purpose at one utterance."""
        return np.random.default_rng([self._seed, zlib.crc32(f"{purpose}\n{key}".encode())])

    def utterance(self, row: int) -> Utterance:
        """A row of the table, its audio read.

        Raises:
            EmofuseError: it cannot be read; names the utterance's key.
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
        errors, seed = self._errors[self._languages[row]], int(self.chance("wer", self._keys[row]).integers(1 << 31))
        return lambda wer: errors(text, wer, seed=seed)

    def _read(self, row: int) -> np.ndarray:
        file, start, end = self._clips[row]
        return read_audio(str(file), start=start, end=end)

    def _other_text(self, row: int) -> str | None:
        """One of another utterance in the same language, another text."""
        texts, own = self._spoken.get(self._languages[row], []), self._texts[row]
        others = len(texts) - (own is not None)
        if not others:
            return None
        place = int(self.chance("other text", self._keys[row]).integers(others))
        return texts[place + (own is not None and texts[place] >= own)]  # the texts are sorted and differ

    def _voices(self, row: int) -> np.ndarray:
        """Rows of other people's audio, by key; where everybody is one speaker, of other clips."""
        own = self._speaker_numbers[row]
        others = self._audible[self._audible != row]
        strangers = others if own == NO_SPEAKER else others[self._speaker_numbers[others] != own]
        return strangers if len(strangers) else others

    def _babble(self, row: int, n: int) -> Callable[[], np.ndarray] | None:
        """Six voices (or as many as there are), equally loud, each from anywhere in its clip on, again and again."""

        @functools.cache
        def babble() -> np.ndarray:
            rng = self.chance("babble", self._keys[row])
            mixed = np.zeros(n)
            for voice in rng.permutation(self._voices(row))[:VOICES]:
                samples = self._read(voice).astype(np.float64)
                samples /= np.sqrt(np.square(samples).mean())
                mixed += np.resize(np.roll(samples, -int(rng.integers(len(samples)))), n)
            return mixed

        return babble if len(self._audible) > 1 else None  # the row's own is one of them


def _spoken(text: str | None) -> str | None:
    return text if has_words(text) else None
