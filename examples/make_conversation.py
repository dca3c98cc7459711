"""Join RAVDESS clips of two actors to the recording `conversation.flac`, with its turns in `conversation-turns.csv`.

python examples/make_conversation.py RAVDESS_FOLDER [OUT_FOLDER]
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 16000
MARGIN = 0.1  # seconds kept before and after what is louder than THRESHOLD
THRESHOLD = 0.03  # of the clip's peak
PAUSES = (0.7, 1.5)  # seconds, drawn with SEED
SEED = 0

# Actor 24 (female) and actor 07 (male) take turns; a good mood goes bad.
TURNS = [
    ("neutral", "03-01-01-01-01-01-24"),
    ("neutral", "03-01-01-01-01-01-07"),
    ("calm", "03-01-02-01-02-01-24"),
    ("happy", "03-01-03-01-01-01-07"),
    ("happy", "03-01-03-02-02-01-24"),
    ("happy", "03-01-03-02-02-02-07"),
    ("surprised", "03-01-08-02-01-01-24"),
    ("surprised", "03-01-08-01-02-01-07"),
    ("disgust", "03-01-07-02-02-01-24"),
    ("angry", "03-01-05-01-01-01-07"),
    ("angry", "03-01-05-02-01-02-24"),
    ("angry", "03-01-05-02-02-01-07"),
    ("angry", "03-01-05-02-02-01-24"),
    ("fearful", "03-01-06-02-01-01-07"),
    ("fearful", "03-01-06-02-02-02-24"),
    ("sad", "03-01-04-02-01-01-07"),
    ("sad", "03-01-04-02-02-01-24"),
    ("sad", "03-01-04-01-02-02-07"),
]


def make(ravdess: Path, out: Path) -> None:
    """Write the recording (16-bit FLAC) and the table of its turns (start, end in seconds)."""
    rng = np.random.default_rng(SEED)
    parts = [np.zeros(_samples(0.5), np.int16)]
    rows = []
    for emotion, name in TURNS:
        clip = _without_silence(ravdess / f"Actor_{name[-2:]}" / f"{name}.flac")
        start = sum(map(len, parts)) / RATE
        rows.append((f"{start:.3f}", f"{start + len(clip) / RATE:.3f}", name[-2:], emotion, name))
        parts += [clip, np.zeros(_samples(rng.uniform(*PAUSES)), np.int16)]
    sf.write(out / "conversation.flac", np.concatenate(parts), RATE, subtype="PCM_16")
    with open(out / "conversation-turns.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("start", "end", "actor", "acted_emotion", "clip"), *rows])


def _samples(seconds: float) -> int:
    return round(seconds * RATE)


def _without_silence(path: Path) -> np.ndarray:
    clip, rate = sf.read(path, dtype="int16")
    if rate != RATE:
        raise SystemExit(f"{path}: {rate} Hz, expected {RATE} Hz: resample the clips first.")
    level = np.abs(clip.astype(np.int32))
    loud = np.flatnonzero(level > THRESHOLD * level.max())
    return clip[max(0, loud[0] - _samples(MARGIN)) : loud[-1] + _samples(MARGIN)]


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
