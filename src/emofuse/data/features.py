"""Features of clips (log-Mel, hidden states), computed once and memory-mapped from disk.

A store grows clip by clip: a killed run resumes where it stopped, a new row costs one new clip, and only one clip at a
time is in memory.

It consists of a file of frames and an index. Frames are synchronised to disk before the index names them, so a power
cut loses nothing that the index names, and they are only ever appended, because other processes have the file mapped.
Each clip has a checksum. Opening a store verifies the checksums, unless the file of frames still has the size and time
of change that the index noted after the last verification. So a truncated, partly copied or overwritten file is
detected at the cost of reading it, and opening an intact store costs nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from tqdm import tqdm

from emofuse.audio import AudioError, FrontEnd, read_audio
from emofuse.errors import EmofuseError
from emofuse.files import file_hashes, open_store
from emofuse.models.cnn import LogMel

_log = logging.getLogger(__name__)

Clip = tuple[str, float | None, float | None]
Place = tuple[int, int]  # first frame and number of frames

_COMMIT_EVERY = 100  # clips: what a killed run computes again
_LARGEST = float(np.finfo(np.float16).max)
_VERSION = 2  # of the file format, part of the folder's name
_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (clip TEXT PRIMARY KEY, start INTEGER, frames INTEGER, crc INTEGER);
CREATE TABLE IF NOT EXISTS sound (id INTEGER PRIMARY KEY, size INTEGER, modified INTEGER);
"""


class Features:
    """Frames of many clips in one memory-mapped array, looked up by (file, start, end).

    Args:
        path: the file of frames, float16; it does not exist if there are no frames.
        places: where the frames of each clip lie, by `clip_id`.
        content: SHA-256 of each file.
        width: values of a frame.
    """

    rate = 100.0  # frames a second

    def __init__(self, path: Path, places: dict[str, Place], content: dict[str, str], width: int):
        self.width = width
        self._places = places
        self._content = content
        n_frames = _state(path)[0] // (2 * width)  # a table without audio adds none
        empty = np.zeros((0, width), np.float16)
        # "c", copied on writing: torch takes such an array as it is, and is faster from half precision to single.
        self.frames = np.memmap(path, np.float16, "c", shape=(n_frames, width)) if n_frames else empty

    def length(self, clip: Clip) -> int:
        """Number of frames of a clip."""
        return self._places[clip_id(clip, self._content)][1]

    def __getitem__(self, clip: Clip) -> np.ndarray:
        """Frames of a clip, (frames, width) float16."""
        start, n = self._places[clip_id(clip, self._content)]
        return self.frames[start : start + n]


def clips_of(table: pd.DataFrame) -> list[Clip | None]:
    """The clip of each row of an utterance table; None where it has no audio."""
    bounds = table[["start", "end"]].astype(object).where(table[["start", "end"]].notna(), None)
    rows = zip(table["file"], bounds["start"], bounds["end"], strict=True)
    return [(file, start, end) if isinstance(file, str) else None for file, start, end in rows]


def clip_id(clip: Clip, content: dict[str, str]) -> str:
    """Identify a clip by the content of its file, start and end, so that a moved file has the same id."""
    file, start, end = clip
    return f"{content[file]}:{start}:{end}"


