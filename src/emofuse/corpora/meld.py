"""MELD transcripts (Poria et al. 2019, arXiv 1810.02508): utterances of a TV series, without their audio.

The official parts share speakers (the main cast is in all three).
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pandas as pd

from emofuse.corpora.labels import to_shared
from emofuse.corpora.table import TableError, check_table, make_table, read_records

_SHARED = {
    "neutral": "neutral",
    "joy": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "fear": "fear",
    "disgust": "disgust",
    "surprise": "surprise",
}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_PARTS = ("train", "dev", "test")


def read(root: Path | str) -> pd.DataFrame:
    """Utterance table of `root/{train,dev,test}_sent_emo.csv`: text, category and speaker.

    Extra columns: `official_split` (train, dev, test), `dialogue` (unique in the corpus) and `sentiment`.
    Characters that went through Windows-1252 on the way are put right.

    Raises:
        TableError: a file or column is missing, or a label is unknown; names the row.
    """
    root = Path(root).absolute()
    rows = [row for part in _PARTS for row in _part(root / f"{part}_sent_emo.csv", part)]
    return check_table(make_table(rows, "meld"), str(root))


def _part(source: Path, part: str) -> list[dict[str, object]]:
    if not source.is_file():
        names = ", ".join(f"{p}_sent_emo.csv" for p in _PARTS)
        raise TableError(f"{source.parent}: no {source.name} here; expected the MELD files {names}.")
    try:
        records = read_records(source, _COLUMNS)
    except TableError as error:
        if not isinstance(error.__cause__, UnicodeDecodeError):
            raise
        records = read_records(source, _COLUMNS, encoding="cp1252")
    return [_row(row, part, f"{source}, row {number}") for number, row in records]


def _row(row: dict[str, str], part: str, where: str) -> dict[str, object]:
    original = row["Emotion"].strip()
    return {
        "key": f"meld/{part}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}",
        "speaker": f"meld/{repair(row['Speaker']).strip()}",
        "language": "en",
        "text": repair(row["Utterance"]),
        "emotion": to_shared(original, _SHARED, where),
        "original_emotion": original,
        "official_split": part,
        "dialogue": f"{part}/{row['Dialogue_ID']}",
        "sentiment": row["Sentiment"].strip(),
    }


def repair(text: str) -> str:
    """Undo the two encoding slips met in copies of MELD.

    UTF-8 that was read as Windows-1252, and Windows-1252 punctuation that was read as Latin-1 (control characters).

    >>> repair("itâ€™s"), repair("it\\x92s"), repair("café")
    ('it’s', 'it’s', 'café')
    """
    if re.search("[ÃÂâ]", text):
        with contextlib.suppress(UnicodeError):
            text = _windows_bytes(text).decode("utf-8")
    return re.sub("[\x80-\x9f]", lambda m: m[0].encode("latin-1").decode("cp1252", errors="ignore"), text)


def _windows_bytes(text: str) -> bytes:
    """Bytes of Windows-1252, where the five bytes that it leaves undefined were kept as control characters."""
    return b"".join(c.encode("latin-1" if "\x80" <= c <= "\x9f" else "cp1252") for c in text)
