"""A made-up corpus of tones: it takes the whole tool from reader to bundle in seconds and says nothing about speech.

Six made-up speakers "say" four categories four times each. Pitch, level and modulation depend on the category, pitch
on the speaker as well; half of the rows have a made-up sentence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from emofuse.corpora.about import Corpus
from emofuse.corpora.readers.source import finish, read_rows
from emofuse.corpora.table import COLUMNS, TableError, make_table, write_table
from emofuse.files import atomic

_RATE = 16000
_SPEAKERS = 6
_REPETITIONS = 4

# Category: pitch factor, level, tremolo in Hz, share of noise, words.
_VOICES: dict[str, tuple[float, float, float, float, str]] = {
    "neutral": (1.0, 0.10, 0.0, 0.05, "the table stands in the room"),
    "happiness": (1.8, 0.25, 6.0, 0.02, "what a wonderful happy day"),
    "sadness": (0.7, 0.04, 2.0, 0.10, "i am so sad and lonely"),
    "anger": (1.3, 0.50, 12.0, 0.40, "leave me alone i am furious"),
}
# Arousal, valence, dominance, as made up as the clips.
_DIMENSIONS = {
    "neutral": (0.5, 0.5, 0.5),
    "happiness": (0.75, 0.85, 0.7),
    "sadness": (0.3, 0.2, 0.3),
    "anger": (0.85, 0.2, 0.75),
}


def read(root: Path | str, *, allow_missing: bool = False) -> pd.DataFrame:
    """Utterance table of the made-up corpus at `root`; it is written there first where it is absent.

    96 clips of 0.5 to 1.2 s with category, dimensions and, in half of the rows, text. The same numbers every time.

    Args:
        root: folder of the corpus, new, empty or written before.
        allow_missing: go on without clips that were deleted.

    Raises:
        TableError: the folder holds something else, or a clip is missing.
        EmofuseError: the place cannot be written.
    """
    root = Path(root)
    table = root / "table.csv"
    if not table.is_file():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise TableError(
                f"{root}: not empty, and no table.csv of the made-up corpus. Choose a new or empty folder."
            )
        with atomic(root, keep=True) as temporary:
            _write(temporary)
    rows = [{**row, "file": str(root.absolute() / row["file"])} for _, row in read_rows(table, COLUMNS)]
    return finish(rows, "toy", table, allow_missing=allow_missing)


CORPUS = Corpus("toy", read)


def _write(root: Path) -> None:
    (root / "audio").mkdir(parents=True)
    rng = np.random.default_rng(7)
    rows = []
    for speaker in range(1, _SPEAKERS + 1):
        for category, (*_, words) in _VOICES.items():
            for repetition in range(1, _REPETITIONS + 1):
                name = f"{speaker:02d}-{category}-{repetition}"
                samples = _clip(rng, speaker, category)
                soundfile.write(root / "audio" / f"{name}.wav", samples, _RATE, subtype="PCM_16")
                noise = rng.normal(0, 0.03, 3)
                arousal, valence, dominance = np.clip(_DIMENSIONS[category] + noise, 0, 1).round(3).tolist()
                rows.append(
                    {
                        "key": f"toy/{name}",
                        "file": f"audio/{name}.wav",
                        "speaker": f"toy/{speaker:02d}",
                        "gender": "female" if speaker % 2 else "male",
                        "language": "en",
                        "text": words if repetition % 2 else None,
                        "emotion": category,
                        "original_emotion": category,
                        "arousal": arousal,
                        "valence": valence,
                        "dominance": dominance,
                    }
                )
    write_table(make_table(rows, "toy"), root / "table.csv")


def _clip(rng: np.random.Generator, speaker: int, category: str) -> np.ndarray:
    """A harmonic tone with tremolo and noise: float32, (n,)."""
    factor, level, tremolo, noise, _ = _VOICES[category]
    seconds = np.arange(int(rng.uniform(0.5, 1.2) * _RATE)) / _RATE
    pitch = (100 + 15 * speaker) * factor * rng.uniform(0.95, 1.05)
    phase = rng.uniform(0, 2 * np.pi)
    tone = sum(np.sin(2 * np.pi * pitch * h * seconds + phase) / h for h in range(1, 6)) / 2
    tone = tone * (1 + 0.8 * np.sin(2 * np.pi * tremolo * seconds)) / 1.8
    mixed = (1 - noise) * tone + noise * rng.normal(0, 0.5, len(seconds))
    return (np.clip(mixed * level * rng.uniform(0.8, 1.2), -1, 1)).astype(np.float32)
