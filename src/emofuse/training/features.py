"""Log-Mel features of a corpus, computed once and memory-mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from emofuse.audio import AudioError, FrontEnd, read_audio
from emofuse.files import atomic, hash_of, read_json, sha256, write_json
from emofuse.models.front_end import LogMel

Clip = tuple[str, float | None, float | None]


class Features:
    """Log-Mel frames of many clips in one memory-mapped array, found by (file, start, end).

    Composed pairs share the clip, and so the frames, of the utterance that they were made from.

    Args:
        folder: written by `compute_features`.
        content: SHA-256 of each file.
    """

    def __init__(self, folder: Path, content: dict[str, str]):
        self.frames = np.load(folder / "frames.npy", mmap_mode="r")  # (all frames, mels) float16
        self._index: dict[str, list[int]] = read_json(folder / "index.json")
        self._content = content

    def length(self, clip: Clip) -> int:
        """Number of frames of a clip."""
        return self._index[clip_id(clip, self._content)][1]

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """Frames of a clip, (frames, mels) float16 in dB."""
        offset, n = self._index[clip_id(clip, self._content)]
        return self.frames[offset : offset + n]


def clips_of(table: pd.DataFrame) -> list[Clip | None]:
    """The clip of each row of an utterance table; None where it has no audio."""
    bounds = table[["start", "end"]].astype(object).where(table[["start", "end"]].notna(), None)
    rows = zip(table["file"], bounds["start"], bounds["end"], strict=True)
    return [(file, start, end) if isinstance(file, str) else None for file, start, end in rows]


def clip_id(clip: Clip, content: dict[str, str]) -> str:
    """What a clip is, wherever its file lies."""
    file, start, end = clip
    return f"{content[file]}:{start}:{end}"


def compute_features(table: pd.DataFrame, cache: Path, *, front_end: FrontEnd | None = None) -> Features:
    """Log-Mel features of every row that has a file, from the cache if its content was seen before.

    The cache is keyed by a hash of the front end and of each clip's audio bytes, start and end.

    Raises:
        AudioError: a file is no usable audio; the message names the utterance's key and the file.
    """
    front_end = front_end or FrontEnd()
    key_of = {clip: key for key, clip in zip(table["key"], clips_of(table), strict=True) if clip}
    content = {file: sha256(file) for file in sorted({clip[0] for clip in key_of})}
    clips = {clip_id(clip, content): clip for clip in sorted(key_of, key=str)}
    folder = cache / f"log-mel-{hash_of([front_end.hash, sorted(clips)])[:24]}"
    if not folder.exists():
        with atomic(folder) as temporary:
            temporary.mkdir()
            _write(clips, key_of, temporary, front_end)
    return Features(folder, content)


def _write(clips: dict[str, Clip], key_of: dict[Clip, str], folder: Path, front_end: FrontEnd) -> None:
    log_mel = LogMel(front_end)
    index, parts, offset = {}, [], 0
    for identity, clip in tqdm(clips.items(), desc="log-Mel", leave=False, disable=None):
        samples = _read(clip, key_of[clip])
        with torch.inference_mode():
            frames = log_mel(torch.from_numpy(samples)[None])[0].numpy().astype(np.float16)
        index[identity] = [offset, len(frames)]
        parts.append(frames)
        offset += len(frames)
    np.save(folder / "frames.npy", np.concatenate(parts) if parts else np.zeros((0, front_end.n_mels), np.float16))
    write_json(folder / "index.json", index)


def _read(clip: Clip, key: str) -> np.ndarray:
    file, start, end = clip
    try:
        return read_audio(file, start=start or 0.0, end=end)
    except AudioError as error:
        raise AudioError(f"utterance {key}: {error}") from error
