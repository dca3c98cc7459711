"""Read segments from tables: CSV, TSV and Parquet with the columns file, start, end, text, speaker and channel."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emofuse.csv_table import MISSING, MISSING_TEXTS, CsvTable, TableError, number, read_csv, standard_names
from emofuse.segment import Segment
from emofuse.words import has_words_or_emoji

TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".parquet", ".xlsx", ".xls", ".ods")
"""Endings of tables and of spreadsheets. The latter cannot be read; the error says what to do."""

_COLUMNS = ("file", "text", "start", "end", "speaker", "channel")
_log = logging.getLogger(__name__)


def read_segment_table(path: Path | str, *, only_files: bool = False) -> list[Segment]:
    """Read a table of segments, or of recordings, a row each.

    Start and end are seconds, or clock times such as 1:02.5 and "0 days 00:00:01.5" (audformat). A row without them is
    about the whole recording. An empty text, or one of marks alone ("..."), means that the transcript is not known. The
    column channel counts if it holds whole numbers from 1. All other columns are kept in `Segment.extra`. Rows without
    a file are left out with a warning.

    Args:
        path: .parquet, or text in any dialect of `emofuse.csv_table`.
        only_files: whether the table may list recordings alone; it needs the column file then. Otherwise it needs a
            column text, start, end or speaker, and may leave out the file.

    Returns:
        Segments in the order of the rows. `Segment.file` is the name in the table; None if it has no column file.

    Raises:
        TableError: the file cannot be read, a column is missing, or a row is wrong.
    """
    return _segments_of(_read_table(Path(path)), only_files=only_files)


def read_audformat(header: Path) -> list[Segment]:
    """Read the segments of an audformat database; needs PyYAML.

    The rows of its segmented tables are joined by file, start and end; without such tables, those of its filewise
    tables by file. Codes are replaced by what the labels of their scheme say. Columns mean what they mean to
    `read_segment_table`.

    Args:
        header: db.yaml, beside the tables as CSV or Parquet.

    Raises:
        TableError: the database cannot be read, or a row is wrong.
    """
    try:
        import yaml
    except ImportError as error:
        raise TableError(f"{header}: audformat needs PyYAML. Install it (pip install pyyaml).") from error
    try:
        tree = yaml.load(header.read_text("utf-8-sig"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        segmented = {name: table for name, table in tree["tables"].items() if table["type"] == "segmented"}
        rows: dict[tuple[str, ...], dict[str, str]] = {}
        for name, table in (segmented or tree["tables"]).items():
            columns = _audformat_columns(header, name, table.get("columns") or {}, tree.get("schemes") or {})
            for cells in zip(*columns.values(), strict=True):
                values = {column: cell for column, cell in zip(columns, cells, strict=True) if cell not in MISSING}
                key = tuple(values.get(column, "") for column in ("file", "start", "end"))
                rows[key] = values | rows.get(key, {})
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{header}: the database cannot be read ({type(error).__name__}: {error}).") from error
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    cells_by_name = [[values.get(name, "") for values in rows.values()] for name in names]
    return _segments_of(CsvTable(header, names, cells_by_name, list(range(2, len(rows) + 2))), only_files=True)


def _audformat_columns(
    header: Path, table: str, schemes_of_columns: dict[str, Any], schemes: dict[str, Any]
) -> dict[str, list[str]]:
    """The columns of one table, with the texts of schemes in place of their codes."""
    paths = [header.with_name(f"{header.stem}.{table}{ending}") for ending in (".csv", ".parquet")]
    columns = _read_table(next(filter(Path.is_file, paths), paths[0])).by_name()
    for column, facts in schemes_of_columns.items():
        labels = (schemes.get(facts.get("scheme_id")) or {}).get("labels")
        if isinstance(labels, dict):
            texts = {str(code): text for code, text in labels.items() if isinstance(text, str)}
            columns[column] = [texts.get(cell, cell) for cell in columns[column]]
    return columns


def _read_table(path: Path) -> CsvTable:
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path)


def _segments_of(table: CsvTable, *, only_files: bool) -> list[Segment]:
    path = table.path
    columns = table.by_name()
    for old, new in standard_names(list(columns), _COLUMNS).items():
        columns[new] = columns.pop(old)
    _check_columns(columns, path, only_files=only_files)
    known = list(_COLUMNS)
    if not all(re.fullmatch(r"[1-9][0-9]?(\.0)?", cell) or cell in MISSING for cell in columns.get("channel", ())):
        known.remove("channel")  # of television, say
    blank = [""] * len(table.rows)
    cells = zip(*(columns.get(name, blank) if name in known else blank for name in _COLUMNS), strict=True)
    extra = {name: values for name, values in columns.items() if name not in known}
    further = [dict(zip(extra, values, strict=True)) for values in zip(*extra.values(), strict=True)]
    rows = zip(table.rows, cells, further or [{} for _ in blank], strict=True)
    segments = [
        _segment(row_cells, others, f"{path}, row {row}")
        for row, row_cells, others in rows
        if "file" not in columns or row_cells[0] not in MISSING
    ]
    if left_out := len(table.rows) - len(segments):
        _log.warning("%s: %d rows have no file and are left out", path, left_out)
    return segments


def seconds_of(time: str) -> float:
    """Seconds of a number or of a clock time; NaN where a cell means "no value".

    Raises:
        ValueError: the text is neither.

    >>> seconds_of("62,5"), seconds_of("1:02.5"), seconds_of("00:01:02,500"), seconds_of("0 days 00:01:02.5")
    (62.5, 62.5, 62.5, 62.5)
    """
    clock = re.fullmatch(r"(?:(\d+) days? \+?)?(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d*)?)", time.strip())
    if clock is None:
        return number(time)
    days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def check_times(start: float, end: float | None, where: str) -> None:
    """Check that a segment starts before it ends.

    Args:
        start: in seconds.
        end: in seconds; None for the end of the recording.
        where: file and row, for the message.

    Raises:
        TableError: it does not, or a time is negative or not finite.
    """
    if not (math.isfinite(start) and start >= 0 and (end is None or (math.isfinite(end) and end > start))):
        raise TableError(f"{where}: expected 0 <= start < end, but start is {start:g} and end is {end}.")


def _check_columns(columns: dict[str, list[str]], path: Path | str, *, only_files: bool) -> None:
    """Check that the table has the columns that are needed.

    Raises:
        TableError: it has not.
    """
    header = ", ".join(columns)
    if only_files and "file" not in columns:
        raise TableError(f"{path}: no column 'file'; the header has {header}. Name the column of the recordings file.")
    if not only_files and not {"text", "start", "end", "speaker"} & set(columns):
        raise TableError(
            f"{path}: no column 'text' and no columns 'start' and 'end'; the header has {header}. Expected the columns "
            "file,text and, for parts of recordings, start,end."
        )


def _segment(cells: tuple[str, ...], extra: dict[str, str], where: str) -> Segment:
    file, text, start, end, speaker, channel = cells
    try:
        first, last = seconds_of(start), seconds_of(end)
    except ValueError:
        raise TableError(f"{where}: start {start!r} and end {end!r} must be numbers, in seconds.") from None
    segment = Segment(
        Path(file) if file else None,
        text if has_words_or_emoji(text) and text not in MISSING_TEXTS else None,
        0.0 if math.isnan(first) else first,
        None if math.isnan(last) else last,
        None if speaker in MISSING else speaker,
        None if channel in MISSING else int(float(channel)),
        extra,
    )
    check_times(segment.start, segment.end, where)
    return segment


def _read_parquet(path: Path) -> CsvTable:
    """Read a Parquet file as cells of text, "" where there is no value."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TableError(f"{path}: Parquet needs pyarrow. Install it (pip install pyarrow), or give CSV.") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise TableError(f"{path}: the file cannot be read ({str(error).splitlines()[0]}).") from error
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    columns = []
    for name in names:
        column = table[name]
        if pyarrow.types.is_duration(column.type):
            column = column.cast(pyarrow.duration("us"), safe=False)
        columns.append(list(_cells(column.to_pylist())))
    return CsvTable(path, names, columns, list(range(2, table.num_rows + 2)))


def _cells(values: list[object]) -> Iterator[str]:
    for value in values:
        missing = value is None or value != value  # NaN
        seconds = getattr(value, "total_seconds", None)
        yield "" if missing else str(seconds()) if seconds else str(value).strip()