def compute_features(table: pd.DataFrame, cache: Path, *, front_end: FrontEnd | None = None) -> Features:
    """Log-Mel features of every row that has a file; see `stored`."""
    front_end = front_end or FrontEnd()
    log_mel = LogMel(front_end)

    def make(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return log_mel(torch.from_numpy(samples)[None])[0].numpy()

    folder = cache / f"log-mel-{front_end.hash[:24]}"
    return stored(table, folder, make, width=front_end.n_mels, name="log-Mel features")


def stored(
    table: pd.DataFrame, folder: Path, make: Callable[[np.ndarray], np.ndarray], *, width: int, name: str
) -> Features:
    """Frames of every row that has a file; clips that the store holds already are not computed again.

    Args:
        table: utterance table.
        folder: the store, to whose name a version is added: one for each way of making frames. In it a clip is known
            by the hash of its file's bytes, start and end.
        make: from samples (n,) at 16 kHz to frames (frames, width); the store holds them in half precision.
        width: values of a frame.
        name: says in the progress bar and in errors what the frames are, and whose.

    Raises:
        AudioError: a file is not usable audio; the message names the utterance's key and the file.
        EmofuseError: a value is beyond half precision, an audio file cannot be read, or the store cannot be used.
    """
    key_of = {clip: key for key, clip in zip(table["key"], clips_of(table), strict=True) if clip}
    content = file_hashes(file for file, _, _ in key_of)
    clips = {clip_id(clip, content): clip for clip in sorted(key_of, key=str)}
    folder = folder.with_name(f"{folder.name}-v{_VERSION}")
    path = folder / "frames.f16"
    with open_store(folder / "index.sqlite", _SCHEMA) as index:
        places = _sound_clips(index, path, width)
        if clips.keys() - places.keys():  # a process that finds all clips need not wait for one that adds some
            with _locked(folder):
                places = _sound_clips(index, path, width)  # another process may have added some meanwhile
                _forget_others(index, places)
                with _appending(path, index, width, places) as add:
                    missing = {identity: clip for identity, clip in clips.items() if identity not in places}
                    for identity, clip in tqdm(missing.items(), desc=name, leave=False, disable=None):
                        file, start, end = clip
                        try:
                            samples = read_audio(file, start=start or 0.0, end=end)
                        except AudioError as error:
                            raise AudioError(f"utterance {key_of[clip]}: {error}") from error
                        add(identity, _half(make(samples), key_of[clip], name))
    return Features(path, places, content, width)


def _state(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of change (ns) of a file; zeros if it is absent."""
    if not path.exists():
        return 0, 0
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _sound_clips(index: sqlite3.Connection, path: Path, width: int) -> dict[str, Place]:
    """The clips of the index whose frames are complete and unchanged in the file."""
    state = _state(path)
    trusted = index.execute("SELECT size, modified FROM sound").fetchone() == state
    rows = index.execute("SELECT clip, start, frames, crc FROM clips ORDER BY start").fetchall()
    rows = [row for row in rows if (row[1] + row[2]) * width * 2 <= state[0]]
    if not trusted and rows:
        with path.open("rb") as file:
            rows = [row for row in rows if _crc(file, row[1], row[2], width) == row[3]]
    return {clip: (start, n) for clip, start, n, _ in rows}


def _crc(file: BinaryIO, start: int, n: int, width: int) -> int:
    file.seek(start * width * 2)
    return zlib.crc32(file.read(n * width * 2))


def _forget_others(index: sqlite3.Connection, places: dict[str, Place]) -> None:
    known = {clip for (clip,) in index.execute("SELECT clip FROM clips")}
    if damaged := known - places.keys():
        _log.warning("%d clips of a feature store are damaged and computed again", len(damaged))
        with index:
            index.executemany("DELETE FROM clips WHERE clip = ?", [(clip,) for clip in damaged])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / "lock"):
            yield
    except OSError as error:
        raise EmofuseError(
            f"{folder}: features cannot be written ({error.strerror or error}). Make the folder writable and free some "
            "space, or name another folder in EMOFUSE_CACHE."
        ) from error


@contextmanager
def _appending(
    path: Path, index: sqlite3.Connection, width: int, places: dict[str, Place]
) -> Iterator[Callable[[str, np.ndarray], None]]:
    """A function that appends the frames of a clip to the file, and adds it to the index and to `places`.

    Frames that a killed run wrote after the last clip of the index stay in the file, unused.
    """
    rows: list[tuple[str, int, int, int]] = []
    with path.open("ab") as file:
        end = -(-file.tell() // (2 * width))  # a frame that was written in part is filled up
        file.write(bytes(end * 2 * width - file.tell()))

        def commit() -> None:
            file.flush()
            os.fsync(file.fileno())
            with index:
                index.executemany("INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?)", rows)
            places.update({clip: (start, n) for clip, start, n, _ in rows})
            rows.clear()

        def add(identity: str, frames: np.ndarray) -> None:
            nonlocal end
            data = frames.tobytes()
            file.write(data)
            rows.append((identity, end, len(frames), zlib.crc32(data)))
            end += len(frames)
            if len(rows) == _COMMIT_EVERY:
                commit()

        try:
            yield add
        finally:
            commit()
            with index:
                index.execute("INSERT OR REPLACE INTO sound VALUES (0, ?, ?)", _state(path))


def _half(frames: np.ndarray, key: str, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = frames.astype(np.float16)
    if not np.isfinite(half).all():
        raise EmofuseError(
            f"utterance {key}: {name} have the absolute value {np.abs(frames).max():g}; expected numbers up to "
            f"{_LARGEST:g}, because they are stored in half precision. Choose another encoder, or leave this row out."
        )
    return half
