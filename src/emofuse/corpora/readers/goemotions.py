"""GoEmotions, English Reddit comments with 28 emotion labels (Demszky et al. 2020, arXiv 2005.00547; CC BY 4.0)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import finish, read_lines
from emofuse.corpora.table import TableError

CATEGORIES: dict[str, tuple[str, ...]] = {
    "neutral": ("neutral",),
    "happiness": (
        *("admiration", "amusement", "approval", "caring", "desire", "excitement"),
        *("gratitude", "joy", "love", "optimism", "pride", "relief"),
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "anger": ("anger", "annoyance", "disapproval"),
    "fear": ("fear", "nervousness"),
    "disgust": ("disgust",),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
}
"""The labels of each shared category, as the authors map them to Ekman's categories (ekman_mapping.json)."""
_CATEGORY_OF = {label: category for category, labels in CATEGORIES.items() for label in labels}
_PARTS = ("train", "dev", "test")
_MASKS = {"[NAME]": "Robert", "[RELIGION]": "religion"}


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `{train,dev,test}.tsv`: text and category.

    `emotion` is the shared category of a comment if all its labels belong to that category, and `original_emotion` is
    its label if it has only one; otherwise they are empty. Extra columns: `labels`, all labels, separated by spaces,
    and `official_split` (train, dev, test).

    Args:
        root: folder of the three files and `emotions.txt` (or `labels.txt`), or the folder above it.
        allow_missing: as for every corpus; this one has no audio that could be missing.

    Raises:
        TableError: a file is missing, or a row is not a text, numbers of labels and an identifier; names the row.
    """
    root = Path(root).absolute()
    labels = _labels(root)
    names = [name for _, name in read_lines(labels)]
    if unknown := sorted(set(names) - set(_CATEGORY_OF)):
        raise TableError(f"{labels}: unknown emotion {unknown[0]!r}; expected GoEmotions' 28 labels, one a line.")
    rows = []
    for part in _PARTS:
        source = labels.with_name(f"{part}.tsv")
        for number, line in read_lines(source):
            rows.append(_row(line, names, part, f"{source}, row {number}"))
    return finish(rows, "goemotions", root, allow_missing=allow_missing)


CORPUS = Corpus("goemotions", read)


def _labels(root: Path) -> Path:
    """The file of label names, in the folder of the parts."""
    for folder in (root, root / "data", root / "original"):
        for name in ("emotions.txt", "labels.txt"):
            if (folder / name).is_file():
                return folder / name
    files = ", ".join(f"{part}.tsv" for part in _PARTS)
    raise TableError(f"{root}: no GoEmotions here; expected {files} and emotions.txt, here or in data.")


def _row(line: str, names: list[str], part: str, where: str) -> dict[str, object]:
    cells = line.split("\t")
    if len(cells) != 3:
        raise TableError(f"{where}: {len(cells)} columns; expected text, numbers of labels and identifier.")
    text, numbers, identifier = cells
    labels = []
    for number in numbers.split(","):
        if not (number.isdigit() and int(number) < len(names)):
            raise TableError(f"{where}: {number!r} is not the number of a label, 0 to {len(names) - 1}.")
        labels.append(names[int(number)])
    categories = {_CATEGORY_OF[label] for label in labels}
    for mask, word in _MASKS.items():
        text = text.replace(mask, word)
    return {
        "key": f"goemotions/{identifier}",
        "language": "en",
        "text": text,
        "emotion": categories.pop() if len(categories) == 1 else None,
        "original_emotion": labels[0] if len(labels) == 1 else None,
        "labels": " ".join(labels),
        "official_split": part,
    }
