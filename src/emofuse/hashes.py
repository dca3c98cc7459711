"""SHA-256 of files, remembered from run to run."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from emofuse.errors import EmofuseError
from emofuse.files import cache_dir, sha256
from emofuse.stores import open_store

_AT_ONCE = 256  # files per commit
_SETTLED = 2_000_000_000  # ns; coarsest resolution of times in file systems
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS files "
    "(path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, sha256 TEXT) WITHOUT ROWID"
)

_State = tuple[int, int, int]  # size in bytes, time of the last modification, of the last change of the inode (ns)


def file_hash(path: Path | str) -> str:
    """SHA-256 of a file's content, as 64 hex digits; see `file_hashes`."""
    return file_hashes([path])[str(path)]


def file_hashes(paths: Iterable[Path | str], *, unreadable: dict[str, OSError] | None = None) -> dict[str, str]:
    """SHA-256 of the content of many files.

    Hashes are stored in `cache_dir()/hashes.sqlite` and used while a file keeps its size and times of change. The hash
    of a file modified less than two seconds ago is not stored, because the file could change again with the same time.
    If the store cannot be used, all files are hashed.

    Args:
        paths: paths of files, perhaps repeated.
        unreadable: receives the error of each file that cannot be read; such files are left out of the result. If None,
            the first such file raises an error.

    Returns:
        64 hex digits for each path as given (`str(path)`).

    Raises:
        EmofuseError: a file cannot be read.
    """
    given = {str(path): os.path.abspath(path) for path in paths}
    wanted = sorted(set(given.values()))
    found: dict[str, str] = {}
    errors: dict[str, OSError] = {}
    with suppress(EmofuseError), open_store(cache_dir() / "hashes.sqlite", _SCHEMA) as memory:
        for first in range(0, len(wanted), _AT_ONCE):
            chunk = wanted[first : first + _AT_ONCE]
            new = _hash(chunk, _remembered(memory, chunk), found, errors)
            if new:
                with memory:
                    memory.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", new)
    _hash([path for path in wanted if path not in found and path not in errors], {}, found, errors)
    failed = {path: errors[absolute] for path, absolute in given.items() if absolute in errors}
    if unreadable is not None:
        unreadable.update(failed)
    elif failed:
        path, error = next(iter(failed.items()))
        raise EmofuseError(f"{path}: cannot be read ({error.strerror}).") from error
    return {path: found[absolute] for path, absolute in given.items() if absolute in found}


def _remembered(memory: sqlite3.Connection, paths: Sequence[str]) -> dict[str, tuple[_State, str]]:
    marks = ",".join("?" * len(paths))
    rows = memory.execute(f"SELECT * FROM files WHERE path IN ({marks})", paths)
    return {path: ((size, modified, changed), digest) for path, size, modified, changed, digest in rows}


def _hash(
    paths: Sequence[str],
    remembered: Mapping[str, tuple[_State, str]],
    found: dict[str, str],
    errors: dict[str, OSError],
) -> list[tuple[str, int, int, int, str]]:
    """Add the hash or the error of each file, and return the rows to store."""
    new = []
    for path in paths:
        try:
            state = _state(path)
            known, digest = remembered.get(path, (None, ""))
            if known == state:
                found[path] = digest
                continue
            found[path] = digest = sha256(path)
            if _state(path) == state and time.time_ns() - state[1] > _SETTLED:
                new.append((path, *state, digest))
        except OSError as error:
            errors[path] = error
    return new


def _state(path: str) -> _State:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
