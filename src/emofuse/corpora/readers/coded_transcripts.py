"""Corpora whose labels are codes in the file names, with transcripts in files beside the clips: ESD and ShEMO.

Their sources are in about.toml.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from emofuse.corpora.readers.coded import GENDER, Coded
from emofuse.corpora.table import TableError
from emofuse.files import read_json

_SPEAKERS = [f"{number:04d}" for number in range(1, 21)]
_MALE = {"0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020"}
_LANGUAGES = {speaker: "zh" if speaker <= "0010" else "en" for speaker in _SPEAKERS}
_LINE = re.compile(r"(\d{4}_\d{6})\s(.*)")
_LABEL = re.compile(
    r"(?:^|\s+)(?:angry|happy|neutral|sad|surprise|中立|快乐|生气|伤心|惊喜)$",
    re.IGNORECASE,
)


def _esd_notes(root: Path) -> dict[str, dict[str, Any]]:
    """Transcripts of 0001/0001.txt and so on."""
    notes: dict[str, dict[str, Any]] = {}
    for path in sorted(root.glob("**/[0-9][0-9][0-9][0-9].txt")):
        for line in _esd_text(path).splitlines():
            if match := _LINE.fullmatch(line.strip()):
                notes[match[1]] = {"text": _esd_words(match[2])}
    return notes


def _esd_text(path: Path) -> str:
    """Text of a file, whose encoding depends on the speaker: UTF-16, UTF-8, GB 2312 or Windows-1252."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}).") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030" if _LANGUAGES.get(path.stem) == "zh" else "cp1252", errors="replace")


def _esd_words(text: str) -> str | None:
    """The words of a line without the emotion at its end, which would reveal the label."""
    words, tab, _ = text.rpartition("\t")
    if not tab:  # a few lines have spaces instead of a tab
        words = _LABEL.sub("", text)
    return " ".join(words.split()) or None


ESD = Coded(
    name="esd",
    title="ESD",
    form="0001/Angry/0001_000351.wav or 0001/Angry/train/0001_000351.wav",
    path=r"(?P<speaker>\d{4})/(?P<emotion>[a-z]+)/(?:(?P<part>train|evaluation|test)/)?(?P<id>(?P=speaker)_\d{6})",
    key="{id}",
    speaker="esd/{speaker}",
    emotions={word: word for word in ("neutral", "happy", "angry", "sad", "surprise")},
    columns={
        "gender": ("speaker", {speaker: "male" if speaker in _MALE else "female" for speaker in _SPEAKERS}),
        "language": ("speaker", _LANGUAGES),
        "official_split": ("part", {"train": "train", "evaluation": "dev", "test": "test"}),
    },
    expected=35000,
    notes=_esd_notes,
)


_SHEMO_EMOTIONS = {"A": "anger", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness", "W": "surprise"}
_CORRECTED = "modified_shemo.json"


def _shemo_notes(root: Path) -> dict[str, dict[str, Any]]:
    """Transcripts of shemo.json; transcripts and categories of modified_shemo.json, which take precedence."""
    notes: dict[str, dict[str, Any]] = {}
    for name in ("shemo.json", _CORRECTED):
        for path in sorted(root.glob(f"**/{name}")):
            notes |= _shemo_entries(path)
    return notes


def _shemo_entries(path: Path) -> dict[str, dict[str, Any]]:
    entries = read_json(path)
    try:
        if isinstance(entries, list):
            entries = {entry["id"]: entry for entry in entries}
        notes = {}
        for name, entry in entries.items():
            note = {"text": " ".join(entry["transcript"].replace("\ufeff", " ").split()) or None}
            if path.name == _CORRECTED:
                note["original_emotion"] = _known(entry["emotion"].strip().lower(), f"{path}, {name}")
            notes[name.upper().removesuffix(".WAV")] = note
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: the file is not as published ({error!r}); expected id, transcript and emotion of each clip."
        ) from error
    return notes


def _known(emotion: str, where: str) -> str:
    if emotion not in _SHEMO_EMOTIONS.values():
        raise TableError(
            f"{where}: unknown emotion {emotion!r}. Expected one of {', '.join(_SHEMO_EMOTIONS.values())}."
        )
    return emotion


SHEMO = Coded(
    name="shemo",
    title="ShEMO",
    form="female/F01A01.wav",
    path=r"(?P<speaker>(?P<gender>[fm])\d\d)(?P<emotion>[a-z])(?P<number>\d+)",
    key="{speaker}{emotion}{number}",
    speaker="shemo/{speaker}",
    upper=("speaker", "emotion"),
    emotions=_SHEMO_EMOTIONS,
    columns={"gender": ("gender", GENDER)},
    constants={"language": "fa"},
    expected=3000,
    notes=_shemo_notes,
)

CORPORA = {table.name: table.corpus for table in (ESD, SHEMO)}
