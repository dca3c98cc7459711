"""Which recordings to predict, with which words: a list of files matched with a table of transcripts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emofuse.errors import EmofuseError
from emofuse.words import has_words


@dataclass(frozen=True)
class Clip:
    """A recording (None for text alone) or a stretch of one, in seconds, and its words (None if not known)."""

    file: Path | None = None
    text: str | None = None
    start: float = 0.0
    end: float | None = None


def clips_of(files: Sequence[Path], *, text: str | None = None, transcripts: Path | str | None = None) -> list[Clip]:
    """The clips that a command names: files, one file with its text, a text alone, or files with a table.

    Raises:
        EmofuseError: the combination makes no sense, or the table does not fit the files.
    """
    if text is not None and transcripts is not None:
        raise EmofuseError("Give --text or --transcripts, not both.")
    if text is not None:
        if not has_words(text):
            raise EmofuseError("--text has no words. Give them, or leave it out.")
        if len(files) > 1:
            raise EmofuseError(f"--text goes with one recording ({len(files)} given). Use --transcripts for several.")
        return [Clip(files[0] if files else None, text)]
    if not files:
        raise EmofuseError("Nothing to predict from: name one or more recordings, or give --text.")
    if transcripts is None:
        return [Clip(file) for file in files]
    return match_transcripts(files, read_transcripts(transcripts), transcripts)


def read_transcripts(path: Path | str) -> list[Clip]:
    """Read a CSV file with columns `file` and `text`, and `start` and `end` (seconds) where wanted.

    Relative files are taken relative to the CSV file. An empty text, or one of marks alone ("..."),
    means that the words are not known.

    Raises:
        EmofuseError: the file cannot be read, a column is missing or unknown, or a row is wrong.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmofuseError(f"{path}: transcripts cannot be read ({error}). Expected a CSV file in UTF-8.") from error
    if not {"file", "text"} <= columns <= {"file", "text", "start", "end"}:
        raise EmofuseError(f"{path}: expected the columns file,text and perhaps start,end (found {sorted(columns)}).")
    return [_clip(row, path, number) for number, row in enumerate(rows, start=2)]


def match_transcripts(files: Sequence[Path], transcripts: Sequence[Clip], source: Path | str) -> list[Clip]:
    """The clips to predict: for each file its rows of the transcripts, matched by path, or else by base name.

    Rows of other files are left aside, so that one table may serve for many commands.

    Raises:
        EmofuseError: a file has no row, or its base name stands for several files in the table.
    """
    of_path: dict[Path, list[Clip]] = {}
    of_name: dict[str, list[Clip]] = {}
    for row in transcripts:
        if row.file is not None:
            of_path.setdefault(row.file.resolve(), []).append(row)
            of_name.setdefault(row.file.name, []).append(row)
    clips: list[Clip] = []
    for file in files:
        rows = of_path.get(file.resolve()) or of_name.get(file.name, [])
        if not rows:
            raise EmofuseError(f"{source}: no row for {file}. Add one (its text may be empty), or leave the file out.")
        if len(found := {row.file for row in rows}) > 1:
            raise EmofuseError(f"{source}: {file.name} could be any of {sorted(map(str, found))}. Write whole paths.")
        if len(rows) > 1 and (double := [row for row in rows if row.start == 0.0 and row.end is None]):
            raise EmofuseError(
                f"{source}: {len(rows)} rows for {file}, of which {len(double)} without start and end. "
                "Give both for each row, or keep one row."
            )
        clips.extend(Clip(file, row.text, row.start, row.end) for row in rows)
    return clips


def _clip(row: dict[str, str], path: Path, number: int) -> Clip:
    if None in row or None in row.values():
        raise EmofuseError(f"{path}, row {number}: not as many fields as columns. Quote texts that hold a comma.")
    if not row["file"].strip():
        raise EmofuseError(f"{path}, row {number}: the file is missing.")
    try:
        start = float(row.get("start") or 0.0)
        end = float(row["end"]) if row.get("end") else None
    except ValueError as error:
        raise EmofuseError(f"{path}, row {number}: start and end are seconds ({error}).") from None
    if not (start >= 0 and (end is None or end > start)):
        raise EmofuseError(f"{path}, row {number}: expected 0 <= start < end (found {start} and {end}).")
    return Clip(path.parent / row["file"].strip(), row["text"].strip() if has_words(row["text"]) else None, start, end)
