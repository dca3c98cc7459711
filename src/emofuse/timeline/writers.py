"""Write predictions one by one, as they come: a table that grows on the terminal, JSON, JSON Lines, CSV or Parquet.

    with open_writer(sys.stdout, "jsonl", labels=bundle.labels) as writer:
        for prediction in predictions:
            writer.write(prediction)

The output is valid after `close`, which also runs if the block fails or is interrupted: a list that ends, or a header
without rows. JSON Lines and CSV are valid after each record.
"""

from __future__ import annotations

import csv
import io
import json
import locale
import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from emofuse.console import as_text
from emofuse.errors import EmofuseError
from emofuse.labels import DIMENSIONS
from emofuse.timeline.prediction import Prediction, Timeline
from emofuse.timeline.tables import (
    NO_EXTRA,
    base_name,
    empty_record,
    failure_record,
    flat_record,
    lane,
    prediction_record,
    table_columns,
)

DEFAULT_WIDTH = 100  # characters of a table that does not go to a terminal
_MARGIN, _GAP = 1, 3  # characters before the first column and between two
_MIN_FILE, _MAX_FILE = 6, 24
_MIN_TRANSCRIPT, _MAX_TRANSCRIPT = 11, 60
_ROWS_AT_ONCE = 10_000  # in a row group of Parquet
_FORMULA = ("=", "+", "-", "@")


class Writer:
    """Writes predictions, and notes on recordings without any, one by one. Use it as a context manager."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream
        self._closed = False

    def write(self, prediction: Prediction, *, extra: Mapping[str, str | None] = NO_EXTRA) -> None:
        """Write a prediction, with the further columns of its row in the user's table."""
        self.write_record(prediction_record(prediction, extra=extra))

    def write_empty(self, timeline: Timeline, *, extra: Mapping[str, str | None] = NO_EXTRA) -> None:
        """Write that nobody speaks in a recording, with the notes of its timeline."""
        self.write_record(empty_record(timeline, extra=extra))

    def write_failure(self, file: str, reason: str, *, extra: Mapping[str, str | None] = NO_EXTRA) -> None:
        """Write that a file could not be predicted; a table for the terminal leaves it out."""
        self.write_record(failure_record(file, reason, extra=extra))

    def write_record(self, record: dict[str, Any]) -> None:
        """Write a record of `emofuse.timeline.tables`.

        Raises:
            EmofuseError: the stream cannot be written to; the other methods raise it too.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Complete the output. The stream stays open. Further calls have no effect."""
        if not self._closed:
            self._closed = True
            self._finish()

    def _finish(self) -> None:
        """Write what ends the output."""

    def _put(self, content: str) -> None:
        with _reported():
            self._stream.write(content)
            self._stream.flush()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _reported() -> Iterator[None]:
    """Turn the errors of a stream, such as a full disk or a reader that has gone, into an `EmofuseError`."""
    try:
        yield
    except OSError as error:
        raise EmofuseError(f"The output cannot be written ({error.strerror or error}).") from error


def open_writer(
    stream: IO[Any],
    form: str,
    *,
    labels: Sequence[str],
    extra: Sequence[str] = (),
    excel: bool = False,
    width: int | None = None,
    colour: bool = False,
) -> Writer:
    """A writer of predictions to an open stream.

    Args:
        stream: an open text file or standard output, which is switched to UTF-8 unless the form is "table"; for Parquet
            also a binary file. The caller closes it, after the writer.
        form: "table", "json", "jsonl", "csv" or "parquet".
        labels: categories of the model, which become columns.
        extra: names of the further columns that CSV and Parquet carry through from the user's table. JSON has those
            that a record is written with, and the table for the terminal has none.
        excel: write CSV that Excel opens by a double click (see `_excel_marks`); for CSV only.
        width: characters of the table; None for the width of the terminal if `colour`, else 100.
        colour: whether the table has terminal codes for colour.

    Raises:
        EmofuseError: the form is unknown, `excel` does not suit it, or a library for it is missing.
    """
    if form not in RECORD_FORMS:
        raise EmofuseError(f"The format {form!r} is unknown. Expected one of {', '.join(RECORD_FORMS)}.")
    if excel and form != "csv":
        raise EmofuseError(f"Only CSV can be written for Excel, but the format is {form}.")
    if form == "table":
        return TableWriter(stream, labels, width=width, colour=colour)
    if form == "parquet":
        return ParquetWriter(getattr(stream, "buffer", stream), labels, extra)
    if isinstance(stream, io.TextIOWrapper):  # what programs read does not depend on the terminal
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    if form == "csv":
        return CsvWriter(stream, labels, extra, excel=excel)
    return JsonWriter(stream) if form == "json" else JsonLinesWriter(stream)


RECORD_FORMS = ("table", "json", "jsonl", "csv", "parquet")
"""The forms that `open_writer` writes."""


