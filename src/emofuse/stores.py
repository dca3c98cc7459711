"""SQLite files for cached results.

They use the rollback journal, because write-ahead logging does not work on network file systems, and full
synchronisation, so that commits survive a power cut. Any number of processes may use a store at once; a writer waits
for the others for up to a minute. A damaged file is renamed, never deleted.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from emofuse.errors import EmofuseError

_log = logging.getLogger(__name__)

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WAIT = 60  # seconds


@contextmanager
def open_store(path: Path | str, schema: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection to an SQLite file, which is created if missing. Commit with `with store:`.

    A damaged file is renamed to NAME.damaged and created again, with a warning. If the damage is detected only while
    the block runs, the block fails, and the next run gets a new file.

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
