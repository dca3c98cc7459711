"""Atomic writes, content hashes, locks, and SQLite files for cached results."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WAIT = 60  # seconds for other processes that write to a store
_AT_ONCE = 256  # files per commit
_SETTLED = 2_000_000_000  # ns; coarsest resolution of times in file systems
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS files "
    "(path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, sha256 TEXT) WITHOUT ROWID"
)

_log = logging.getLogger(__name__)

_State = tuple[int, int, int]  # size in bytes, time of the last modification, of the last change of the inode (ns)


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
        storable = [path for path in wanted if path.encode(errors="replace").decode() == path]  # others are not text
        for first in range(0, len(storable), _AT_ONCE):
            chunk = storable[first : first + _AT_ONCE]
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


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of dictionary keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # names of files may be of any bytes


@contextmanager
def atomic(path: Path | str, *, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or folder, and rename it to `path` if the block succeeds.

    An existing folder is replaced by a folder, a file by a file. If the block fails, nothing is left behind.

    Args:
        path: the file or folder to write.
        keep: keep a non-empty folder that exists by then. Otherwise processes that write the same folder at once would
            replace it while others read it.

    Raises:
        EmofuseError: `path` cannot be written (read-only, disk full, a folder or device instead of a file).
    """
    path = Path(path)
    scratch: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))  # names have a longest length
        temporary = scratch / path.name
        yield temporary
        _put(temporary, path, scratch / "replaced", keep)
    except OSError as error:
        raise EmofuseError(
            f"{path}: cannot be written ({error.strerror or error}). "
            "Choose a place that is writable and has free space."
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _put(temporary: Path, path: Path, replaced: Path, keep: bool) -> None:
    if temporary.is_file() and path.exists() and not path.is_file():  # its content would be lost
        raise FileExistsError(errno.EEXIST, "it is a folder or device")
    if keep:
        with suppress(OSError):
            path.rmdir()  # removes only an empty folder
    elif path.is_dir() and not path.is_symlink():
        os.replace(path, replaced)  # a folder cannot be renamed over another
    try:
        os.replace(temporary, path)
    except OSError:
        if keep and path.is_dir() and any(path.iterdir()):
            return
        if replaced.exists():
            os.replace(replaced, path)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically; bytes of file names that are not UTF-8 are written as `\\xe9`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def lock_file(path: Path | str, doing: str) -> Iterator[None]:
    """Hold a lock file, in which the id and the host of this process stand. It is released however the process ends.

    Args:
        path: the lock file; its folder is created if it is missing.
        doing: what the process does there, such as "runs a study".

    Raises:
        EmofuseError: another process holds the lock, or the file cannot be written.
    """
    from filelock import FileLock, Timeout

    path = Path(path)
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    except Timeout:
        owner = ""
        with suppress(OSError):
            owner = f" ({path.read_text(encoding='utf-8')})"
        raise EmofuseError(
            f"{path.parent}: another process {doing} in this folder{owner}. Wait for it, or choose another folder."
        ) from None
    except OSError as error:
        raise EmofuseError(
            f"{path.parent}: cannot be written ({error.strerror or error}). Choose another folder."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may have disappeared
            lock.release()


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        EmofuseError: the file is missing or is not valid JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EmofuseError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise EmofuseError(f"{path} is not valid JSON ({error}).") from error


def cache_dir() -> Path:
    """The folder for caches: EMOFUSE_CACHE, or emofuse/ under XDG_CACHE_HOME, or ~/.cache/emofuse."""
    if named := os.environ.get("EMOFUSE_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "emofuse"


def slug(text: str) -> str:
    """Turn text into a name for files and anchors.

    >>> slug("joint, arousal")
    'joint-arousal'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower())


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


@contextmanager
def open_store(path: Path | str, schema: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection to an SQLite file, which is created if missing. Commit with `with store:`.

    Stores use the rollback journal, because write-ahead logging does not work on network file systems, and full
    synchronisation, so that commits survive a power cut. Any number of processes may use one at once. A damaged file is
    renamed to NAME.damaged and created again, with a warning. If the damage is detected only while the block runs, the
    block fails, and the next run gets a new file.

    Args:
        path: the file; its folder is created too.
        schema: `CREATE TABLE IF NOT EXISTS ...` for its tables, separated by semicolons.

    Raises:
        EmofuseError: the file cannot be used (read-only, locked, disk full, of another program, damaged).
    """
    path = Path(path)
    store = _open(path, schema)
    try:
        yield store
    except sqlite3.Error as error:
        store.close()
        if not _is_damage(error):
            raise _unusable(path, error) from error
        _set_aside(path)
        raise EmofuseError(
            f"{path}: this cache is damaged ({error}) and was renamed. Run the command again."
        ) from error
    finally:
        store.close()


def _open(path: Path, schema: str) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path, schema)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _set_aside(path)
            return _connected(path, schema)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error


def _connected(path: Path, schema: str) -> sqlite3.Connection:
    store = sqlite3.connect(path, timeout=_WAIT, isolation_level="IMMEDIATE")
    try:
        store.execute("PRAGMA synchronous = FULL")
        store.executescript(schema)  # writes nothing if the tables exist, so read-only files work
    except BaseException:
        store.close()
        raise
    return store


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED  # the low byte is the kind of error


def _set_aside(path: Path) -> None:
    """Rename a damaged file and its journal, which would be played back into the new file."""
    from filelock import FileLock

    with FileLock(f"{path}.lock"):
        if _is_sound(path):  # another process has replaced it
            return
        aside = path.with_name(f"{path.name}.damaged")
        for ending in ("-journal", ""):
            if os.path.exists(f"{path}{ending}"):
                os.replace(f"{path}{ending}", f"{aside}{ending}")
    _log.warning("%s is damaged. It was renamed to %s and is created again.", path, aside.name)


def _is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=_WAIT)) as store:
        try:
            return store.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                return False
            raise


def _unusable(path: Path, error: Exception) -> EmofuseError:
    return EmofuseError(
        f"{path}: this cache cannot be used ({error}). Make it writable and free some space, or name another folder in "
        "EMOFUSE_CACHE."
    )
