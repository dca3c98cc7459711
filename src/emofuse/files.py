"""Whole files or none: hashes, and writing under a temporary name followed by a rename."""

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
    """SHA-256 of a file's bytes, as 64 hex digits."""
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
    """Yield a temporary path (file or folder, not yet there) beside `path`; rename it to `path` if the block succeeds.

    A folder is replaced by a folder, a file by a file. Nothing is left behind if the block fails.

    Args:
        path: what is to be there.
        keep: a folder with content that is there by then stays: processes that make the same at once would else take
            it from each other while they read it.

    Raises:
        EmofuseError: the place cannot be written (read-only, disk full, a folder or device where a file is to be).
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
    if temporary.is_file() and path.exists() and not path.is_file():  # all in the folder, or the device, would be lost
        raise FileExistsError(errno.EEXIST, "a folder or device of that name is there")
    if keep:
        with suppress(OSError):
            path.rmdir()  # an empty folder gives way; one with content stays
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
    """Write a whole UTF-8 text file or nothing."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write a whole JSON file or nothing."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        EmofuseError: the file is absent or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise EmofuseError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise EmofuseError(f"{path}: no valid JSON ({error}).") from error


def cache_dir() -> Path:
    """Folder of caches: EMOFUSE_CACHE, or emofuse/ under XDG_CACHE_HOME, or ~/.cache/emofuse."""
    if named := os.environ.get("EMOFUSE_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "emofuse"


def slug(text: str) -> str:
    """A name for files and anchors.

    >>> slug("joint, arousal")
    'joint-arousal'
    """
    return re.sub(r"[^a-z0-9_]+", "-", text.lower())
