"""A small MELD: four speakers in all three parts, seven emotions, clips as WAV and one as MP4."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from made_up.clips import write_clip

_HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
_SENTIMENTS = {
    "neutral": "neutral",
    "joy": "positive",
    "sadness": "negative",
    "anger": "negative",
    "fear": "negative",
    "disgust": "negative",
    "surprise": "positive",
}
_SPEAKERS = ("Ross", "Monica", "Joey", "Rachel")
_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def make(root: Path) -> Path:
    """28 utterances in train, 14 in dev and test, and the two whose clips are known to be broken or absent."""
    write_labels(root)
    for part, folder in _FOLDERS.items():
        for name in _utterances(part):
            if (part, name) != ("test", "dia0_utt1"):
                write_clip(root / folder / f"{name}.wav")
        write_clip(root / folder / "._dia0_utt0.wav")
    _write_video(root / _FOLDERS["test"] / "dia0_utt1.mp4")
    write_clip(root / _FOLDERS["test"] / "final_videos_testdia0_utt1.wav")
    (root / _FOLDERS["train"] / "dia125_utt3.mp4").write_bytes(b"no moov atom")
    return root


def write_labels(root: Path) -> Path:
    """The three label files alone: the corpus as text."""
    root.mkdir(parents=True, exist_ok=True)
    known = {"train": ("125", "3"), "dev": ("110", "7"), "test": None}
    for part, extra in known.items():
        lines = [_HEADER]
        for i, name in enumerate(_utterances(part)):
            emotion = list(_SENTIMENTS)[i % 7]
            dialogue, utterance = name.removeprefix("dia").split("_utt")
            words = f'"It\u2019s {emotion} number {i}, {part}."'
            cells = (str(i), words, _SPEAKERS[i % 4], emotion, _SENTIMENTS[emotion], dialogue, utterance)
            lines.append(",".join(cells) + ',1,1,"00:00:01,000","00:00:02,000"')
        if extra:
            lines.append(f'99,Oh.,Joey,neutral,neutral,{extra[0]},{extra[1]},1,1,"00:00:01,000","00:00:02,000"')
        lines += ["", lines[1]]
        encoding, end = {"train": ("cp1252", "\n"), "dev": ("utf-8-sig", "\r\n"), "test": ("utf-8", "\n")}[part]
        (root / f"{part}_sent_emo.csv").write_bytes((end.join(lines) + end).encode(encoding))
    return root


def _utterances(part: str) -> list[str]:
    return [f"dia{i // 7}_utt{i % 7}" for i in range(28 if part == "train" else 14)]


def _write_video(path: Path) -> None:
    """Sound in the MP4 container: AAC, 16 kHz, mono, 0.4 s."""
    samples = (0.3 * np.sin(2 * np.pi * 200 * np.arange(6400) / 16000)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