class JsonWriter(Writer):
    """Writes a JSON list of objects."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._is_empty = True
        self._put("[")

    def write_record(self, record: dict[str, Any]) -> None:
        """Write an object of the list."""
        content = textwrap.indent(json.dumps(record, indent=2, ensure_ascii=False), "  ")
        self._put(f"\n{content}" if self._is_empty else f",\n{content}")
        self._is_empty = False

    def _finish(self) -> None:
        self._put("]\n" if self._is_empty else "\n]\n")


class JsonLinesWriter(Writer):
    """Writes one JSON object a line."""

    def write_record(self, record: dict[str, Any]) -> None:
        """Write a line."""
        self._put(json.dumps(record, ensure_ascii=False) + "\n")


class CsvWriter(Writer):
    """Writes CSV, with the header first."""

    def __init__(self, stream: IO[str], labels: Sequence[str], extra: Sequence[str], *, excel: bool) -> None:
        super().__init__(stream)
        self._labels, self._extra = labels, extra
        self._lines = CsvLines(excel=excel)
        self._put(self._lines.header(table_columns(labels, extra)))

    def write_record(self, record: dict[str, Any]) -> None:
        """Write a row."""
        self._put(self._lines.row(flat_record(record, self._labels, self._extra).values()))


class CsvLines:
    """Lines of CSV, for programs or for Excel (see `_excel_marks`)."""

    def __init__(self, *, excel: bool) -> None:
        self._excel = excel
        self._separator, self._decimal_mark = _excel_marks() if excel else (",", ".")

    def header(self, columns: Iterable[str]) -> str:
        """The first line."""
        return ("\ufeff" if self._excel else "") + self.row(columns)

    def row(self, cells: Iterable[Any]) -> str:
        """A line of cells; None is an empty cell."""
        buffer = io.StringIO()
        cells = map(self._for_excel, cells) if self._excel else cells
        csv.writer(buffer, delimiter=self._separator, lineterminator="\n").writerow(cells)
        return buffer.getvalue()

    def _for_excel(self, cell: Any) -> Any:
        if isinstance(cell, float):
            return str(cell).replace(".", self._decimal_mark)
        if isinstance(cell, str) and cell.startswith(_FORMULA):
            return f"'{cell}"  # Excel would run "=..." and take "- no" for a formula with an error
        return cell


def _excel_marks() -> tuple[str, str]:
    """The separator and the decimal mark with which Excel saves CSV in the region of this computer.

    Excel reads CSV by the region of the computer, so that no one file opens everywhere. It expects semicolons where the
    decimal mark is a comma, and there takes 3.4 for the third of April. A first line "sep=;" would name the separator
    but makes Excel ignore the byte order mark, and with it the encoding. So the file is written as Excel writes it.
    """
    before = locale.setlocale(locale.LC_NUMERIC)
    with suppress(locale.Error):
        locale.setlocale(locale.LC_NUMERIC, "")
    mark = str(locale.localeconv()["decimal_point"])
    locale.setlocale(locale.LC_NUMERIC, before)
    return (";", ",") if mark == "," else (",", ".")


class ParquetWriter(Writer):
    """Writes Parquet with the columns of CSV, in row groups, so that memory does not grow with the number of rows."""

    def __init__(self, stream: IO[bytes], labels: Sequence[str], extra: Sequence[str]) -> None:
        super().__init__(stream)
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise EmofuseError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from error
        types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
        own = len(table_columns(labels))
        columns = table_columns(labels, extra)
        fields = [(name, types[_COLUMN_TYPES.get(name, float)]) for name in columns[:own]]
        self._schema = pa.schema([*fields, *((name, pa.string()) for name in columns[own:])])
        self._labels, self._extra = labels, extra
        self._rows: list[dict[str, Any]] = []
        self._parquet = pq.ParquetWriter(stream, self._schema)

    def write_record(self, record: dict[str, Any]) -> None:
        """Add a row."""
        self._rows.append(flat_record(record, self._labels, self._extra))
        if len(self._rows) == _ROWS_AT_ONCE:
            self._write_rows()

    def _write_rows(self) -> None:
        import pyarrow as pa

        with _reported():
            self._parquet.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def _finish(self) -> None:
        self._write_rows()
        with _reported():
            self._parquet.close()


_COLUMN_TYPES: dict[str, type] = {"uncertain": bool, "adapted": bool, "channel": int} | dict.fromkeys(
    ("file", "text", "text_source", "language", "used", "emotion", "speaker", "note", "error"), str
)
"""Types of columns; that of the others is float."""


class TableWriter(Writer):
    """Writes a table for people row by row, as wide as the terminal is at its beginning. Failures are left out.

    A row that needs a column which the table lacks, such as the first one with a speaker, begins a new table.
    """

    def __init__(self, stream: IO[str], labels: Sequence[str], *, width: int | None, colour: bool) -> None:
        super().__init__(stream)
        self._width = width or (shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if colour else DEFAULT_WIDTH)
        self._colour = colour
        self._label_width = max(map(len, labels), default=0)
        self._widths: dict[str, int] = {}
        self._file: str | None = None

    def write_record(self, record: dict[str, Any]) -> None:
        """Write a row, after a header if the row is the first or needs another column."""
        if record["error"] is not None:
            return
        cells = _cells(record, compact=self._widths.get("A / V / D") == _COMPACT["A / V / D"])
        if missing := cells.keys() - self._widths.keys():
            between = "\n" if self._widths else ""
            self._set_widths(self._widths.keys() | missing)
            cells = _cells(record, compact=self._widths["A / V / D"] == _COMPACT["A / V / D"])
            self._put(between + self._render(None))
            self._file = None
        if record["file"] is not None and record["file"] == self._file:
            cells["file"] = ""
        self._file = record["file"]
        self._put(self._render(cells))

    def _set_widths(self, names: Collection[str]) -> None:
        """Give the columns that fold what the others leave; if that is little, make the others narrower."""
        folding = [name for name in ("file", "transcript") if name in names]
        for fixed in (_WIDE, _COMPACT):
            widths = {name: fixed.get(name, 0) for name in _COLUMNS if name in names}
            widths["emotion"] += self._label_width
            rest = self._width - _MARGIN - _GAP * (len(names) - 1) - sum(widths.values())
            if rest >= _ENOUGH * len(folding):
                break
        if "file" in widths:
            widths["file"] = min(max(rest // 3, _MIN_FILE), _MAX_FILE)
        widths["transcript"] = min(max(rest - widths.get("file", 0), _MIN_TRANSCRIPT), _MAX_TRANSCRIPT)
        self._widths = widths

    def _render(self, cells: dict[str, str] | None) -> str:
        """A row, or the header for None."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=cells is None)
        for name, width in self._widths.items():
            table.add_column(name if len(name) <= width else name.replace(" ", ""), width=width, overflow="fold")
        if cells is not None:
            table.add_row(*(Text(cells.get(name, "")) for name in self._widths))
        total = _MARGIN + _GAP * len(self._widths) + sum(self._widths.values())
        return as_text(table, width=total, colour=self._colour).strip("\n") + "\n"


