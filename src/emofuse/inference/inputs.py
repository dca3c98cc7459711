"""Find the recordings that the arguments of a command name: files, folders, patterns, lists, tables, standard input."""

from __future__ import annotations

import glob
import locale
import logging
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from emofuse.audio import Source, name_of
from emofuse.errors import EmofuseError
from emofuse.file_names import FileFinder, is_absolute, plain_path
from emofuse.segment import Segment
from emofuse.timeline.segment_files import read_segments
from emofuse.timeline.segment_tables import TABLE_ENDINGS, read_segment_table
from emofuse.words import has_words_or_emoji

STANDARD_INPUT = Path("-")
"""Stands for the recording on standard input."""

_ENDINGS = """
.3g2 .3gp .aac .ac3 .aif .aifc .aiff .amr .ape .asf .au .avi .caf .eac3 .flac .flv .m2ts .m4a .m4b .m4v .mka .mkv .mov
.mp2 .mp3 .mp4 .mpeg .mpg .mts .nist .oga .ogg .ogv .opus .rf64 .snd .sph .ts .w64 .wav .wave .webm .wma .wmv .wv
"""
RECORDING_ENDINGS = frozenset(_ENDINGS.split())
"""Endings of the files that count as recordings when a folder is given."""

_STANDARD_INPUT_NAMES = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """A recording to predict, and what is known about it before.

    Attributes:
        file: its path, which need not exist; `STANDARD_INPUT`; None for a text alone.
        segments: the segments to predict; None to find the utterances. A single segment without times is the whole
            recording with its words. Empty if nobody speaks.
        speaker: who speaks in the whole recording, if known.
        channel: number of the channel to predict, from 1; None for all.
        extra: further columns of the recording's row in a table. Segments have those of their own rows.
    """

    file: Path | None
    segments: list[Segment] | None = None
    speaker: str | None = None
    channel: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def source(self) -> Source | None:
        """Return what `emofuse.audio` reads: the path, the bytes of standard input or of a pipe, or None for a text.

        Raises:
            EmofuseError: standard input or the pipe cannot be read, or the path is a folder without recordings.
        """
        if self.file is None:
            return None
        try:
            if self.file == STANDARD_INPUT:
                return sys.stdin.buffer.read()
            if self.file.is_fifo():
                return self.file.read_bytes()
        except OSError as error:
            raise EmofuseError(f"{name_of(self.file)}: it cannot be read ({error.strerror}).") from error
        if self.file.is_dir():
            raise EmofuseError(
                f"{name_of(self.file)}: the folder has no recordings. Expected names that end in .wav, .flac, .mp3, "
                ".m4a, .mp4 or the like; name files with other endings one by one, or by a pattern."
            )
        return self.file


def find_recordings(
    arguments: Sequence[Path | str],
    *,
    text: str | None = None,
    segments: Path | str | None = None,
    results: Collection[str] = (),
) -> list[Recording]:
    """Find the recordings that arguments name, in their order; one that is named twice appears twice.

    An argument is a file; a folder, searched with the folders in it for names that end like recordings, in sorted
    order; a pattern with `*`, `?` or `[]`; `@FILE`, a list with a path a line; a table (.csv, .tsv or .parquet) with
    the column file, which may have text, start, end, speaker and more; or `-` for standard input. Hidden files and
    folders, whose names begin with a dot, are left out. Paths in lists and tables start at the folder of the list or
    table, or else at the current one. A missing file, a pattern that nothing matches and a folder without recordings
    are included: reading them fails later, so that they do not keep the others from being predicted.

    Args:
        arguments: as above; may be empty if there is a text.
        text: words of the only recording, or to predict without one.
        segments: file of segments of the recordings, for `emofuse.timeline.segment_files.read_segments`.
        results: absolute paths of results of earlier runs, which are left out where arguments name them.

    Raises:
        EmofuseError: the arguments do not go together, or a list or table cannot be read.

    >>> [recording.file.name for recording in find_recordings(["b.wav", "a.flac"])]
    ['b.wav', 'a.flac']
    """
    if text is not None and segments is not None:
        raise EmofuseError("Give --text or --segments, not both.")
    if text is not None and not has_words_or_emoji(text):
        raise EmofuseError("--text has no words. Give them, or leave it out.")
    if not arguments:
        if text is None:
            raise EmofuseError("Nothing to predict from: name one or more recordings, or give --text.")
        return [Recording(None, [Segment(None, text)])]
    recordings = [recording for argument in arguments for recording in _expand_argument(os.fspath(argument), results)]
    if not recordings:
        raise EmofuseError("Nothing to predict from: all inputs are results of an earlier run.")
    if sum(recording.file == STANDARD_INPUT for recording in recordings) > 1:
        raise EmofuseError("Standard input is named twice, but it can be read only once.")
    if text is None and segments is None:
        return recordings
    option = "--text" if segments is None else "--segments"
    if any(recording.segments is not None for recording in recordings):
        raise EmofuseError(f"The table of recordings has words or times itself. Leave {option} out.")
    if text is not None:
        if len(recordings) > 1:
            raise EmofuseError(
                f"--text goes with one recording ({len(recordings)} given). Use --segments with a table for several."
            )
        return [replace(recordings[0], segments=[Segment(recordings[0].file, text)])]
    assert segments is not None
    found = read_segments(segments, [recording.file or STANDARD_INPUT for recording in recordings])
    return [_with_segments(recording, rows) for recording, rows in zip(recordings, found, strict=True)]


