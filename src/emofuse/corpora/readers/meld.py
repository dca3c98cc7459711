"""MELD, utterances of a TV series as text, with audio or video if available (Poria et al. 2019; GPL-3.0).

The official parts share speakers: the main cast is in all three.
"""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import FilesByStem, finish, read_rows
from emofuse.corpora.table import TableError
from emofuse.labels import to_shared

_SHARED = {
    "neutral": "neutral",
    "joy": "happiness",
    "sadness": "sadness",
    "anger": "anger",
    "fear": "fear",
    "disgust": "disgust",
    "surprise": "surprise",
}
_SENTIMENTS = ("positive", "neutral", "negative")
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_WITHOUT_CLIP = ("train/dia125_utt3", "dev/dia110_utt7")
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of `{train,dev,test}_sent_emo.csv`: text, category, speaker, and clips if available.

    Extra columns: `official_split` (train, dev, test), `dialogue` (unique in the corpus) and `sentiment`.

    Args:
        root: see `About.layout` of the corpus.
        allow_missing: continue if some of the clips are missing.

    Raises:
        TableError: a file, column or clip is missing, or a value is invalid; names the row.
        EmofuseError: an unknown emotion; names the row.
    """
    root = Path(root).absolute()
    homes = (root, root / "MELD.Raw")
    clips = {part: _clips(homes, part) for part in _FOLDERS}
    with_audio = any(files.paths for files in clips.values())
    rows = []
    for part, files in clips.items():
        source = _labels(homes, part)
        for number, row in read_rows(source, _COLUMNS):
            rows.append(_row(row, part, files if with_audio else None, f"{source}, row {number}"))
    if without := sum(row["file"] is None for row in rows) if with_audio else 0:
        _log.warning("%s: %d rows have no audio, because their clips are known to be broken or missing", root, without)
    return finish(rows, "meld", root, allow_missing=allow_missing)


CORPUS = Corpus("meld", read)


def _labels(homes: tuple[Path, ...], part: str) -> Path:
    name = f"{part}_sent_emo.csv"
    for folder in (f for home in homes for f in (home, home / part)):
        if (folder / name).is_file():
            return folder / name
    names = ", ".join(f"{p}_sent_emo.csv" for p in _FOLDERS)
    raise TableError(f"{homes[0]}: no {name} here; expected the MELD files {names}, here or in MELD.Raw.")


def _clips(homes: tuple[Path, ...], part: str) -> FilesByStem:
    """Clips in the first folder of a part that has any, or else the (empty) clips of the official folder."""
    official = _FOLDERS[part]
    folders = [FilesByStem(home / name, "*") for home in homes for name in (part, official, f"{part}/{official}")]
    return next((clips for clips in folders if clips.paths), folders[1])


def _row(row: dict[str, str], part: str, clips: FilesByStem | None, where: str) -> dict[str, object]:
    original, sentiment = row["Emotion"].lower(), row["Sentiment"].lower()
    if sentiment not in _SENTIMENTS:
        raise TableError(f"{where}: unknown sentiment {sentiment!r}. Expected one of {', '.join(_SENTIMENTS)}.")
    if not (row["Dialogue_ID"].isdigit() and row["Utterance_ID"].isdigit()):
        ids = f"{row['Dialogue_ID']!r} and {row['Utterance_ID']!r}"
        raise TableError(f"{where}: Dialogue_ID and Utterance_ID are {ids}; expected two numbers.")
    name = f"dia{int(row['Dialogue_ID'])}_utt{int(row['Utterance_ID'])}"
    speaker = repair(row["Speaker"]).strip()
    return {
        "key": f"meld/{part}/{name}",
        "file": clips.path(name, f"{name}.mp4") if clips and f"{part}/{name}" not in _WITHOUT_CLIP else None,
        "speaker": f"meld/{speaker}" if speaker else None,
        "language": "en",
        "text": repair(row["Utterance"]),
        "emotion": to_shared(original, _SHARED, where),
        "original_emotion": original,
        "official_split": part,
        "dialogue": f"{part}/{int(row['Dialogue_ID'])}",
        "sentiment": sentiment,
    }


def repair(text: str) -> str:
    """Undo two encoding errors that occur in copies of MELD.

    UTF-8 that was read as Windows-1252, and Windows-1252 punctuation that was read as Latin-1 (control characters).

    >>> repair("itâ€™s"), repair("it\\x92s"), repair("café")
    ('it’s', 'it’s', 'café')
    """
    if re.search("[ÃÂâ]", text):
        with contextlib.suppress(UnicodeError):
            text = _windows_bytes(text).decode("utf-8")
    return re.sub("[\x80-\x9f]", lambda m: m[0].encode("latin-1").decode("cp1252", errors="ignore"), text)


def _windows_bytes(text: str) -> bytes:
    """Bytes of text in Windows-1252, whose five undefined bytes were read as control characters."""
    return b"".join(c.encode("latin-1" if "\x80" <= c <= "\x9f" else "cp1252") for c in text)