_COLUMNS = ("file", "time (s)", "speaker", "transcript", "emotion", "A / V / D", "used")
_WIDE = {"time (s)": 8, "speaker": 9, "emotion": 13, "A / V / D": 14, "used": 10}
"""Widths of columns that do not fold, the longest category not counted."""
_COMPACT = _WIDE | {"emotion": 6, "A / V / D": 5, "used": 7}
"""The same without bars, and with dimensions and modalities below each other."""
_ENOUGH = 14  # characters for each column that folds


def _cells(record: dict[str, Any], *, compact: bool) -> dict[str, str]:
    """The cells of a record by column."""
    cells = {}
    if record["file"] is not None:
        cells["file"] = base_name(record["file"])
    if record["file"] is not None or record["start"] is not None:
        cells["time (s)"] = _time(record)
    if (name := lane(record["speaker"], record["channel"])) is not None:
        cells["speaker"] = name
    cells["transcript"] = _words(record)
    cells["emotion"] = _categories(record, bar=not compact)
    values = [record[name] for name in DIMENSIONS]
    cells["A / V / D"] = "-" if None in values else ("\n" if compact else " ").join(f"{v:.2f}" for v in values)
    used = (record["used"] or "-").replace("+", "+\n" if compact else "+")
    cells["used"] = f"{used}\nadapted" if record["adapted"] else used
    return cells


def _time(record: dict[str, Any]) -> str:
    """Start and end, on two lines where one is too narrow."""
    if record["start"] is None:
        return "-"
    times = f"{record['start']:.1f}-{record['end']:.1f}"
    return times if len(times) <= _WIDE["time (s)"] else times.replace("-", "-\n")


def _words(record: dict[str, Any]) -> str:
    """The transcript and the note; a transcript that was not used is marked."""
    note = record["note"]
    if record["text"] is None:
        return f"[{note}]" if note else "-"
    if note is None and "text" not in record["used"]:
        note = f"{record['language'] or 'text'}: not used"
    return record["text"] + (f" [{note}]" if note else "")


def _categories(record: dict[str, Any], *, bar: bool) -> str:
    """The three most probable categories; the first has a question mark if uncertain, and a bar."""
    ranked = sorted(record["probabilities"].items(), key=lambda item: -item[1])[:3]
    lines = [f"{label} {p:.2f}" for label, p in ranked]
    if not lines:
        return "-"
    label, p = ranked[0]
    lines[0] = f"{label}{'?' if record['uncertain'] else ''} {p:.2f}{' ' + '█' * max(1, round(p * 6)) if bar else ''}"
    return "\n".join(lines)
