"""ShEMO, Persian emotional speech from radio plays (Mohamad Nezami et al. 2019, doi 10.1007/s10579-018-9427-x)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emofuse.corpora.readers.coded import GENDER, Coded
from emofuse.corpora.table import TableError
from emofuse.files import read_json

_EMOTIONS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}
_CORRECTED = "modified_shemo.json"


def _notes(root: Path) -> dict[str, dict[str, Any]]:
    """Transcripts of shemo.json; transcripts and categories of modified_shemo.json, which take precedence."""
    notes: dict[str, dict[str, Any]] = {}
    for name in ("shemo.json", _CORRECTED):
        for path in sorted(root.glob(f"**/{name}")):
            notes |= _read(path)
    return notes


def _read(path: Path) -> dict[str, dict[str, Any]]:
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
            f"{path}: not as published ({error!r}); expected for each clip its id, transcript and emotion."
        ) from error
    return notes


def _known(emotion: str, where: str) -> str:
    if emotion not in _EMOTIONS.values():
        raise TableError(f"{where}: unknown emotion {emotion!r}. Expected one of {', '.join(_EMOTIONS.values())}.")
    return emotion


SHEMO = Coded(
    name="shemo",
    title="ShEMO",
    form="female/F01A01.wav",
    path=r"(?P<speaker>(?P<gender>[fm])\d\d)(?P<emotion>[a-z])(?P<number>\d+)",
    key="{speaker}{emotion}{number}",
    speaker="shemo/{speaker}",
    upper=("speaker", "emotion"),
    emotions=_EMOTIONS,
    columns={"gender": ("gender", GENDER)},
    constants={"language": "fa"},
    expected=3000,
    notes=_notes,
)

CORPORA = {SHEMO.name: SHEMO.corpus}
