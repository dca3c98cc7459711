"""Training and test lines of a multilingual text encoder: XED's pairs, cleaned, and English sentences word by word."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emofuse.encoders.multilingual import words_of_text
from emofuse.training.multilingual_student import Words
from emofuse.training.word_alignment import WordAlignment
from emofuse.training.xed_pairs import Pairs, part_of, words_of

MIN_LINES = 750  # of a language
MIN_LIKENESS = 0.1  # of a training line and its English
_VERSIONS = 4  # English versions of a line, at most
_MAX_NEAR = 0.7  # highest similarity of English lines in training to those of the test
_COVERED = 0.6  # share of a sentence's words that must have a translation
_DIALECTS = {"pt_br": "pt"}
_LEXICON_OF = {"sr": "hr", "bs": "hr"}
_WRONG_ENCODING = str.maketrans("èæðÈÆÐ", "čćđČĆĐ")  # Serbian lines in Windows-1250, read as Windows-1252


class Line(NamedTuple):
    """A line: its language, its words, the key of its English, and how well the two match, 0..1."""

    language: str
    words: list[str]
    key: str
    likeness: float


@dataclass(frozen=True)
class Lines:
    """Lines of languages with at least `MIN_LINES` of them.

    Attributes:
        lines: all lines.
        english: for each key at most four English versions.
        part_of: "train", "dev" or "test" by key; keys without a part are left out, as are training lines whose English
            is nearly that of a test line.
        alignments: for each language what its training lines say about translations of words.
    """

    lines: list[Line]
    english: Mapping[str, list[str]]
    part_of: Mapping[str, str]
    alignments: Mapping[str, WordAlignment] = field(repr=False)

    def of_part(self, part: str) -> list[Line]:
        """The lines of a part."""
        return [line for line in self.lines if self.part_of.get(line.key) == part]

    @property
    def languages(self) -> list[str]:
        """Their languages, those with the most lines first."""
        return [language for language, _ in Counter(line.language for line in self.lines).most_common()]


def read_lines(pairs: Pairs) -> Lines:
    """Prepare the lines of XED: split, words, and how well each matches its English."""
    english = {key: texts[:_VERSIONS] for key, texts in pairs.english.items()}
    parts = {key: part for key, part in pairs.parts().items() if part is not None}
    test = [text for key, part in parts.items() if part == "test" for text in english[key]]
    near = near_copies([text for key in parts for text in english[key]], test)
    parts = {key: p for key, p in parts.items() if p == "test" or near.isdisjoint(english[key])}
    lines = []
    for language, text, key in pairs.lines:
        language = _DIALECTS.get(language, language)
        if language == "sr" and not re.search("[а-я]", text.lower()):
            text = text.translate(_WRONG_ENCODING)
        if words := words_of_text(text, language)[:40]:
            lines.append(Line(language, words, key, 0.0))
    n_lines = Counter(line.language for line in lines)
    lines = [line for line in lines if n_lines[line.language] >= MIN_LINES]
    english_words = {key: [words_of_text(text, "en") for text in texts[:2]] for key, texts in english.items()}
    groups = defaultdict(list)
    for line in lines:
        groups[_LEXICON_OF.get(line.language, line.language)].append(line)
    checked: list[Line] = []
    alignments: dict[str, Any] = {}
    for group, members in sorted(groups.items()):
        training = [line for line in members if parts.get(line.key) == "train"]
        alignment = _learn(training, english_words)
        likeness = [_likeness(line, alignment, english_words) for line in training]
        enough = np.quantile(likeness, 0.25)
        matching = [line for line, one in zip(training, likeness, strict=True) if one >= enough]
        alignment = _learn(matching, english_words)
        checked += [line._replace(likeness=_likeness(line, alignment, english_words)) for line in members]
        alignments |= {code: alignment for code in n_lines if _LEXICON_OF.get(code, code) == group}
    return Lines(checked, english, parts, alignments)


def near_copies(texts: Sequence[str], test: Sequence[str]) -> set[str]:
    """Texts that are nearly one of the test lines, by cosine of the TF-IDF of character 3- to 5-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), dtype=np.float32)
    vectoriser.fit([words_of(text) for text in (*texts, *test)])
    known = vectoriser.transform([words_of(text) for text in test]).T.tocsr()
    near: set[str] = set()
    for start in range(0, len(texts), 4096):
        chunk = texts[start : start + 4096]
        similar = (vectoriser.transform([words_of(text) for text in chunk]) @ known).max(axis=1).toarray().ravel()
        near |= {text for text, cosine in zip(chunk, similar, strict=True) if cosine > _MAX_NEAR}
    return near


def english_sentences(folder: Path, limit: int) -> list[str]:
    """English sentences of XED and, if the folder has it, GoEmotions, without XED's dev and test part.

    Args:
        folder: contains `xed` and perhaps `goemotions`.
        limit: highest number of sentences; the choice is the same each time.
    """
    files = {"xed/annotated/en-annotated.tsv": 0, "xed/annotated/neu_en.txt": 1, "goemotions/original/train.tsv": 0}
    sentences: dict[str, None] = {}
    for name, column in files.items():
        if (folder / name).is_file():
            for row in (folder / name).read_text("utf8").splitlines():
                text = row.split("\t")[column].replace("[NAME]", "John").replace("[RELIGION]", "religion").strip()
                if " " in text and len(text) < 160 and words_of(text) and part_of(text) == "train":
                    sentences[text] = None
    return random.Random(0).sample(list(sentences), min(limit, len(sentences)))


class WordByWord:
    """Translates English sentences word by word into training texts of other languages.

    Args:
        lines: the lines whose lexicons to use.
    """

    def __init__(self, lines: Lines) -> None:
        self._languages = lines.languages
        counts = Counter(line.language for line in lines.lines)
        shares = np.array([counts[language] ** 0.7 for language in self._languages])
        self._shares = shares / shares.sum()
        self._lexicons = {
            language: {
                english: (list(words), np.cumsum(list(words.values())) / sum(words.values()))
                for english, words in lines.alignments[language].lexicon().items()
            }
            for language in self._languages
        }

    def draw(self, sentences: Sequence[Sequence[str]], n: int, rng: np.random.Generator) -> Iterator[tuple[Words, int]]:
        """Yield translations of random sentences into random languages, each with the number of its sentence."""
        while n > 0:
            number = int(rng.integers(len(sentences)))
            language = self._languages[int(rng.choice(len(self._languages), p=self._shares))]
            if words := self.translate(sentences[number], language, rng):
                yield (language, words), number
                n -= 1

    def translate(self, sentence: Sequence[str], language: str, rng: np.random.Generator) -> list[str]:
        """Translate the words of a sentence; empty if too few of them have a translation."""
        found = [one for english in sentence if (one := self._lexicons[language].get(english))]
        words = [words[int(np.searchsorted(shares, rng.random()))] for words, shares in found]
        return words if len(words) >= max(1.0, _COVERED * len(sentence)) else []


def _learn(lines: Sequence[Line], english: Mapping[str, list[list[str]]]) -> WordAlignment:
    return WordAlignment.learn((line.words, words) for line in lines for words in english[line.key])


def _likeness(line: Line, alignment: WordAlignment, english: Mapping[str, list[list[str]]]) -> float:
    return max(alignment.likeness(line.words, words) for words in english[line.key])
