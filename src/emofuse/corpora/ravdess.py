"""RAVDESS speech (Livingstone & Russo 2018, doi 10.1371/journal.pone.0196391; CC BY-NC-SA 4.0).

24 actors say two neutral sentences in eight instructed emotions. The text carries no emotion by design.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from emofuse.corpora.labels import to_shared
from emofuse.corpora.table import TableError, check_table, make_table

_ORIGINAL = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
_SHARED = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgust": "disgust",
    "surprised": "surprise",
}
_INTENSITY = {"01": "normal", "02": "strong"}
_STATEMENT = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def read(root: Path | str) -> pd.DataFrame:
    """Utterance table of the speech clips below `root/Actor_NN/`, .wav or .flac; song clips are skipped.

    Calm becomes the shared category neutral and stays in `original_emotion`. There are no dimensions.
    Extra columns: `intensity` (normal, strong: as instructed), `statement` and `repetition` (1 or 2).

    Raises:
        TableError: no clips there, or a clip whose name is not of the official form.
    """
    root = Path(root).absolute()
    clips = sorted(p for p in root.glob("Actor_*/*") if p.suffix.lower() in (".wav", ".flac") and p.name[0] != ".")
    rows = [_row(clip) for clip in clips if clip.stem.split("-")[1:2] != ["02"]]
    if not rows:
        raise TableError(
            f"{root}: no RAVDESS speech here; expected Actor_01/03-01-01-01-01-01-01.wav (or .flac) and so on."
        )
    return check_table(make_table(rows, "ravdess"), str(root))


def _row(clip: Path) -> dict[str, object]:
    try:
        _, channel, emotion, intensity, statement, repetition, actor = clip.stem.split("-")
        if channel != "01":
            raise KeyError(channel)
        original = _ORIGINAL[emotion]
        return {
            "key": f"ravdess/{clip.stem}",
            "file": str(clip),
            "speaker": f"ravdess/{int(actor):02d}",
            "gender": "female" if int(actor) % 2 == 0 else "male",
            "language": "en",
            "text": _STATEMENT[statement],
            "emotion": to_shared(original, _SHARED, str(clip)),
            "original_emotion": original,
            "intensity": _INTENSITY[intensity],
            "statement": int(statement),
            "repetition": int(repetition),
        }
    except (KeyError, ValueError) as error:
        raise TableError(
            f"{clip}: not an official RAVDESS name "
            "(modality-channel-emotion-intensity-statement-repetition-actor). Remove or rename the file."
        ) from error
