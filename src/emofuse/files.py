"""Atomic writes and content hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emofuse.errors import EmofuseError


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON-serialisable value, independent of the order of dictionary keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


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
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
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
    """Write a UTF-8 text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
