"""The audio files that tables name: where they are, and which are missing."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from emofuse.csv_table import TableError
from emofuse.errors import EmofuseError
from emofuse.file_names import FileFinder, is_absolute, plain_path

_WORTH_LISTING = 50  # files of one folder
_SAMPLES = 50
_log = logging.getLogger(__name__)


def located(files: Sequence[str | None], folder: str) -> list[str | None]:
    """Audio files of a table as absolute paths; relative ones start from `folder`.

    A path where no file exists is looked for as `emofuse.file_names` describes: with backslashes as separators, in
    other letter case, and so on. Where files of another computer (D:\\corpus\\audio) lie below `folder` under the same
    names, these are taken, with a warning. Paths without any such file are returned as they are.

    Raises:
        TableError: a name fits several files.
    """
    paths = absolute(files, folder)
    missing = absent_files(paths)
    names = {path: plain_path(name) for name, path in zip(files, paths, strict=True) if name and path in missing}
    elsewhere = {path: name for path, name in names.items() if is_absolute(name)}
    finder = FileFinder()
    try:
        names |= _moved(elsewhere, folder, finder)
        found = {path: finder.find(os.path.normpath(os.path.join(folder, name))) for path, name in names.items()}
    except EmofuseError as error:
        raise TableError(str(error)) from error
    return [path and (found.get(path) or elsewhere.get(path, path)) for path in paths]


def _moved(names: dict[str, str], folder: str, finder: FileFinder) -> dict[str, str]:
    """Names relative to `folder` of absolute ones, without as many of their first parts as lead to files there."""
    parts = {path: name.split("/") for path, name in names.items()}
    folders = zip(*(p[:-1] for p in parts.values()), strict=False)
    # Only folders that all share are replaced, so that different files stay different.
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, folders)]
    samples = list(parts.values())[:: max(1, len(parts) // _SAMPLES)]
    for n in range(1, len(shared) + 1):
        if any(finder.find(os.path.join(folder, *p[n:])) for p in samples):
            _log.warning("files of %s, which do not exist, are read from %s", "/".join(shared[:n]) or "/", folder)
            return {path: "/".join(p[n:]) for path, p in parts.items()}
    return {}


def absolute(files: Sequence[str | None], folder: str) -> list[str | None]:
    """Audio files as absolute paths; relative ones start from `folder`."""
    return _placed(files, lambda head: os.path.normpath(os.path.join(folder, head)))


def relative(files: Sequence[str | None], folder: str) -> list[str | None]:
    """Absolute audio files as seen from `folder`, with forward slashes; relative ones are taken to be so already."""
    found = _placed(files, lambda head: _seen_from(folder, head) if os.path.isabs(head) else head)
    return [file and file.replace(os.sep, "/") for file in found]


def _placed(files: Sequence[str | None], place: Callable[[str], str]) -> list[str | None]:
    """The files in other folders: `place` says for each folder, asked once, which."""
    places: dict[str, str] = {}
    found: list[str | None] = []
    for file in files:
        if file is not None:
            name = max(file.rfind(os.sep), file.rfind("/")) + 1
            folder = file[:name]
            if folder not in places:
                there = place(os.path.dirname(folder))
                places[folder] = os.path.join(there, "") if there else ""
            file = places[folder] + file[name:]
        found.append(file)
    return found


def absent_files(files: Iterable[str | float | None]) -> set[str]:
    """Those of the paths that do not exist; None and NaN are ignored."""
    wanted = {file for file in files if isinstance(file, str)}
    folders = Counter(file[: max(file.rfind(os.sep), 0)] for file in wanted)
    for folder, count in folders.items():
        if count >= _WORTH_LISTING:
            wanted -= _files_in(folder)
    return {file for file in wanted if not os.path.isfile(file)}


def _files_in(folder: str) -> set[str]:
    """One listing is far cheaper than a look at each file, over a network above all."""
    try:
        with os.scandir(folder) as entries:
            return {entry.path for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _seen_from(folder: str, place: str) -> str:
    try:
        relative = os.path.relpath(place, folder)
    except ValueError:  # on another drive
        return place
    return "" if relative == os.curdir else relative
