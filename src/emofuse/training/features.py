"""Log-Mel features of clips, computed once, kept on disk and memory-mapped.

The store grows clip by clip: a run that was killed goes on where it was, a table with one row more computes one clip
more, and no more than one clip is ever in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from tqdm import tqdm

from emofuse.audio import AudioError, FrontEnd, read_audio
from emofuse.files import sha256
from emofuse.models.front_end import LogMel

Clip = tuple[str, float | None, float | None]
_COMMIT_EVERY = 100  # clips: what a killed run computes again


class Features:
    """Log-Mel frames of many clips in one memory-mapped array, found by (file, start, end).

    Composed pairs share the clip, and so the frames, of the utterance that they were made from.

    Args:
        folder: written by `compute_features`.
        content: SHA-256 of each file.
        n_mels: mel bands of a frame.
    """

    def __init__(self, folder: Path, content: dict[str, str], n_mels: int):
        with closing(_open(folder)) as index:
            clips = {clip: (start, n) for clip, start, n in index.execute("SELECT clip, start, frames FROM clips")}
        self._index: dict[str, tuple[int, int]] = clips
        self._content = content
        path = folder / "frames.f16"
        n_frames = path.stat().st_size // (2 * n_mels)
        empty = np.zeros((0, n_mels), np.float16)
        self.frames = np.memmap(path, np.float16, "r", shape=(n_frames, n_mels)) if n_frames else empty

    def length(self, clip: Clip) -> int:
        """Number of frames of a clip."""
        return self._index[clip_id(clip, self._content)][1]

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """Frames of a clip, (frames, mels) float16 in dB."""
        start, n = self._index[clip_id(clip, self._content)]
        return self.frames[start : start + n]


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
    """Log-Mel features of every row that has a file; clips that the store has already are not computed again.

    There is a store for each front end; in it a clip is known by the hash of its file's bytes, start and end.

    Raises:
        AudioError: a file is no usable audio; the message names the utterance's key and the file.
    """
    front_end = front_end or FrontEnd()
    key_of = {clip: key for key, clip in zip(table["key"], clips_of(table), strict=True) if clip}
    content = {file: sha256(file) for file in sorted({clip[0] for clip in key_of})}
    clips = {clip_id(clip, content): clip for clip in sorted(key_of, key=str)}
    folder = cache / f"log-mel-{front_end.hash[:24]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"), closing(_open(folder)) as index:
        _add(clips, key_of, folder / "frames.f16", index, front_end)
    return Features(folder, content, front_end.n_mels)


def _open(folder: Path) -> sqlite3.Connection:
    index = sqlite3.connect(folder / "index.sqlite")
    index.execute("CREATE TABLE IF NOT EXISTS clips (clip TEXT PRIMARY KEY, start INTEGER, frames INTEGER)")
    return index


def _add(
    clips: dict[str, Clip], key_of: dict[Clip, str], path: Path, index: sqlite3.Connection, front_end: FrontEnd
) -> None:
    known = {clip for (clip,) in index.execute("SELECT clip FROM clips")}
    log_mel = LogMel(front_end)
    with _appending(path, index, front_end.n_mels) as (frames_file, end):
        missing = [identity for identity in clips if identity not in known]
        for i, identity in enumerate(tqdm(missing, desc="log-Mel", leave=False, disable=None), start=1):
            samples = _read(clips[identity], key_of[clips[identity]])
            with torch.inference_mode():
                frames = log_mel(torch.from_numpy(samples)[None])[0].numpy().astype(np.float16)
            frames_file.write(frames.tobytes())
            index.execute("INSERT INTO clips VALUES (?, ?, ?)", (identity, end, len(frames)))
            end += len(frames)
            if i % _COMMIT_EVERY == 0:
                frames_file.flush()
                index.commit()


@contextmanager
def _appending(path: Path, index: sqlite3.Connection, n_mels: int) -> Iterator[tuple[BinaryIO, int]]:
    """The file of frames, open at the end of what the index knows, and how many it knows.

    What a killed run wrote past that end is cut off. What was added stays, also if the block fails.
    """
    (known,) = index.execute("SELECT COALESCE(MAX(start + frames), 0) FROM clips").fetchone()
    path.touch()
    with path.open("r+b") as file:
        file.truncate(known * n_mels * 2)
        file.seek(0, 2)
        try:
            yield file, known
        finally:
            file.flush()
            index.commit()


def _read(clip: Clip, key: str) -> np.ndarray:
    file, start, end = clip
    try:
        return read_audio(file, start=start or 0.0, end=end)
    except AudioError as error:
        raise AudioError(f"utterance {key}: {error}") from error
