"""Match file names that look different on different systems.

Tables name recordings with Windows separators and drives, `file://` addresses, other letter case, other Unicode forms
of the same letter (macOS decomposes é), stray blanks, or without an ending. An exact match always wins; otherwise a
name must fit a single file.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from emofuse.errors import EmofuseError

AUDIO_ENDINGS = (".wav", ".flac", ".opus", ".ogg", ".mp3", ".m4a", ".mp4")


def plain_path(name: str) -> str:
    r"""The path that a table means: with forward slashes, without `file://`, quotes and blanks around it.

    >>> plain_path(r' C:\data\a.wav '), plain_path("file:///data/caf%C3%A9.wav"), plain_path("./x//a.wav")
    ('C:/data/a.wav', '/data/café.wav', 'x/a.wav')
    """
    name = "".join(c for c in name if unicodedata.category(c) != "Cf").strip().strip("\"'").strip()
    if name.lower().startswith("file:"):
        name = re.sub(r"^/(?=[A-Za-z]:)", "", unquote(urlsplit(name.replace("\\", "/")).path))
    name = name.replace("\\", "/")
    root = "//" if re.match("//[^/]", name) else ""  # a network share
    return root + posixpath.normpath(name).lstrip("/" if root else "") if name else ""


def name_key(name: str) -> str:
    """The same string for names that differ only in letter case, Unicode form or invisible characters."""
    name = "".join(c for c in name if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def is_absolute(path: str) -> bool:
    """Whether a plain path is absolute on any system: from a root, a Windows drive or a network share."""
    return re.match(r"[A-Za-z]:|/", path) is not None


def match_files(files: Sequence[Path], names: Sequence[str], folder: Path) -> list[list[str]]:
    """For each file, those of the names that mean it; several are spellings of the same path.

    A name means the file at that path, seen from `folder`, or else a file of the same base name in any folder. Where
    several names have that base name, the one with the most folders in common is taken. Names that mean one of the
    files exactly are not matched by base name with another.

    Args:
        files: paths of this system.
        names: of files, as in a table.
        folder: where relative names start.

    Raises:
        EmofuseError: a file fits several names equally well, or a name several files.
    """
    names = list(dict.fromkeys(names))
    paths = {name: plain_path(name) for name in names}
    by_place = defaultdict(list)
    for name in names:
        for place in {(folder / path).resolve() for path in {name, paths[name]}}:
            by_place[place].append(name)
    matches = [by_place.get(file.resolve(), []) for file in files]
    taken = {name for found in matches for name in found}
    by_base = defaultdict(list)
    for name in names:
        if name not in taken:
            by_base[name_key(posixpath.basename(paths[name]))].append(name)
    owner: dict[str, Path] = {}
    for i, file in enumerate(files):
        if matches[i]:
            continue
        candidates = by_base.get(name_key(file.name)) or by_base.get(name_key(file.stem), [])
        matches[i] = _best(file, candidates, paths)
        for name in matches[i]:
            if owner.setdefault(name, file).resolve() != file.resolve():
                raise EmofuseError(f"{name} could be {owner[name]} or {file}. Write whole paths in the table.")
    return matches


class FileFinder:
    """Finds files whose names are spelled otherwise than in a table; lists each folder once."""

    def __init__(self) -> None:
        self._listings: dict[str, dict[str, set[str]]] = {}

    def find(self, path: str) -> str | None:
        """The file that a path means where no file has exactly that path: in other letter case, and so on.

        Args:
            path: with the separators of this system.

        Returns:
            None without such a file.

        Raises:
            EmofuseError: several files fit.
        """
        folder, name = os.path.split(path)
        if not os.path.isdir(folder):
            above = self.find(folder) if folder and folder != os.path.dirname(folder) else None
            if above is None or not os.path.isdir(above):
                return None
            folder = above
        alike = self._names_in(folder).get(name_key(name), set())
        if name in alike:
            return os.path.join(folder, name)
        if len(alike) > 1:
            raise EmofuseError(f"{path} could be any of {', '.join(sorted(alike))} in {folder}. Write the exact name.")
        return os.path.join(folder, *alike) if alike else None

    def _names_in(self, folder: str) -> dict[str, set[str]]:
        """Names in a folder by their keys; audio files also by their keys without ending, where no file has these."""
        if folder not in self._listings:
            by_key, by_stem = defaultdict(set), defaultdict(set)
            for name in os.listdir(folder):
                key = name_key(name)
                by_key[key].add(name)
                if key.endswith(AUDIO_ENDINGS):
                    by_stem[key.rpartition(".")[0]].add(name)
            self._listings[folder] = {**by_stem, **by_key}
        return self._listings[folder]


def _best(file: Path, names: list[str], paths: dict[str, str]) -> list[str]:
    """Those of the names that have most in common with the path of a file; they must be spellings of one path."""

    def score(name: str) -> tuple[bool, int]:
        parts, own = Path(paths[name]).parts, file.resolve().parts
        common = 0
        for a, b in zip(reversed(parts[:-1]), reversed(own[:-1]), strict=False):
            if name_key(a) != name_key(b):
                break
            common += 1
        return parts[-1] == file.name, common

    if len(names) < 2:
        return names
    scores = {name: score(name) for name in names}
    best = [name for name in names if scores[name] == max(scores.values())]
    if len({paths[name] for name in best}) > 1:
        raise EmofuseError(f"{file} could be any of {', '.join(sorted(best))}. Write whole paths in the table.")
    return best
