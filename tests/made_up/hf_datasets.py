"""A Hugging Face DatasetDict on disk, with audio stored in it, classes by number and a column that cannot be kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_up.clips import write_clip

CLASSES = ("angry", "happy", "sad", "neutral", "bored")
SPEAKERS = {"train": ("s1", "s2", "s3"), "validation": ("s4",), "test": ("s5", "s6")}


def make(root: Path) -> Path:
    """The dataset at `root`; one row of each part has no class, one no transcript."""
    import datasets

    features = datasets.Features(
        {
            "audio": datasets.Audio(sampling_rate=16000),
            "Emotion": datasets.ClassLabel(names=list(CLASSES)),
            "speaker_id": datasets.Value("string"),
            "sex": datasets.ClassLabel(names=["F", "M"]),
            "transcription": datasets.Value("string"),
            "valence": datasets.Value("float32"),
            "take": datasets.Value("int32"),
            "codes": datasets.List(datasets.Value("int32")),
        }
    )
    clips = root.parent / f"{root.name}-clips"
    parts = {part: _part(part, clips, features) for part in SPEAKERS}
    datasets.disable_progress_bars()
    datasets.DatasetDict(parts).save_to_disk(str(root))
    return root


def _part(part: str, clips: Path, features: Any) -> Any:
    import datasets
    import pyarrow as pa

    rows = []
    for speaker in SPEAKERS[part]:
        for take, name in enumerate([*CLASSES, None]):
            clip = write_clip(clips / f"{speaker}_{take}.wav")
            rows.append(
                {
                    "audio": {"path": clip.name, "bytes": clip.read_bytes()},
                    "Emotion": -1 if name is None else CLASSES.index(name),
                    "speaker_id": speaker,
                    "sex": int(speaker[1:]) % 2,
                    "transcription": None if take == 1 else f"Sentence {take}.",
                    "valence": float(take),
                    "take": take,
                    "codes": [1, 2],
                }
            )
    # through Arrow: the library would decode and encode the audio
    return datasets.Dataset(pa.Table.from_pylist(rows, schema=features.arrow_schema))
