"""Read delimited text files as people have them: from spreadsheets, pandas, R or a text editor.

Every table of the package that is separated text goes through `read_csv`: corpora, the owners' label files, and the
transcripts of `emofuse predict`. It detects the encoding (UTF-8, UTF-16, else Windows-1252) and the separator (comma,
semicolon, tab or `|`) by the content, and is strict about quotes and the number of cells. Row numbers are those that a
spreadsheet shows: the header is usually row 1, and a cell with line breaks does not add rows.
"""

from __future__ import annotations

import codecs
import csv
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeVar

from emofuse.errors import EmofuseError

DELIMITERS = ",;\t|"
MISSING = frozenset(
    ("", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-nan", "-NaN", "NaT")
)
"""Cells that mean "no value" in every column but transcripts, as in pandas."""

MISSING_TEXTS = frozenset(("", "NaN", "<NA>", "#N/A", "#NA"))
"""Cells that mean "no transcript". "null" (German for zero), "None", "NA" and "nan" are words that people say."""

OTHER_NAMES = {
    "file": ("filename", "file_name", "filepath", "file_path", "path", "audio", "audio_file", "wav"),
    "text": ("transcript", "transcription", "sentence", "utterance"),
    "start": ("start_time", "begin", "onset"),
    "end": ("end_time", "stop", "offset"),
    "speaker": ("speaker_id", "speakerid"),
    "gender": ("sex",),
    "language": ("lang",),
}
"""Other headers that are understood, where the table has no column of the first name."""

_ROWS_AT_ONCE = 500
_FORMATS = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "an Excel workbook or another zip file",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}
_log = logging.getLogger(__name__)

Content = TypeVar("Content")


class TableError(EmofuseError):
    """A table or corpus has an error; the message names the file and, where possible, the row."""


@dataclass(frozen=True)
class CsvTable:
    """Cells of a delimited file, without blanks at their ends and without blank rows.

    Attributes:
        path: the file, for messages.
        header: column names.
        columns: the cells of each column, "" where empty.
        rows: row number of each row of cells.
    """

    path: Path
    header: list[str]
    columns: list[list[str]]
    rows: list[int]

    def by_name(self) -> dict[str, list[str]]:
        """Columns by name. Columns without a name are left out if they are empty or only count the rows.

        Raises:
            TableError: another column has no name, or two columns have the same name.
        """
        named: dict[str, list[str]] = {}
        for number, (name, cells) in enumerate(zip(self.header, self.columns, strict=True), 1):
            if not name:
                if any(cells) and not _counts_rows(cells):
                    raise TableError(f"{self.path}: column {number} has no name. Name it in the header.")
            elif name in named:
                raise TableError(f"{self.path}: column {name!r} appears twice. Rename or remove one.")
            else:
                named[name] = cells
        return named


def read_csv(path: Path | str) -> CsvTable:
    """Read a delimited text file with a header.

    The encoding is UTF-8 or UTF-16, or else Windows-1252 is assumed with a warning. The separator is that of `,;` tab
    and `|` which is most frequent in the header outside quotes, or the one that Excel's first line `sep=;` names.

    Raises:
        TableError: the file cannot be read, is not separated text, has no header, has a quote that is not closed, or a
            row with more or fewer cells than the header; names the row.
    """
    path = Path(path)
    return read_text_file(path, lambda file: _read(file, path))


def read_text_file(path: Path, read: Callable[[TextIO], Content]) -> Content:
    """Result of `read` on the open text file, whose line ends are left as they are.

    Raises:
        TableError: the file cannot be opened, or is a known binary format.
    """
    try:
        encoding, note = _encoding(path)
        try:
            with open(path, encoding=encoding, newline="") as file:
                content = read(file)
        except UnicodeDecodeError:
            note = "it is not valid UTF-8; read as Windows-1252. Save it as UTF-8 if letters are wrong"
            with open(path, encoding="cp1252", errors="replace", newline="") as file:
                content = read(file)
    except OSError as error:
        raise TableError(f"{path}: the file cannot be read ({error.strerror}).") from error
    if note:
        _log.warning("%s: %s", path, note)
    return content


