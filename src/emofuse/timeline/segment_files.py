"""Read the segments of recordings from a file: who says what, and when."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from emofuse.audio import name_of
from emofuse.csv_table import TableError, read_text_file
from emofuse.errors import EmofuseError
from emofuse.file_names import match_files
from emofuse.segment import Segment
from emofuse.timeline.cues import read_audacity_labels, read_rttm, read_subtitles
from emofuse.timeline.segment_tables import read_audformat, read_segment_table
from emofuse.timeline.tiers import read_eaf, read_textgrid

_log = logging.getLogger(__name__)


def read_segments(path: Path | str, files: Sequence[Path]) -> list[list[Segment]]:
    """Read a file of segments, and find those of each recording.

    The format is known by the ending or else by the content: a table (see `read_segment_table`), a Praat TextGrid or an
    ELAN document (see `emofuse.timeline.tiers`), SRT or WebVTT subtitles, Audacity labels or RTTM (see
    `emofuse.timeline.cues`), or an audformat database (its folder or db.yaml).

    Args:
        path: the file. Subtitles, labels, TextGrids and ELAN documents are about a single recording; for several, give
            a folder in which each recording has a file of its name (call.TextGrid for call.wav).
        files: paths of the recordings.

    Returns:
        The segments of each recording; a single one without times is the whole recording. RTTM does not name recordings
        in which nobody speaks: one that it does not name has no segments, and a warning says so.

    Raises:
        EmofuseError: the file cannot be read, is wrong or has no segments, or what `match_segments` raises.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "db.yaml").is_file():
            return _from_folder(path, files)
        path = path / "db.yaml"
    read = _reader(path)
    segments = read(path)
    if not segments:
        raise TableError(f"{path}: it has no segments. Expected a row or an interval for each, with start and end.")
    if read is not read_rttm:
        return match_segments(files, segments, path)
    with_blanks = {re.sub(r"\s+", "_", name): name for file in files for name in (file.stem, file.name, str(file))}
    named = [replace(one, file=Path(with_blanks.get(str(one.file), str(one.file)))) for one in segments]
    return match_segments(files, named, path, allow_missing=True)


_READERS = {
    ".csv": read_segment_table,
    ".tsv": read_segment_table,
    ".parquet": read_segment_table,
    ".rttm": read_rttm,
    ".textgrid": read_textgrid,
    ".eaf": read_eaf,
    ".srt": read_subtitles,
    ".vtt": read_subtitles,
    ".yaml": read_audformat,
}


def _from_folder(folder: Path, files: Sequence[Path]) -> list[list[Segment]]:
    """Read the segments of each recording from the file in a folder that has its name.

    Raises:
        EmofuseError: a recording has no such file, or several.
    """
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _READERS:
            by_stem.setdefault(path.stem, []).append(path)
    found = []
    for file in files:
        paths = by_stem.get(file.stem, [])
        if len(paths) != 1:
            names = ", ".join(path.name for path in paths) or f"none such as {file.stem}.TextGrid or {file.stem}.srt"
            raise EmofuseError(f"{folder}: expected one file of segments for {name_of(file)}, but there is {names}.")
        found += read_segments(paths[0], [file])
    return found


def _reader(path: Path) -> Callable[[Path], list[Segment]]:
    """Choose the reader for a file by its ending or else by its content."""
    if reader := _READERS.get(path.suffix.lower()):
        return reader
    start = read_text_file(path, lambda file: file.read(4096)).lstrip()
    for pattern, reader in (
        (r"WEBVTT|(\d+\s+)?[\d:.,]+ *-->", read_subtitles),
        ('File type = "oo|"ooTextFile"', read_textgrid),
        (r";;|SPEAKER\s+\S+\s+\S+\s+[\d.]", read_rttm),
        (r"<\?xml|<ANNOTATION_DOCUMENT", read_eaf),
        (r"[\d.,]+\t[\d.,]+[\t\r\n]", read_audacity_labels),
    ):
        if re.match(pattern, start):
            return reader
    return read_segment_table


def match_segments(
    files: Sequence[Path], segments: Sequence[Segment], source: Path | str, *, allow_missing: bool = False
) -> list[list[Segment]]:
    """Find the segments of each recording by the names of recordings in a file of segments.

    Recordings are matched by path, relative to the folder of the file, or else by base name; see
    `emofuse.file_names.match_files`. Segments of other recordings are ignored, so that one file can serve many
    commands. Segments that name no recording are those of the only one.

    Args:
        files: paths of the recordings.
        segments: with names of recordings as the file has them.
        source: the file.
        allow_missing: whether some recordings may have no segments; a warning names them.

    Raises:
        EmofuseError: a recording has no row, it is not clear which rows are meant, or a recording has several rows of
            which one lacks start and end.
    """
    by_name: dict[str, list[Segment]] = {}
    for segment in segments:
        if segment.file is None and len(files) > 1:
            raise EmofuseError(
                f"{source}: it does not say which of the {len(files)} recordings it is about. Add a column 'file', or "
                "give one recording at a time."
            )
        by_name.setdefault(str(segment.file or files[0]), []).append(segment)
    try:
        matches = match_files(files, list(by_name), Path(source).parent)
    except (EmofuseError, ValueError) as error:  # ValueError: a name with a zero byte
        raise EmofuseError(f"{source}: {error}") from error
    if ignored := len(segments) - sum(len(by_name[name]) for name in {name for names in matches for name in names}):
        _log.warning("%s: %d of %d rows are about other recordings and are ignored", source, ignored, len(segments))
    matched = []
    for file, names in zip(files, matches, strict=True):
        rows = [row for name in names for row in by_name[name]]
        if not rows and allow_missing and any(matches):
            _log.warning("%s: no turns for %s, so that nobody speaks in it", source, name_of(file))
        elif not rows:
            raise EmofuseError(
                f"{source}: no row for {name_of(file)}. Add one (its text may be empty), or leave the file out."
            )
        whole = sum(row.is_whole for row in rows)
        if len(rows) > 1 and whole:
            raise EmofuseError(
                f"{source}: {len(rows)} rows for {name_of(file)}, of which {whole} without start and end. "
                "Give both for each row, or keep one row."
            )
        matched.append([replace(row, file=file) for row in rows])
    return matched
