"""Read the segments of recordings from a file: who says what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emofuse.csv_table import TableError
from emofuse.errors import EmofuseError
from emofuse.file_names import match_files
from emofuse.segment import Segment
from emofuse.timeline.segment_tables import read_segment_table


def read_segments(path: Path | str, files: Sequence[Path]) -> list[list[Segment]]:
    """Read a file of segments, and find those of each recording.

    Args:
        path: a table; see `read_segment_table`.
        files: paths of the recordings.

    Returns:
        The segments of each recording, in the order of the file; a single one without times is the whole recording.

    Raises:
        EmofuseError: the file cannot be read or is wrong, or what `match_segments` raises.
    """
    segments = read_segment_table(path)
    if not segments:
        raise TableError(f"{path}: the table has no rows.")
    return match_segments(files, segments, path)


def match_segments(files: Sequence[Path], segments: Sequence[Segment], source: Path | str) -> list[list[Segment]]:
    """The segments of each recording, by the names of recordings in a file of segments.

    Recordings are matched by path, relative to the folder of the file, or else by base name; see
    `emofuse.file_names.match_files`. Segments of other recordings are ignored, so that one file can serve many
    commands. Segments that name no recording are those of the only one.

    Args:
        files: paths of the recordings.
        segments: with names of recordings as the file has them.
        source: the file.

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
    except EmofuseError as error:
        raise EmofuseError(f"{source}: {error}") from error
    matched = []
    for file, names in zip(files, matches, strict=True):
        rows = [row for name in names for row in by_name[name]]
        if not rows:
            raise EmofuseError(f"{source}: no row for {file}. Add one (its text may be empty), or leave the file out.")
        whole = sum(row.is_whole for row in rows)
        if len(rows) > 1 and whole:
            raise EmofuseError(
                f"{source}: {len(rows)} rows for {file}, of which {whole} without start and end. "
                "Give both for each row, or keep one row."
            )
        matched.append([replace(row, file=file) for row in rows])
    return matched
