"""Lines of film subtitles in many languages with their English: the pairs of XED (Öhman et al. 2020).

Each file `pairs/LANGUAGE.tsv` has the columns key, pivot line and line in the language. The key is the number of a
film's subtitles and of a line in them. **The pivot is English for some films and Danish for the others**, which
XED's README does not say. Danish lines have their English in `pairs/en.tsv`, under the same key, often in several
versions.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from emofuse.errors import EmofuseError

_CHINESE = {"zh_cn": "zh", "zh_tw": "zh", "ze_zh": "zh"}
_PROJECTED = {"br": "pt_br", "tw": "zh", "cn": "zh"}  # codes in the names of the projections
EMOTIONS = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
_TEST, _DEV = 10, 5  # percent of the English lines


class Line(NamedTuple):
    """A subtitle line: language (`pt_br` for Brazilian Portuguese, otherwise ISO 639-1), text, key of its English."""

    language: str
    text: str
    key: str


@dataclass(frozen=True)
class Pairs:
    """Lines in many languages and their English.

    Attributes:
        lines: distinct lines with words, each with English.
        english: for each key the distinct English versions, most frequent first.
    """

    lines: list[Line]
    english: dict[str, list[str]]

    def parts(self) -> dict[str, str | None]:
        """The part of each key, "train", "dev" or "test"; None if its English versions fall into different parts."""
        all_parts = {key: {part_of(text) for text in texts} for key, texts in self.english.items()}
        return {key: next(iter(parts)) if len(parts) == 1 else None for key, parts in all_parts.items()}


def read_pairs(root: Path) -> Pairs:
    """Read the pairs of XED.

    Args:
        root: folder that contains `pairs`.

    Raises:
        EmofuseError: a file is missing, or a row does not have three columns.
    """
    files = sorted((root / "pairs").glob("*.tsv"))
    if not any(file.stem == "en" for file in files):
        raise EmofuseError(f"{root}: pairs/en.tsv is missing; expected the folder of XED, with all files of pairs/.")
    rows = {file.stem: list(_read_rows(file)) for file in files}
    danish_films = {_film(key) for key, _, _ in rows["en"]}  # only films with a Danish pivot have pairs with English
    versions: dict[str, Counter[str]] = defaultdict(Counter)
    lines: dict[Line, None] = {}  # a dictionary, to keep the order
    for language, table in rows.items():
        for key, pivot, text in table:
            if language == "en":
                versions[key][text] += 1
            elif _film(key) not in danish_films:
                versions[key][pivot] += 1
            if _film(key) in danish_films:
                lines[Line("da", pivot, key)] = None
            if language != "en":
                lines[Line(_CHINESE.get(language, language), text, key)] = None
    english = {key: [text for text, _ in counts.most_common() if words_of(text)] for key, counts in versions.items()}
    english = {key: texts for key, texts in english.items() if texts}
    return Pairs([line for line in lines if line.key in english and words_of(line.text)], english)


def read_labels(root: Path, pairs: Pairs) -> dict[str, tuple[int, ...]]:
    """Emotions of keys, as numbers in `EMOTIONS`, from XED's projections of annotations to other languages.

    The projections have no keys, so lines are matched by language and words. Where languages disagree, most decide.

    Args:
        root: folder that contains `projections`.
        pairs: the pairs whose keys to label; keys without a match are left out.

    Raises:
        EmofuseError: the folder has no projections.
    """
    files = sorted((root / "projections").glob("*-projections*.tsv"))
    if not files:
        raise EmofuseError(f"{root}: projections/*.tsv are missing; expected the folder of XED.")
    by_words: dict[tuple[str, str], Counter[tuple[int, ...]]] = defaultdict(Counter)
    for file in files:
        code = file.stem.partition("-")[0]
        for row in file.read_text("utf8").splitlines():
            text, _, cell = row.rpartition("\t")
            if re.fullmatch(r"[1-8](, *[1-8])*", cell.strip()):  # a few rows of Bulgarian have broken cells
                emotions = tuple(sorted(int(number) for number in cell.split(",")))
                by_words[_PROJECTED.get(code, code), words_of(text)][emotions] += 1
    votes: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for line in pairs.lines:
        if found := by_words.get((line.language, words_of(line.text))):
            votes[line.key][found.most_common(1)[0][0]] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in votes.items()}


def part_of(english: str) -> str:
    """The part of an English line, by a hash of its words, so that equal lines share a part whatever film has them.

    >>> part_of("What happened to you?") == part_of("- What happened to you!")
    True
    """
    draw = zlib.crc32(words_of(english).encode()) % 100
    return "test" if draw < _TEST else "dev" if draw < _TEST + _DEV else "train"


def words_of(text: str) -> str:
    """The words of a line in lower case, without punctuation.

    >>> words_of("- No, I'm fine!")
    'no i m fine'
    """
    return " ".join(re.findall(r"\w+", text.lower()))


def _read_rows(file: Path) -> Iterator[tuple[str, str, str]]:
    for number, row in enumerate(file.read_text("utf8").splitlines(), start=1):
        cells = row.split("\t")
        if len(cells) != 3:
            raise EmofuseError(f"{file}, line {number}: {len(cells)} columns; expected key, pivot line and line.")
        key, pivot, text = cells
        yield key, _without_dash(pivot), _without_dash(text)


def _without_dash(line: str) -> str:
    """A line without the dash that marks a change of speaker."""
    return re.sub(r"\s+", " ", re.sub(r"^\s*-\s*", "", line)).strip()


def _film(key: str) -> str:
    return key.partition(":")[0]