def _with_segments(recording: Recording, rows: list[Segment]) -> Recording:
    """Add segments to a recording. What a single row without times says is about the whole recording."""
    if len(rows) != 1 or not rows[0].is_whole:
        return replace(recording, segments=rows)
    [row] = rows
    return replace(
        recording,
        segments=None if row.text is None else rows,
        speaker=row.speaker or recording.speaker,
        channel=row.channel or recording.channel,
        extra={**recording.extra, **row.extra},
    )


def _expand_argument(argument: str, results: Collection[str]) -> Iterator[Recording]:
    """Yield the recordings that one argument names."""
    if argument in _STANDARD_INPUT_NAMES:
        yield Recording(STANDARD_INPUT)
    elif argument.startswith("@") and not os.path.exists(argument):
        yield from _read_list(Path(argument[1:]), results)
    else:
        yield from _expand_path(argument, results)


def _expand_path(path: str, results: Collection[str]) -> Iterator[Recording]:
    """Yield the recordings that a path names: of a file, folder, pattern or table."""
    if os.path.isdir(path):
        files = _search_folder(path)
        if files or os.path.abspath(path) not in results:
            yield from map(Recording, files or [Path(path)])
    elif results and os.path.abspath(path) in results:
        return
    elif path.lower().endswith(TABLE_ENDINGS):
        yield from _read_table(Path(path))
    elif glob.has_magic(path) and not os.path.exists(path):
        matches = sorted(glob.glob(path, recursive=True))
        for match in matches:
            yield from _expand_path(match, results)
        if not matches:
            yield Recording(Path(path))
    else:
        yield Recording(Path(path))


def _search_folder(top: str) -> list[Path]:
    """Find the recordings in a folder and in the folders below it."""

    def warn(error: OSError) -> None:
        _log.warning("%s: the folder cannot be read (%s) and is left out", name_of(error.filename), error.strerror)

    files: list[Path] = []
    visited: set[str] = set()
    for folder, below, names in os.walk(top, onerror=warn, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link that leads back
            below.clear()
            continue
        visited.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        visible = (name for name in sorted(names) if not name.startswith("."))
        files += [Path(folder, name) for name in visible if os.path.splitext(name)[1].lower() in RECORDING_ENDINGS]
    return files


def _read_list(path: Path, results: Collection[str]) -> Iterator[Recording]:
    """Yield the recordings of a text file with a path a line; skip blank lines and those that begin with #."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmofuseError(f"@{name_of(path)}: the list cannot be read ({error.strerror}).") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode()
    find = _PathFinder(path.parent)
    empty = True
    for line in content.removeprefix(b"\xef\xbb\xbf").splitlines():
        if line.strip() and not line.lstrip().startswith(b"#"):
            empty = False
            yield from _expand_path(find(*_decoded(line)), results)
    if empty:
        raise EmofuseError(f"@{name_of(path)}: the list is empty. Expected the path of a recording on each line.")


def _decoded(line: bytes) -> list[str]:
    """Decode a line as a file name of this system and, if it is not UTF-8, as text in another program's encoding."""
    names = [os.fsdecode(line)]
    try:
        line.decode()
    except UnicodeDecodeError:
        local = locale.getencoding()
        names.append(line.decode("cp1252" if local.lower() in ("utf-8", "ascii") else local, "replace"))
    return names


def _read_table(path: Path) -> Iterator[Recording]:
    """Yield the recordings of a table in the order of their first rows, with their segments if rows have times."""
    find = _PathFinder(path.parent)
    timed: dict[Path, list[Segment]] = {}
    recordings: list[Recording] = []
    whole: set[Path] = set()
    rows = read_segment_table(path, only_files=True)
    if not rows:
        raise EmofuseError(f"{name_of(path)}: the table has no rows.")
    for row in rows:
        file = Path(find(str(row.file)))
        row = replace(row, file=file)
        if row.is_whole:
            whole.add(file)
            recordings.append(_with_segments(Recording(file), [row]))
        elif file in timed:
            timed[file].append(row)
        else:
            timed[file] = [row]
            recordings.append(Recording(file, timed[file]))
    if both := whole & timed.keys():
        raise EmofuseError(
            f"{name_of(path)}: some rows for {name_of(min(both))} have start and end and others have not. "
            "Give both for each row of a recording, or keep one row."
        )
    yield from recordings


class _PathFinder:
    """Finds files that a list or table names, in its folder or else in the current one, however they are spelled."""

    def __init__(self, folder: Path) -> None:
        self._folders = list(dict.fromkeys((str(folder), ".")))
        self._by_spelling = FileFinder()

    def __call__(self, *names: str) -> str:
        """The path of the first name that exists, as another system may spell it; else of the first in the folder.

        Raises:
            EmofuseError: a name fits several files.
        """
        spellings = list(dict.fromkeys([*names, *map(plain_path, names)]))
        for spelling in spellings:
            for path in self._paths(spelling):
                if os.path.lexists(path) or glob.has_magic(path):
                    return path
        for spelling in spellings[len(names) :] or spellings:
            for path in self._paths(spelling):
                with suppress(OSError):  # a folder that cannot be read
                    if found := self._by_spelling.find(path):
                        return found
        return self._paths(plain_path(names[0]))[0]

    def _paths(self, name: str) -> list[str]:
        is_whole = is_absolute(name) or os.path.isabs(name)
        return [name] if is_whole else [os.path.join(folder, name) for folder in self._folders]