def number(cell: str) -> float:
    """Number in a cell, with a decimal point or a decimal comma; NaN where the cell means "no value".

    Raises:
        ValueError: the cell is not a number.

    >>> number("0.5"), number("0,5"), number("NA")
    (0.5, 0.5, nan)
    """
    cell = cell.strip()
    if cell in MISSING:
        return float("nan")
    return float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)


def standard_names(names: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Known name of each column that can be recognised without doubt: by its letters in any case, or `OTHER_NAMES`.

    A known name that stands in the table is left alone, and so are two columns that could both be the same one.

    >>> standard_names(["File", "Transcript", "mood"], ("file", "text"))
    {'File': 'file', 'Transcript': 'text'}
    """
    folded = {name: re.sub(r"[\s-]+", "_", str(name).strip().lower()) for name in names}
    renamed: dict[str, str] = {}
    for target in known:
        if target in names:
            continue
        same = [name for name in names if folded[name] == target]
        others = same or [name for name in names if folded[name] in OTHER_NAMES.get(target, ()) and name not in known]
        if len(others) == 1:
            renamed[others[0]] = target
    return renamed


def _encoding(path: Path) -> tuple[str, str | None]:
    """Encoding to try first, and a remark on it if it is a guess."""
    with open(path, "rb") as file:
        start = file.read(4096)
    for magic, name in _FORMATS.items():
        if start.startswith(magic):
            raise TableError(f"{path}: this is {name}, not separated text. Save the table as CSV in UTF-8.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", None
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) / 8:  # text of which most letters have a zero byte
        order = "utf-16-le" if odd > even else "utf-16-be"
        return order, f"it has no byte order mark; read as {order.upper()}"
    return "utf-8-sig", None


def _read(file: TextIO, path: Path) -> CsvTable:
    delimiter, first_row = _find_delimiter(file, path)
    records = _records(csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True), path, first_row)
    header = next(records, None)
    if header is None:
        raise TableError(f"{path}: the table is empty; expected a header with column names.")
    names = [name.strip() for name in header[1]]
    columns: list[list[str]] = [[] for _ in names]
    rows: list[int] = []
    while portion := list(islice(records, _ROWS_AT_ONCE)):  # all records at once would take twice the memory
        for row, cells in portion:
            rows.append(row)
            if len(cells) != len(names):
                _fit(cells, len(names), f"{path}, row {row}", delimiter)
        for column, values in zip(columns, zip(*(cells for _, cells in portion), strict=True), strict=True):
            column.extend(map(str.strip, values))
    return CsvTable(path, names, columns, rows)


def _find_delimiter(file: TextIO, path: Path) -> tuple[str, int]:
    """Separator of the table, and the number of the row at which the file now stands."""
    line = file.readline()
    if excel := re.fullmatch(r'"?sep=(.)"?\s*', line, re.IGNORECASE):
        return excel[1], 2
    while line and not line.strip():
        line = file.readline()
    file.seek(0)
    unquoted = re.sub(r'"[^"]*"?', "", line)
    default = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    return max(default + DELIMITERS, key=unquoted.count), 1


def _records(reader: Iterable[list[str]], path: Path, first_row: int) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, with their row numbers."""
    row, line = first_row - 1, 0
    try:
        for row, cells in enumerate(reader, first_row):
            line = reader.line_num  # type: ignore[attr-defined]
            if cells and (cells[0].strip() or any(map(str.strip, cells))):
                yield row, cells
    except csv.Error as error:
        raise TableError(
            f"{path}, row {row + 1} (line {line + first_row}): {error}. Check the quotes of this row: each one that "
            "opens a cell must be closed, and quotes inside a quoted cell are doubled."
        ) from error


def _fit(cells: list[str], width: int, where: str, delimiter: str) -> None:
    """Remove empty cells beyond the header.

    Raises:
        TableError: the record has another number of cells than the header.
    """
    if len(cells) < width or any(map(str.strip, cells[width:])):
        name = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(delimiter, repr(delimiter))
        raise TableError(
            f"{where}: {len(cells)} cells, but the header has {width} (separated by {name}). Put cells that hold the "
            "separator or a line break in double quotes."
        )
    del cells[width:]


def _counts_rows(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ..., as the index that pandas and R write."""
    return cells[0] in ("0", "1") and all(cell == str(i) for i, cell in enumerate(cells, int(cells[0])))
