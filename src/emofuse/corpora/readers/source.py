"""Functions that the readers of corpora share: text in any encoding, audio files by name, missing audio, ratings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.audio_files import absent_files, absolute
from emofuse.corpora.table import check_table, make_table, without_absent_audio
from emofuse.csv_table import TableError, read_csv, read_text_file
from emofuse.file_names import AUDIO_ENDINGS

_SHOWN = 5
_log = logging.getLogger(__name__)


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, UTF-16 or else Windows-1252, with line ends as \\n.

    Raises:
        TableError: the file cannot be read.
    """
    return read_text_file(path, lambda file: file.read()).replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of each line that is not blank, without white space at the end."""
    return [(number, line.rstrip()) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]


def read_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Rows of a delimited file as (row number, cells by column), as `emofuse.csv_table.read_csv` reads them.

    Column names are matched in any case. An optional column that is missing gives empty cells.

    Raises:
        TableError: the file cannot be read, or a column is missing.
    """
    table = read_csv(path)
    place = {name.lower(): i for i, name in enumerate(table.header)}
    if missing := [column for column in columns if column.lower() not in place]:
        raise TableError(
            f"{path}: column {missing[0]!r} is missing; expected the file as published. The columns are "
            f"{', '.join(table.header)}."
        )
    wanted = {column: place[column.lower()] for column in (*columns, *optional) if column.lower() in place}
    blank = dict.fromkeys(optional, "")
    cells = zip(*(table.columns[i] for i in wanted.values()), strict=True) if wanted else ((),) * len(table.rows)
    return [
        (row, blank | dict(zip(wanted, values, strict=True))) for row, values in zip(table.rows, cells, strict=True)
    ]


class FilesByStem:
    """Audio files below a folder, by file name without ending, in any letter case.

    Args:
        folder: the folder to search; if it does not exist, it has no files.
        pattern: glob below the folder.
        endings: file endings; if a clip exists with several of them, the first is used.
    """

    def __init__(self, folder: Path, pattern: str = "**/*", endings: Sequence[str] = AUDIO_ENDINGS):
        self.folder, self.pattern, self.endings = folder, pattern, endings

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Each file by its lower-case stem; hidden files (such as ._x.wav) are ignored."""
        paths = [p for p in self.folder.glob(self.pattern) if p.suffix.lower() in self.endings and p.name[0] != "."]
        paths.sort(key=lambda p: (self.endings.index(p.suffix.lower()), p), reverse=True)
        return {p.stem.lower(): p for p in paths}

    def path(self, stem: str, expected: str | None = None) -> str:
        """Path of a file; if it is missing, the path where it should be: `expected` or stem.wav below the folder."""
        return str(self.paths.get(stem.lower(), self.folder / (expected or f"{stem}.wav")))


def scaled(rating: str | float | None, low: float, high: float, where: str) -> float | None:
    """Scale a rating from low..high to 0..1; None if it is empty or NaN.

    Raises:
        TableError: it is not a number, or not in low..high; `where` names file and row.

    >>> scaled("3", 1, 5, "labels.csv, row 2"), scaled("", 1, 5, "labels.csv, row 2")
    (0.5, None)
    """
    text = "" if rating is None else str(rating).strip()
    if text.lower() in ("", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise TableError(f"{where}: {text!r} is not a rating from {low:g} to {high:g}.")
    return (value - low) / (high - low)


def finish(
    rows: Sequence[Mapping[str, Any]], corpus: str, source: Path, *, allow_missing: bool = False
) -> pd.DataFrame:
    """Make and check the table of a reader; repeated rows are used once.

    Args:
        rows: as for `make_table`; `file` is the path of the clip, even if it does not exist.
        corpus: name of the corpus.
        source: the root or the file of labels, for messages.
        allow_missing: treat rows whose audio is missing as `without_absent_audio` does; otherwise they are an error.

    Raises:
        TableError: audio is missing (lists the first few), a key has two different rows, or what `check_table` raises.
    """
    df = make_table(_without_repeats(rows, source), corpus)
    df["file"] = absolute(df["file"].tolist(), os.getcwd())
    if allow_missing:
        df = without_absent_audio(df, str(source))
    elif absent := absent_files(df["file"].dropna()):
        shown = "\n  ".join(sorted(absent)[:_SHOWN])
        more = f"\n  and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        raise TableError(
            f"{source}: {len(absent)} of {df['file'].nunique()} audio files are missing:\n  {shown}{more}\n"
            "Complete the download, or use only the other files: --allow-missing (allow_missing = true in a recipe)."
        )
    return check_table(df, str(source))


def _without_repeats(rows: Sequence[Mapping[str, Any]], source: Path) -> list[Mapping[str, Any]]:
    first: dict[str, Mapping[str, Any]] = {}
    repeated = 0
    for row in rows:
        earlier = first.setdefault(row["key"], row)
        if earlier is not row:
            if earlier != row:
                differing = ", ".join(c for c in row if earlier.get(c) != row[c])
                raise TableError(f"{source}: {row['key']} has two rows that differ in {differing}. Remove one of them.")
            repeated += 1
    if repeated:
        _log.warning("%s: %d rows are repeated; each is used once", source, repeated)
    return list(first.values())
