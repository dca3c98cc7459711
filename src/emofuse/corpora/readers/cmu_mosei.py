"""CMU-MOSEI, monologue videos with sentiment and emotion intensities in English (Zadeh et al. 2018)."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import AUDIO_ENDINGS, FilesByStem, finish, read_rows, scaled
from emofuse.corpora.table import TableError

_EMOTIONS = {
    "happy": "happiness",
    "sad": "sadness",
    "anger": "anger",
    "surprise": "surprise",
    "disgust": "disgust",
    "fear": "fear",
}
_ALIASES = {
    "video": ("video", "video_id"),
    "clip": ("clip_id",),
    "start": ("start_time", "start"),
    "end": ("end_time", "end"),
    "sentiment": ("sentiment", "label"),
    "part": ("mode", "split"),
}
_PARTS = {"train": "train", "valid": "dev", "validation": "dev", "val": "dev", "dev": "dev", "test": "test"}
_log = logging.getLogger(__name__)


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of a release; see `About.layout` of the corpus for its files.

    Extra columns: `official_split` (train, dev, test), `sentiment_score` (-3 to 3) and `intensities` (JSON, 0 to 3 by
    category).

    Raises:
        TableError: labels, a column or a clip are missing, or a label or time is wrong; names file and row.
    """
    root = Path(root).absolute()
    rows = [row for path in _label_files(root, allow_missing) for row in _read_file(path)]
    recordings, segments = FilesByStem(root), _in_folders(root)
    cut = 0
    for row in rows:
        video, clip, start = row.pop("video"), row.pop("clip"), row["start"]
        segment = segments.get(f"{video}/{clip}".lower()) or recordings.paths.get(f"{video}_{clip}".lower())
        if segment or row["end"] is None:
            row |= {"file": str(segment or root / f"{video}_{clip}.wav"), "start": None, "end": None}
            continue
        row |= {"file": recordings.path(video, f"Audio/WAV_16000/{video}.wav"), "start": max(start, 0.0)}
        cut += start < 0
    if cut:
        _log.warning("%s: %d segments start before their recording and are cut at 0 s", root, cut)
    return finish(rows, "cmu-mosei", root, allow_missing=allow_missing)


def _label_files(root: Path, allow_missing: bool) -> list[Path]:
    """The CSV files of labels: one for all parts, or one for each part."""
    paths = sorted([*root.glob("*.csv"), *root.glob("[Ll]abel*/*.csv")])
    paths = [path for path in paths if path.name[0] != "."]
    if not paths:
        raise TableError(
            f"{root}: no CMU-MOSEI here; expected label.csv or Data_Train_*.csv, in the root or in Labels."
        )
    parts = [_part_of_file(path) for path in paths]
    for part in set(parts):
        names = [path.name for path, of_part in zip(paths, parts, strict=True) if of_part == part]
        if len(names) > 1:
            what = f"for the part {part}" if part else "for all parts"
            raise TableError(f"{root}: several files of labels {what}: {', '.join(names)}. Keep one of them.")
    if None not in parts and (absent := [part for part in ("train", "dev", "test") if part not in parts]):
        message = f"{root}: no file of labels for {', '.join(absent)} beside {', '.join(path.name for path in paths)}"
        if not allow_missing:
            raise TableError(
                f"{message}. Complete the download, or use the other files: --allow-missing (allow_missing = true in "
                "a recipe)."
            )
        _log.warning("%s; continuing without", message)
    return paths


def _part_of_file(path: Path) -> str | None:
    match = re.search(r"(?<![a-z])(train|val|valid|dev|test)(?![a-z])", path.stem.lower())
    return _PARTS[match.group()] if match else None


def _in_folders(root: Path) -> dict[str, Path]:
    """Audio files by lower-case folder and stem, for segments that are numbered in the folder of a video."""
    paths = [p for p in root.glob("*/**/*") if p.suffix.lower() in AUDIO_ENDINGS and p.name[0] != "."]
    paths.sort(key=lambda p: (AUDIO_ENDINGS.index(p.suffix.lower()), p), reverse=True)
    return {f"{p.parent.name}/{p.stem}".lower(): p for p in paths}


def _read_file(path: Path) -> list[dict[str, Any]]:
    columns = [name for names in _ALIASES.values() for name in names]
    rows = []
    for number, cells in read_rows(path, (), optional=(*columns, *_EMOTIONS, "text")):
        row = {name: next((cells[a] for a in aliases if cells[a]), "") for name, aliases in _ALIASES.items()}
        rows.append(_row(row, cells, _part_of_file(path), f"{path}, row {number}"))
    return rows


def _row(row: dict[str, str], cells: dict[str, str], part: str | None, where: str) -> dict[str, Any]:
    start, end = (_seconds(row[name], where) for name in ("start", "end"))
    if not row["video"] or not (row["clip"] or (start is not None and end is not None)):
        raise TableError(f"{where}: expected video (or video_id), and clip_id or start_time and end_time.")
    if start is not None and end is not None and end <= max(start, 0):
        raise TableError(f"{where}: the segment from {start:g} s to {end:g} s is empty; remove the row.")
    if (part := _PARTS.get(row["part"].lower()) if row["part"] else part) is None:
        raise TableError(
            f"{where}: unknown part {row['part']!r}; expected train, valid or test in the column mode or split, or in "
            "the name of the file."
        )
    scaled(row["sentiment"], -3, 3, where)
    intensities = _intensities(cells, where)
    emotion = _strongest(intensities)
    return {
        "key": f"cmu-mosei/{row['video']}_{row['clip'] or format(start, '.3f')}",
        "video": row["video"],
        "clip": row["clip"],
        "start": start if end is not None else None,
        "end": end,
        "speaker": f"cmu-mosei/{row['video']}",
        "language": "en",
        "text": " ".join(cells["text"].split()) or None,
        "emotion": emotion,
        "original_emotion": emotion,
        "official_split": part,
        "sentiment_score": float(row["sentiment"]) if row["sentiment"] else None,
        "intensities": json.dumps(intensities) if intensities else None,
    }


def _seconds(cell: str, where: str) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        raise TableError(f"{where}: {cell!r} is not a time in seconds.") from None


def _intensities(cells: dict[str, str], where: str) -> dict[str, float]:
    """The six intensities by category; empty if the file has none."""
    for column in _EMOTIONS:
        scaled(cells[column], 0, 3, where)
    given = {word: float(cells[column]) for column, word in _EMOTIONS.items() if cells[column]}
    if given and len(given) < len(_EMOTIONS):
        absent = next(column for column in _EMOTIONS if not cells[column])
        raise TableError(f"{where}: {absent} is missing; expected a number from 0 to 3 for each of the six emotions.")
    return given


def _strongest(intensities: dict[str, float]) -> str | None:
    """The category of the highest intensity; neutral if all are 0, None if several share it or there are none."""
    highest = max(intensities.values(), default=None)
    if not highest:
        return "neutral" if intensities else None
    first, *others = (emotion for emotion, value in intensities.items() if value == highest)
    return None if others else first


CORPUS = Corpus("cmu-mosei", read)
