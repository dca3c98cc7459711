"""Sentences with emotion labels of several kinds, from which a text encoder learns.

`TASKS` are the kinds of labels: the 28 of GoEmotions, Plutchik's eight and neutral of XED, the shared categories of
MELD, and the dimensions of EmoBank. Made-up sentences have those of GoEmotions and of MELD. Only training and
development parts are read, never test parts; XED has no official parts and is split by `xed_pairs.part_of`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emofuse.config import CorpusConfig, SplitConfig
from emofuse.corpora.readers.goemotions import CATEGORIES
from emofuse.corpora.recipe_rows import data_folder, read_and_split
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS, EMOTIONS
from emofuse.training.made_up import make_sentences
from emofuse.training.xed_pairs import part_of
from emofuse.words import has_words, name_emoji

XED = ("neutral", "anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
TASKS: dict[str, tuple[str, ...]] = {
    "goemotions": tuple(sorted(label for labels in CATEGORIES.values() for label in labels)),
    "xed": XED,
    "categories": EMOTIONS,
    "dimensions": DIMENSIONS,
}
CORPORA = ("meld", "emobank", "goemotions", "xed", "made_up")
MADE_UP = 4000


@dataclass(frozen=True)
class Sentences:
    """Texts with the labels that they have.

    Attributes:
        texts: n texts with words; emoji are replaced by their names.
        corpora: (n,) the corpus of each text.
        targets: for each task of `TASKS` (n, labels) float32: a distribution over the categories, or dimensions 0..1;
            rows without labels are NaN.
    """

    texts: list[str]
    corpora: np.ndarray
    targets: dict[str, np.ndarray]

    def labelled(self, task: str) -> np.ndarray:
        """Row numbers of the sentences with labels of a task."""
        return np.flatnonzero(~np.isnan(self.targets[task][:, 0]))


@dataclass(frozen=True)
class Row:
    """A sentence with the values of its labels by task and name."""

    text: str
    corpus: str
    labels: Mapping[str, Mapping[str, float]]


def gather(rows: Iterable[Row]) -> Sentences:
    """Name emoji, leave out texts without words, and put the labels into arrays."""
    named = [(name_emoji(row.text), row) for row in rows]
    kept = [(text, row) for text, row in named if has_words(text)]
    targets = {task: np.full((len(kept), len(names)), np.nan, np.float32) for task, names in TASKS.items()}
    for i, (_, row) in enumerate(kept):
        for task, values in row.labels.items():
            targets[task][i] = [values.get(name, 0.0) for name in TASKS[task]]
    return Sentences([text for text, _ in kept], np.array([row.corpus for _, row in kept]), targets)


def read_sentences(data: Path | None = None) -> tuple[Sentences, Sentences]:
    """Training and development parts of all corpora; made-up sentences are only for training.

    Args:
        data: folder that holds `meld`, `emobank`, `goemotions` and `xed`; EMOFUSE_DATA or the working folder if None.

    Raises:
        EmofuseError: a corpus is missing or has bad rows.
    """
    parts: dict[str, list[Row]] = {"train": list(_made_up_rows()), "dev": []}
    for part, rows in parts.items():
        for name in ("meld", "emobank", "goemotions"):
            rows += _rows_of_table(name, part, data)
        rows += _rows_of_xed(data_folder(data) / "xed", part)
    return gather(parts["train"]), gather(parts["dev"])


def seven_of_goemotions(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of the shared categories from those of GoEmotions' labels: (n, 28) to (n, 7)."""
    names = TASKS["goemotions"]
    return np.stack(
        [probabilities[:, [names.index(label) for label in CATEGORIES[c]]].sum(axis=1) for c in EMOTIONS], axis=1
    )


def _rows_of_table(name: str, part: str, data: Path | None) -> Iterator[Row]:
    table, split = read_and_split(CorpusConfig(reader=name, root=name, split=SplitConfig(rule="official")), data)
    for row in table[table["key"].isin(getattr(split, part))].to_dict("records"):
        if isinstance(row["text"], str):
            yield Row(row["text"], name, _labels_of(row))


def _labels_of(row: Mapping[Any, Any]) -> dict[str, Mapping[str, float]]:
    """The labels of a table's row by task."""
    if row["corpus"] == "emobank":
        return {"dimensions": {name: row[name] for name in DIMENSIONS}}
    if row["corpus"] == "goemotions":
        return {"goemotions": _share_out(row["labels"].split())}
    return {"categories": {row["emotion"]: 1.0}}


def _share_out(labels: Iterable[str]) -> dict[str, float]:
    """Equal probabilities of distinct labels.

    >>> _share_out(["joy", "love"])
    {'joy': 0.5, 'love': 0.5}
    """
    distinct = dict.fromkeys(labels)
    return dict.fromkeys(distinct, 1 / len(distinct))


def _rows_of_xed(root: Path, part: str) -> Iterator[Row]:
    annotated = root / "annotated"
    labelled = [line.rpartition("\t")[::2] for line in _text_of(annotated / "en-annotated.tsv").splitlines()]
    labelled += [(line.split("\t")[1], "0") for line in _text_of(annotated / "neu_en.txt").splitlines()]
    for text, numbers in labelled:
        if has_words(text) and part_of(text) == part:
            labels = _share_out(XED[int(number)] for number in numbers.split(","))
            yield Row(_attach_punctuation(text), "xed", {"xed": labels})


def _made_up_rows() -> Iterator[Row]:
    for made in make_sentences(MADE_UP):
        yield Row(made.text, "made_up", {"goemotions": made.goemotions, "categories": made.categories})


def _attach_punctuation(text: str) -> str:
    """Remove the space that subtitles have before punctuation.

    >>> _attach_punctuation("No , I 'm fine !")
    "No, I'm fine!"
    """
    return re.sub(r"\s+([.,!?;:'])", r"\1", text)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf8")
    except OSError as error:
        raise EmofuseError(f"{path} cannot be read ({error.strerror}); expected the corpus as published.") from error
