"""Features of clips (log-Mel, hidden states), computed once, kept on disk and memory-mapped.

The store grows clip by clip: a run that was killed goes on where it was, a table with one row more computes one clip
more, and no more than one clip is ever in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

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
    """Frames of many clips in one memory-mapped array, found by (file, start, end).

    Composed pairs share the clip, and so the frames, of the utterance that they were made from.

    Args:
        folder: written by `stored`.
        content: SHA-256 of each file.
        width: values of a frame.

    Attributes:
        width: values of a frame as `[]` gives it.
        rate: frames a second.
    """

    rate = 100.0

    def __init__(self, folder: Path, content: dict[str, str], width: int):
        self.width = width
        with closing(_open(folder)) as index:
            clips = {clip: (start, n) for clip, start, n in index.execute("SELECT clip, start, frames FROM clips")}
        self._index: dict[str, tuple[int, int]] = clips
        self._content = content
        path = folder / "frames.f16"
        n_frames = path.stat().st_size // (2 * width) if path.exists() else 0  # a table without audio adds none
        empty = np.zeros((0, width), np.float16)
        # "c", copied on writing: torch takes such an array as it is, and is faster from half precision to single.
        self.frames = np.memmap(path, np.float16, "c", shape=(n_frames, width)) if n_frames else empty

    def length(self, clip: Clip) -> int:
        """Number of frames of a clip."""
        return self._index[clip_id(clip, self._content)][1]

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """Frames of a clip, (frames, width) float16."""
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
    """Log-Mel features of every row that has a file; see `stored`."""
    front_end = front_end or FrontEnd()
    log_mel = LogMel(front_end)

    def make(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return log_mel(torch.from_numpy(samples)[None])[0].numpy()

    return stored(table, cache / f"log-mel-{front_end.hash[:24]}", make, width=front_end.n_mels, name="log-Mel")


def stored(
    table: pd.DataFrame, folder: Path, make: Callable[[np.ndarray], np.ndarray], *, width: int, name: str
) -> Features:
    """Frames of every row that has a file; clips that the store has already are not computed again.

    Args:
        table: utterance table.
        folder: the store: one for each way of making frames. In it a clip is known by the hash of its file's bytes,
            start and end.
        make: from samples (n,) at 16 kHz to frames (frames, width); they are kept in half precision.
        width: values of a frame.
        name: what the progress bar says.

    Raises:
        AudioError: a file is no usable audio; the message names the utterance's key and the file.
    """
    key_of = {clip: key for key, clip in zip(table["key"], clips_of(table), strict=True) if clip}
    content = {file: sha256(file) for file in sorted({clip[0] for clip in key_of})}
    clips = {clip_id(clip, content): clip for clip in sorted(key_of, key=str)}
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_open(folder)) as index:
        if _missing(clips, index):  # who finds all there need not wait for who adds
            with FileLock(folder / "lock"), _appending(folder / "frames.f16", index, width) as add:
                missing = _missing(clips, index)  # but for what another has added meanwhile
                for identity, clip in tqdm(missing.items(), desc=name, leave=False, disable=None):
                    add(identity, make(_read(clip, key_of[clip])).astype(np.float16))
    return Features(folder, content, width)


def _open(folder: Path) -> sqlite3.Connection:
    index = sqlite3.connect(folder / "index.sqlite")
    index.execute("CREATE TABLE IF NOT EXISTS clips (clip TEXT PRIMARY KEY, start INTEGER, frames INTEGER)")
    return index


def _missing(clips: dict[str, Clip], index: sqlite3.Connection) -> dict[str, Clip]:
    known = {clip for (clip,) in index.execute("SELECT clip FROM clips")}
    return {identity: clip for identity, clip in clips.items() if identity not in known}


@contextmanager
def _appending(path: Path, index: sqlite3.Connection, width: int) -> Iterator[Callable[[str, np.ndarray], None]]:
    """A function that adds the frames of a clip to the file and to the index.

    What a killed run wrote past the end that the index knows is cut off. What was added stays, also if the block fails.
    """
    (end,) = index.execute("SELECT COALESCE(MAX(start + frames), 0) FROM clips").fetchone()
    added = 0
    path.touch()
    with path.open("r+b") as file:
        file.truncate(end * width * 2)
        file.seek(0, 2)

        def add(identity: str, frames: np.ndarray) -> None:
            nonlocal end, added
            file.write(frames.tobytes())
            index.execute("INSERT INTO clips VALUES (?, ?, ?)", (identity, end, len(frames)))
            end, added = end + len(frames), added + 1
            if added % _COMMIT_EVERY == 0:
                file.flush()
                index.commit()

        try:
            yield add
        finally:
            file.flush()
            index.commit()


def _read(clip: Clip, key: str) -> np.ndarray:
    file, start, end = clip
    try:
        return read_audio(file, start=start or 0.0, end=end)
    except AudioError as error:
        raise AudioError(f"utterance {key}: {error}") from error
