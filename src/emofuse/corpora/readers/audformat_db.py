"""audformat databases (audeering.github.io/audformat): a header db.yaml and tables of files and segments.

Needs the extra `audformat`.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emofuse.corpora.readers.generic import finish_adapted, guessed, official_part
from emofuse.corpora.readers.source import scaled
from emofuse.corpora.table import COLUMNS, TableError
from emofuse.errors import EmofuseError
from emofuse.files import atomic
from emofuse.labels import DIMENSIONS, EMOTIONS

Segment = tuple[str, float | None, float | None]
"""File, start and end in seconds; start and end are None for a whole file."""

_LABELS = ("emotion", "original_emotion", *DIMENSIONS)
_SEGMENT_COLUMNS = ("key", *_LABELS, "text", "ratings", "votes")
_SPEAKER_COLUMNS = ("gender", "language", "age")
_log = logging.getLogger(__name__)


def read(
    root: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    emotions: Mapping[str, str] | None = None,
    scale: tuple[float, float] | None = None,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """Utterance table of the database at `root` (db.yaml, db.<table>.csv or .parquet, media files).

    A row is a file or segment for which a table has an emotion or a dimension (in a database without such columns: a
    transcription; else any column). Columns are joined by file, start and end; a segment also has the values of its
    whole file, except labels and words. Columns called emotion, speaker, gender, language, transcription, text,
    arousal, valence, dominance or split become the columns of that meaning; others become extra columns. The labels of
    a scheme add properties of a value (a speaker's gender, age and language) or replace it (a transcription's words).
    official_split comes from the split of a table, or from the table's name (emotion.train). A key is the name of the
    database and the path of the file, for a segment with start and end in seconds.

    Args:
        root: folder of db.yaml.
        columns: from `column` or `table.column` to columns of the result; no other column becomes one of these.
        emotions: from categories of the database to shared ones, see `generic.adapt`.
        scale: lowest and highest possible rating; None uses the bounds of a dimension's scheme, if it has any.
        allow_missing: continue if audio is missing.

    Raises:
        EmofuseError: audformat is not installed.
        TableError: the database, a table or a column is missing, a segment has two values, or what `generic.adapt`
            raises.
    """
    root = Path(root).absolute()
    db = _load(root)
    gathered = _Gathered(root / "db.yaml")
    names = _names(db, columns or {}, gathered.header)
    for table_id in sorted(db.tables):
        segments = _segments(db[table_id].df.index)
        if part := _part(db, table_id):
            gathered.add("official_split", segments, [part] * len(segments))
        for column_id in db[table_id].columns:
            if target := names.get((table_id, column_id)):
                _gather(gathered, db, (table_id, column_id), target, segments, scaled_by_scheme=scale is None)
    rows = [_row(segment, gathered, db.name, db.languages, root) for segment in gathered.rows()]
    return finish_adapted(rows, db.name, gathered.header, emotions=emotions, scale=scale, allow_missing=allow_missing)


def write(
    df: pd.DataFrame, folder: Path | str, *, name: str | None = None, source: str = "", licence: str | None = None
) -> Path:
    """Write a table as an audformat database and return the path of its header.

    There is one table for each part of the official split (utterances.train), segmented if any row has start or end.
    Schemes describe emotion, speaker (gender, language and age in its labels), the dimensions on 0..1 and
    transcription; each other column of `df` also becomes a column. Audio is not copied: file names are relative to
    `folder`, so that the database can be moved with audio below it. Rows without audio are left out, with a warning.

    Args:
        df: utterance table.
        folder: where db.yaml and its tables go; may already hold the audio.
        name: name of the database; if None, the names of the corpora.
        source: where the corpus comes from.
        licence: licence as the owner of the corpus states it.

    Raises:
        EmofuseError: audformat is not installed, or a file cannot be written.
        TableError: no row has audio, two rows have the same segment, or the folder already has a database.
    """
    audformat = _audformat()
    header = Path(folder).absolute() / "db.yaml"
    if header.exists():
        raise TableError(f"{header}: the folder already has an audformat database. Choose another folder.")
    rows = _writable(df, header)
    languages = sorted({code for code in (_iso(code, "pt3") for code in rows["language"].dropna().unique()) if code})
    db = audformat.Database(
        name or "-".join(sorted(rows["corpus"].unique())),
        source,
        audformat.define.Usage.OTHER,
        languages=languages,
        license=licence,
        description="Written by emofuse.",
    )
    properties = _speaker_properties(rows)
    other = ("file", "start", "end", "official_split", *properties)
    columns = {c: _column(c, rows.columns) for c in rows.columns if c not in other}
    for column, scheme_id in columns.items():
        db.schemes[scheme_id] = _scheme(rows, column, properties)
    segmented = bool(rows[["start", "end"]].notna().any(axis=None))
    parts = rows["official_split"] if "official_split" in rows else pd.Series([None] * len(rows), dtype=object)
    for part, of_part in rows.groupby(parts, dropna=False):
        _add_table(db, of_part, columns, None if pd.isna(part) else str(part), header.parent, segmented=segmented)
    _save(db, header)
    return header


def _audformat() -> Any:
    try:
        import audformat
    except ImportError as error:
        raise EmofuseError('audformat is not installed: pip install "emofuse[audformat]"') from error
    return audformat


def _load(root: Path) -> Any:
    """Load a database and its tables, without YAML tags and pickles, which could run code."""
    audformat = _audformat()
    import yaml

    header = root / "db.yaml"
    if not header.is_file():
        raise TableError(f"{root}: no audformat database here; expected db.yaml and tables such as db.files.csv.")
    try:
        with open(header, encoding="utf-8-sig") as file:
            tree = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        db = audformat.Database.load_header_from_yaml(tree)
        with tempfile.TemporaryDirectory() as scratch:
            for table_id in [*db.misc_tables, *db.tables]:
                for ending in ("csv", "parquet"):
                    path = root / f"db.{table_id}.{ending}"
                    if path.is_file():
                        shutil.copyfile(path, Path(scratch) / path.name)
                db[table_id].load(os.path.join(scratch, f"db.{table_id}"))
    except EmofuseError:
        raise
    except Exception as error:  # the library raises errors of many kinds on a database that is broken
        raise TableError(
            f"{header}: the database cannot be read ({type(error).__name__}: {error}). Expected valid YAML and each "
            "table as db.<table>.csv or db.<table>.parquet; pickled tables are not read."
        ) from error
    return db


def _names(db: Any, columns: Mapping[str, str], header: Path) -> dict[tuple[str, str], str]:
    """Column of the result for each (table, column) that is used."""
    pairs = [(table_id, column_id) for table_id in db.tables for column_id in db[table_id].columns]
    given = {pair: columns[name] for pair in pairs for name in (pair[1], ".".join(pair)) if name in columns}
    known = {name for table_id, column_id in pairs for name in (column_id, f"{table_id}.{column_id}")}
    if absent := [name for name in columns if name not in known]:
        listed = ", ".join(".".join(pair) for pair in sorted(pairs))
        raise TableError(f"{header}: there is no column {absent[0]!r}; the columns are {listed}.")
    others = {column_id for table_id, column_id in pairs if (table_id, column_id) not in given}
    targets = guessed(sorted(others - {"file", "start", "end"}), columns.values())
    return {pair: targets[pair[1]] for pair in pairs if pair[1] in targets} | given


def _segments(index: pd.Index) -> list[Segment]:
    if index.nlevels == 1:
        return [(str(file), None, None) for file in index]
    return [_segment(str(file), start, end) for file, start, end in index]


def _segment(file: str, start: pd.Timedelta, end: pd.Timedelta) -> Segment:
    seconds = None if pd.isna(start) else start.total_seconds()
    if pd.isna(end):
        return file, seconds or None, None
    return file, seconds, end.total_seconds()


def _part(db: Any, table_id: str) -> str | None:
    split_id = db[table_id].split_id
    if split_id is not None:
        return official_part(split_id) or official_part(db.splits[split_id].type) or split_id.lower()
    return next((part for part in map(official_part, table_id.split(".")) if part), None)


class _Gathered:
    """Values by column of the result and segment."""

    def __init__(self, header: Path):
        self.header = header
        self.values: dict[str, dict[Segment, Any]] = {}
        self.dropped: set[str] = set()

    def add(self, target: str, segments: list[Segment], values: list[Any]) -> None:
        if target in self.dropped:
            return
        column = self.values.setdefault(target, {})
        for segment, value in zip(segments, values, strict=True):
            earlier = column.setdefault(segment, value)
            if earlier is None:
                column[segment] = value
            elif value is not None and value != earlier:
                self._refuse(target, segment, earlier, value)
                return

    def _refuse(self, target: str, segment: Segment, earlier: Any, value: Any) -> None:
        if target in (*COLUMNS, "official_split"):
            raise TableError(
                f"{self.header}, {segment[0]}: {target} is {earlier!r} in one table and {value!r} in another. Choose "
                f'one in `columns`, such as "table.column" = "{target}", and give the others another name.'
            )
        _log.warning("%s: column %s differs between tables and is left out", self.header, target)
        self.dropped.add(target)
        del self.values[target]

    def rows(self) -> list[Segment]:
        """The segments that have labels, or else words, or else any value; sorted."""
        columns = [self.values[c] for c in _LABELS if c in self.values]
        columns = columns or [self.values[c] for c in ("text",) if c in self.values] or list(self.values.values())
        return sorted({s for column in columns for s in column}, key=lambda s: (s[0], s[1] or 0.0, s[2] or 0.0))

    def at(self, segment: Segment) -> dict[str, Any]:
        """Cells of a segment; if it has none, those of its whole file, except labels and words."""
        whole = (segment[0], None, None)
        cells = {}
        for target, column in self.values.items():
            value = column.get(segment)
            cells[target] = column.get(whole) if value is None and target not in _SEGMENT_COLUMNS else value
        return cells


def _gather(
    gathered: _Gathered,
    db: Any,
    source: tuple[str, str],
    target: str,
    segments: list[Segment],
    *,
    scaled_by_scheme: bool,
) -> None:
    table_id, column_id = source
    df, scheme = db[table_id].df, db[table_id].columns[column_id].scheme
    values = [_plain(value) for value in df[column_id].astype(object)]
    if (
        target in DIMENSIONS
        and scaled_by_scheme
        and scheme is not None
        and None not in (scheme.minimum, scheme.maximum)
    ):
        where = f"{gathered.header}, table {table_id}, {column_id}"
        values = [scaled(value, scheme.minimum, scheme.maximum, where) for value in values]
    labels = _scheme_labels(db, scheme)
    meanings = [labels.get(value) for value in values]
    if any(isinstance(meaning, Mapping) for meaning in meanings):
        fields = sorted({field for meaning in meanings if isinstance(meaning, Mapping) for field in meaning})
        for field, column in guessed(fields, ()).items():
            cells = [_plain(meaning.get(field)) if isinstance(meaning, Mapping) else None for meaning in meanings]
            gathered.add(column, segments, cells)
    elif target != "speaker":
        values = [value if meaning is None else meaning for value, meaning in zip(values, meanings, strict=True)]
    if target == "official_split":
        values = [value and (official_part(str(value)) or str(value).lower()) for value in values]
    gathered.add(target, segments, values)


def _scheme_labels(db: Any, scheme: Any) -> dict[Hashable, Any]:
    """The labels of a scheme by value: properties of the value, or text that replaces it."""
    labels = None if scheme is None else scheme.labels
    if isinstance(labels, str):
        return {_plain(value): fields for value, fields in db[labels].df.to_dict("index").items()}
    return labels if isinstance(labels, dict) else {}


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timedelta):
        return value.total_seconds()
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _row(segment: Segment, gathered: _Gathered, name: str, languages: list[str], root: Path) -> dict[str, Any]:
    file, start, end = segment
    row = gathered.at(segment)
    corpus = row.get("corpus") or name
    times = "" if start is None and end is None else f"#{start or 0:g}-" + ("" if end is None else f"{end:g}")
    language = row.get("language") or (languages[0] if len(languages) == 1 else None)
    speaker = row.get("speaker")
    if speaker is not None and not str(speaker).startswith(f"{corpus}/"):
        speaker = f"{corpus}/{speaker}"
    return {
        **row,
        "key": row.get("key") or f"{corpus}/{os.path.splitext(file)[0]}{times}",
        "file": os.path.normpath(root / file),
        "start": start,
        "end": end,
        "speaker": speaker,
        "language": language and (_iso(str(language), "pt1") or language),
        "corpus": corpus,
    }


def _iso(code: str, form: str) -> str | None:
    """Code of a language in ISO 639-1 (`form` pt1) or in ISO 639-3 (pt3, used by audformat); None if there is none."""
    from iso639 import Lang
    from iso639.exceptions import InvalidLanguageValue

    try:
        return getattr(Lang(code), form) or None
    except InvalidLanguageValue:
        return None


def _writable(df: pd.DataFrame, header: Path) -> pd.DataFrame:
    rows = df[df["file"].notna()].dropna(axis="columns", how="all").reset_index(drop=True)
    if rows.empty:
        raise TableError(f"{header}: none of {len(df)} rows has audio, which an audformat database needs.")
    if without := len(df) - len(rows):
        _log.warning("%s: %d of %d rows have no audio and are left out", header, without, len(df))
    for column in ("start", "end", "language"):
        rows[column] = df.loc[df["file"].notna(), column].to_numpy()
    segments = pd.DataFrame({"file": rows["file"], "start": rows["start"].fillna(0), "end": rows["end"]})
    if segments.duplicated().any():
        first, second = rows.loc[segments.duplicated(keep=False).to_numpy(), "key"].iloc[:2]
        raise TableError(f"{header}: {first} and {second} have the same file, start and end. Remove one of them.")
    return rows


def _speaker_properties(rows: pd.DataFrame) -> list[str]:
    """Columns with one value for each speaker, and without a value in rows without a speaker."""
    if "speaker" not in rows:
        return []
    known = [p for p in _SPEAKER_COLUMNS if p in rows and rows.loc[rows[p].notna(), "speaker"].notna().all()]
    return [p for p in known if (rows.groupby("speaker")[p].nunique(dropna=False) == 1).all()]


def _column(column: str, others: pd.Index) -> str:
    return "transcription" if column == "text" and "transcription" not in others else column


def _scheme(rows: pd.DataFrame, column: str, properties: list[str]) -> Any:
    scheme = _audformat().Scheme
    if column == "emotion":
        return scheme(labels=list(EMOTIONS))
    if column == "speaker":
        first = rows.dropna(subset="speaker").groupby("speaker")[["speaker", *properties]].head(1)
        by_speaker = first.sort_values("speaker").set_index("speaker").to_dict("index")
        return scheme(labels={speaker: _speaker_labels(values) for speaker, values in by_speaker.items()})
    if column in ("gender", "original_emotion"):
        return scheme(labels=sorted(rows[column].dropna().unique()))
    if column in DIMENSIONS:
        return scheme("float", minimum=0, maximum=1)
    return scheme(_kind(rows[column]))


def _speaker_labels(properties: Mapping[Hashable, Any]) -> dict[str, Any]:
    labels = {str(name): _plain(value) for name, value in properties.items() if not pd.isna(value)}
    if "language" in labels:
        labels["language"] = _iso(labels["language"], "pt3") or labels["language"]
    return labels


def _kind(values: pd.Series) -> str:
    kind = values.convert_dtypes().dtype
    if pd.api.types.is_bool_dtype(kind):
        return "bool"
    if pd.api.types.is_integer_dtype(kind):
        return "int"
    return "float" if pd.api.types.is_float_dtype(kind) else "str"


def _add_table(
    db: Any, rows: pd.DataFrame, columns: Mapping[str, str], part: str | None, folder: Path, *, segmented: bool
) -> None:
    audformat = _audformat()
    files = [Path(os.path.relpath(file, folder)).as_posix() for file in rows["file"]]
    if any(file.startswith("../") for file in files):
        _log.warning("%s: audio lies outside of this folder; if you move the database, its audio is not found", folder)
    index = audformat.filewise_index(files)
    if segmented:
        starts, ends = (pd.to_timedelta(rows[c].to_numpy(float), unit="s") for c in ("start", "end"))
        index = audformat.segmented_index(files, starts.fillna(pd.Timedelta(0)), ends)
    if part is not None:
        kind = (official_part(part) or "other").rstrip("0123456789")
        db.splits[part] = audformat.Split(kind)
    table_id = "utterances" if part is None else f"utterances.{part}"
    db[table_id] = audformat.Table(index, split_id=part)
    for column, scheme_id in columns.items():
        db[table_id][scheme_id] = audformat.Column(scheme_id=scheme_id)
        values = [_plain(value) for value in rows[column].astype(object)]
        if db.schemes[scheme_id].dtype == "str":
            values = [None if value is None else str(value) for value in values]
        db[table_id][scheme_id].set(values)


def _save(db: Any, header: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        db.save(scratch)
        for path in sorted(Path(scratch).iterdir(), key=lambda p: p.name == header.name):  # the header comes last
            with atomic(header.parent / path.name) as temporary:
                shutil.copyfile(path, temporary)
